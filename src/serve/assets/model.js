// What the server says about products and days, in the shape that the page works with.

import { reason, toMs } from './format.js';

/** Verdicts, the worst first. */
export const VERDICTS = ['open', 'unverifiable', 'partial', 'whole'];

export const VERDICT = {
  whole: { glyph: '✓', words: 'every trade is there' },
  partial: { glyph: '◐', words: 'captured in part' },
  open: { glyph: '!', words: 'trades are missing' },
  unverifiable: { glyph: '?', words: 'cannot be verified' },
};

const number = (value) => (value === null || value === undefined ? NaN : Number(value));
const list = (value) => (Array.isArray(value) ? value : []);
const verdictOf = (value) => (VERDICTS.includes(value) ? value : 'unverifiable');

export function productOf(answer) {
  const days = list(answer.days).map((day) => ({ date: day.date, verdict: verdictOf(day.verdict), state: day.state }));
  const worst = VERDICTS.find((verdict) => days.some((day) => day.verdict === verdict)) ?? 'unverifiable';
  return {
    name: String(answer.product),
    datasets: list(answer.datasets),
    days,
    worst,
    worstDays: days.filter((day) => day.verdict === worst).map((day) => day.date),
    firstTime: toMs(answer.first_trade_time),
    lastTime: toMs(answer.last_trade_time),
    lastId: number(answer.last_trade_id),
    lastPrice: number(answer.last_price),
  };
}

/** A day of a product with what is missing. */
export function dayOf(answer) {
  const gaps = list(answer.missing).map((gap) => gapOf(gap)).filter((gap) => gap !== null);
  // Several reasons stand in one text.
  const reasons = answer.reason ? reason(answer.reason).split('; ') : [];
  return {
    product: String(answer.product),
    date: String(answer.date),
    verdict: verdictOf(answer.verdict),
    isArchived: answer.state === 'archived',
    reasons,
    first: number(answer.first_id),
    last: number(answer.last_id),
    gaps,
    orderIds: number(answer.order_ids_share),
    receiveTime: number(answer.receive_time_share),
  };
}

function gapOf(gap) {
  const [first, last] = [number(gap.first_id), number(gap.last_id)];
  if (!Number.isFinite(first) || !Number.isFinite(last)) return null;
  return { first, last, count: last - first + 1, from: toMs(gap.from), to: toMs(gap.to), reason: gap.reason ? reason(gap.reason) : '' };
}

/** The gaps of some days, each once, by time. Those whose time is not known are left out: they cannot be drawn. */
export function gapsOf(days) {
  const all = new Map();
  for (const day of days) {
    for (const gap of day.gaps) if (Number.isFinite(gap.from) && Number.isFinite(gap.to)) all.set(gap.first, gap);
  }
  return [...all.values()].map((gap) => (gap.from <= gap.to ? gap : { ...gap, from: gap.to, to: gap.from })).sort((one, other) => one.from - other.from);
}
