// How numbers and times are spelled. Times are UTC; a time is a number of milliseconds since the Unix epoch.

const MINUS = '\u2212';

/** Spells a number with thousands apart and so many decimals. */
export function fixed(value, decimals) {
  if (!Number.isFinite(value)) return '–';
  const text = Math.abs(value).toFixed(Math.min(Math.max(decimals, 0), 12));
  const [whole, part] = text.split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return (value < 0 ? MINUS : '') + grouped + (part ? '.' + part : '');
}

/** Spells a number with all the digits that it has. */
export function exact(value) {
  if (!Number.isFinite(value)) return '–';
  return fixed(value, decimalsOf(value));
}

/** Counts the decimals of a number, 12 at most. */
export function decimalsOf(value) {
  if (!Number.isFinite(value)) return 0;
  const text = String(Math.abs(value));
  const [digits, power] = text.split('e');
  const decimals = (digits.split('.')[1] ?? '').length - Number(power ?? 0);
  return Math.min(Math.max(decimals, 0), 12);
}

/** Spells a count: 1,234 or 1.2 M. */
export function count(value) {
  if (!Number.isFinite(value)) return '–';
  if (value >= 1e6) return fixed(value / 1e6, value >= 1e8 ? 0 : 1) + ' M';
  return fixed(value, 0);
}

/** Spells a size in few digits. */
export function size(value) {
  if (!Number.isFinite(value)) return '–';
  if (value >= 1e6) return fixed(value / 1e6, 2) + ' M';
  if (value >= 1000) return fixed(value, 0);
  if (value >= 1) return fixed(value, 4);
  return fixed(value, 8);
}

/** Spells a rate of trades. */
export function rate(value) {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  return fixed(value, value >= 100 ? 0 : value >= 9.95 ? 1 : 2);
}

const two = (value) => String(value).padStart(2, '0');

/** The date: 2026-11-29. */
export function date(ms) {
  return new Date(ms).toISOString().slice(0, 10);
}

/** The time of the day, with so many digits of a second (0 to 6). */
export function clock(ms, digits = 0) {
  const whole = Math.floor(ms / 1000) * 1000;
  const at = new Date(whole);
  const text = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  if (digits === 0) return text;
  const micros = Math.floor((ms - whole) * 1000);
  return text + '.' + String(micros).padStart(6, '0').slice(0, digits);
}

/** Date and time. */
export function moment(ms, digits = 0) {
  return `${date(ms)} ${clock(ms, digits)}`;
}

/** A range of time in one line. */
export function range(from, to) {
  const digits = to - from < 10_000 ? 3 : 0;
  const end = date(from) === date(to) ? clock(to, digits) : moment(to, digits);
  return `${moment(from, digits)} – ${end}`;
}

/** A length of time in words: 3.2 s, 5 min, 2 h. */
export function duration(ms) {
  if (ms < 1) return `${fixed(ms * 1000, 0)} µs`;
  if (ms < 1000) return `${fixed(ms, ms < 10 ? 1 : 0)} ms`;
  if (ms < 60_000) return `${fixed(ms / 1000, ms < 10_000 ? 1 : 0)} s`;
  if (ms < 3_600_000) return `${fixed(ms / 60_000, 0)} min`;
  if (ms < 86_400_000 * 2) return `${fixed(ms / 3_600_000, ms < 36_000_000 ? 1 : 0)} h`;
  return `${fixed(ms / 86_400_000, 0)} days`;
}

/** A number of things: 1 trade, 2 trades. */
export function things(value, one, many = one + 's') {
  return `${fixed(value, 0)} ${value === 1 ? one : many}`;
}

/** A range of trade ids. */
export function ids(first, last) {
  return first === last ? fixed(Number(first), 0) : `${fixed(Number(first), 0)}–${fixed(Number(last), 0)}`;
}

/** A reason that the server gives: its times as everywhere on the page, and the names of events as words. */
export function reason(text) {
  const words = String(text).replace(/(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{3})?\d*Z/g, '$1 $2$3');
  return words.replace(/\b(?:gap|connection|backfill)_[a-z_]+/g, (name) => name.replaceAll('_', ' '));
}

/** The exact time of nanoseconds since the epoch, given as text or a number. */
export function nanos(value) {
  if (value === null || value === undefined || value === '') return null;
  const all = BigInt(value);
  const seconds = all / 1_000_000_000n;
  const part = all % 1_000_000_000n;
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19).replace('T', ' ')}.${String(part).padStart(9, '0')}`;
}

/** Milliseconds since the epoch of what the server sends: RFC 3339 text, or nanoseconds. */
export function toMs(value) {
  if (value === null || value === undefined) return NaN;
  const text = String(value);
  if (/^\d+$/.test(text)) return Number(text.slice(0, -3) || 0) / 1000;
  const found = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?Z?)?$/.exec(text);
  if (!found) return Date.parse(text);
  const part = found[3] ? Number(`0.${found[3]}`) * 1000 : 0;
  return Date.parse(`${found[1]}T${found[2] ?? '00:00:00'}Z`) + part;
}

/** Nanoseconds since the epoch, as the server reads them, exact to the microsecond. */
export function toNanos(ms) {
  return (BigInt(Math.round(ms * 1000)) * 1000n).toString();
}
