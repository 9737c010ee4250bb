// Records as columns, held for one contiguous range of time: what the chart draws from. The range grows to both sides as the view moves, and at the live end
// by records as they come. It is bounded: records far from the view are let go.

import { copyDoubles, copyIntegers, copySides, readStream } from './arrow.js';
import { toMs, toNanos } from './format.js';

const BLOCK = 4096;
/** Most records held of one dataset. */
const MOST_ROWS = 4_000_000;
/** Records that came live of one chunk. */
const LIVE_ROWS = 100_000;
/** Most records that one answer may hold: what a view of this many needs is drawn as candles. */
const MOST_ASKED = 2_500_000;

/** Records in columns, some of which may come later. */
class Chunk {
  constructor(names, capacity, from, to) {
    this.names = names;
    this.rows = 0;
    this.from = from;
    this.to = to;
    for (const name of names) this[name] = name === 'side' ? new Uint8Array(capacity) : new Float64Array(capacity);
    // Earliest and latest time of each block of rows: event times may fall a little, so rows are not searched by bisection.
    this.earliest = [];
    this.latest = [];
  }

  reserve(rows) {
    if (rows <= this.t.length) return;
    const capacity = Math.max(rows, 2 * this.t.length, 1024);
    for (const name of this.names) {
      const grown = name === 'side' ? new Uint8Array(capacity) : new Float64Array(capacity);
      grown.set(this[name].subarray(0, this.rows));
      this[name] = grown;
    }
  }

  /** Takes rows in that were put behind the others. */
  settle(rows) {
    for (let at = this.rows; at < rows; at++) {
      const block = Math.floor(at / BLOCK), time = this.t[at];
      if (block === this.earliest.length) {
        this.earliest.push(time);
        this.latest.push(time);
      } else {
        if (time < this.earliest[block]) this.earliest[block] = time;
        if (time > this.latest[block]) this.latest[block] = time;
      }
    }
    this.rows = rows;
  }

  add(record) {
    this.reserve(this.rows + 1);
    for (const name of this.names) this[name][this.rows] = record[name];
    this.settle(this.rows + 1);
  }

  /** Visits the blocks of rows that may have a time of the range: `visit(chunk, start, end)`. */
  blocks(from, to, visit) {
    for (let block = 0; block < this.earliest.length; block++) {
      if (this.latest[block] >= from && this.earliest[block] < to) visit(this, block * BLOCK, Math.min((block + 1) * BLOCK, this.rows));
    }
  }
}

const KINDS = {
  trades: { path: 'v1/trades', names: ['t', 'id', 'price', 'size', 'side'], columns: 'time_ns,trade_id,price,size,side' },
  quotes: { path: 'v1/tickers', names: ['t', 'bid', 'ask'], columns: 'time_ns,bid,ask' },
};

function readChunk(kind, bytes, from, to) {
  const { names } = KINDS[kind];
  let rows = 0;
  readStream(bytes, (_, count) => { rows += count; });
  const chunk = new Chunk(names, rows, from, to);
  let at = 0;
  readStream(bytes, (columns, count, dictionaries) => {
    copyIntegers(columns.get('time_ns'), chunk.t, at, 1e6);
    if (kind === 'trades') {
      copyIntegers(columns.get('trade_id'), chunk.id, at);
      copyDoubles(columns.get('price'), chunk.price, at);
      copyDoubles(columns.get('size'), chunk.size, at);
      copySides(columns.get('side'), chunk.side, at, dictionaries);
    } else {
      copyDoubles(columns.get('bid'), chunk.bid, at);
      copyDoubles(columns.get('ask'), chunk.ask, at);
    }
    at += count;
  });
  chunk.settle(rows);
  return chunk;
}

/** Trades or quotes of one product. */
export class Series {
  constructor(api, kind, product) {
    Object.assign(this, { api, kind, product });
    this.forget();
  }

  forget() {
    this.chunks = [];
    this.from = this.to = NaN;
    this.isAtEdge = false;
    this.lastId = 0;
    this.live = null;
  }

  get rows() { return this.chunks.reduce((sum, chunk) => sum + chunk.rows, 0); }

  holds(from, to) { return this.from <= from && (this.isAtEdge || this.to >= to); }

  /** Visits blocks of rows, in order: see `Chunk.blocks`. */
  blocks(from, to, visit) {
    for (const chunk of this.chunks) chunk.blocks(from, to, visit);
  }

  async fetch(from, to, signal) {
    const { path, columns } = KINDS[this.kind];
    const asked = { product: this.product, from: toNanos(from), to: toNanos(to), columns, limit: MOST_ASKED };
    const chunk = readChunk(this.kind, await this.api.bytes(path, asked, signal), from, to);
    if (chunk.rows >= MOST_ASKED) throw new Error('too many records for one picture: zoom in');
    return chunk;
  }

  /** Makes sure that a range is held, with `margin` on both sides where something has to be asked for. `edge` is the time up to which there is anything. */
  async load(from, to, margin, edge, signal) {
    if (this.holds(from, Math.min(to, edge))) return false;
    const wanted = { from: from - margin, to: to + margin };
    const joins = this.from <= wanted.to && (this.isAtEdge || this.to >= wanted.from);
    const reachesEdge = wanted.to >= edge;
    if (!joins) {
      const chunk = await this.fetch(wanted.from, wanted.to, signal);
      this.forget();
      this.chunks = [chunk];
      [this.from, this.to] = [wanted.from, wanted.to];
    } else {
      if (wanted.from < this.from) {
        this.chunks.unshift(await this.fetch(wanted.from, this.from, signal));
        this.from = wanted.from;
      }
      if (!this.isAtEdge && wanted.to > this.to) {
        this.chunks.push(await this.fetch(this.to, wanted.to, signal));
        this.to = wanted.to;
      }
    }
    if (reachesEdge && !this.isAtEdge) {
      this.isAtEdge = true;
      this.live = null;
      this.lastId = 0;
      if (this.kind === 'trades') for (const chunk of this.chunks) for (let at = 0; at < chunk.rows; at++) if (chunk.id[at] > this.lastId) this.lastId = chunk.id[at];
    }
    this.trim(from, to);
    return true;
  }

  /** Adds a record that came live. One that the chart has is left out. */
  add(record) {
    if (!this.isAtEdge || record.t < this.from) return;
    if (this.kind === 'trades') {
      if (record.id <= this.lastId && this.has(record.id)) return;
      this.lastId = Math.max(this.lastId, record.id);
    }
    if (this.live?.rows >= LIVE_ROWS) {
      // Only whole chunks are let go.
      this.live.to = record.t;
      this.live = null;
    }
    if (this.live === null) {
      this.live = new Chunk(KINDS[this.kind].names, 1024, record.t, Infinity);
      this.chunks.push(this.live);
    }
    this.live.add(record);
    if (this.rows > MOST_ROWS) this.trim(record.t, record.t);
  }

  /** Tells whether a trade is held: asked only of those that come late. */
  has(id) {
    return this.chunks.some((chunk) => chunk.id.subarray(0, chunk.rows).includes(id));
  }

  /** Lets whole chunks go that are far from the view. */
  trim(from, to) {
    let first = this.chunks[0];
    while (this.rows > MOST_ROWS && this.chunks.length > 1 && first.to < from) {
      this.chunks.shift();
      this.from = first.to;
      first = this.chunks[0];
    }
    while (this.rows > MOST_ROWS && this.chunks.length > 1 && this.chunks.at(-1).from > to) {
      const last = this.chunks.pop();
      this.to = last.from;
      this.isAtEdge = false;
      this.live = null;
    }
  }
}

/** What of a JSON record the chart needs. */
export function tradeOf(record) {
  return {
    t: toMs(record.time_ns ?? record.time),
    id: Number(record.trade_id),
    price: Number(record.price),
    size: Number(record.size),
    side: record.side === 'buy' ? 1 : record.side === 'sell' ? 0 : 2,
  };
}

export function quoteOf(record) {
  const number = (value) => (value === null || value === undefined ? NaN : Number(value));
  return { t: toMs(record.time_ns ?? record.time), bid: number(record.bid), ask: number(record.ask) };
}

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/** The lengths of candles that are drawn, and which the server is asked for: it has seven, others are put together. */
const STEPS = [
  [SECOND, '1s', SECOND], [2 * SECOND, '1s', SECOND], [5 * SECOND, '1s', SECOND], [10 * SECOND, '1s', SECOND],
  [MINUTE, '1m', MINUTE], [2 * MINUTE, '1m', MINUTE], [5 * MINUTE, '5m', 5 * MINUTE], [10 * MINUTE, '5m', 5 * MINUTE],
  [15 * MINUTE, '15m', 15 * MINUTE], [30 * MINUTE, '15m', 15 * MINUTE], [HOUR, '1h', HOUR], [2 * HOUR, '1h', HOUR],
  [6 * HOUR, '6h', 6 * HOUR], [12 * HOUR, '6h', 6 * HOUR], [DAY, '1d', DAY], [7 * DAY, '1d', DAY], [28 * DAY, '1d', DAY],
];

/** Days that a server answers about at once, where it was not told another number. A multiple of them begins no candle in its middle. */
const MOST_DAYS = 28;

/** Chooses candles of at least `pixels` each for a view that is `width` pixels wide. */
export function stepFor(span, width, pixels) {
  const [step, interval, base] = STEPS.find(([length]) => (width * length) / span >= pixels) ?? STEPS.at(-1);
  return { step, interval, base };
}

/** Candles of one product, of the length that the view needs. */
export class Candles {
  constructor(api, product) {
    Object.assign(this, { api, product });
    this.forget();
  }

  forget() {
    this.interval = null;
    this.rows = [];
    this.from = this.to = NaN;
  }

  /** Makes sure that a range is held. Asks for the last ones again where `fresh` says so: they grow. */
  async load(view, edge, step, fresh, signal) {
    const { interval, base } = step;
    const to = Math.min(view.to, edge);
    const isHeld = this.interval === interval && this.from <= view.from && this.to >= to;
    if (isHeld && !(fresh && view.to >= this.lastStart)) return false;
    const align = (ms) => Math.floor(ms / base) * base;
    const span = view.to - view.from;
    if (isHeld || (this.interval === interval && this.from <= view.from && this.to >= view.from && view.to - this.to < span)) {
      const from = align(Math.min(this.lastStart ?? this.to, this.to));
      const rows = await this.ask(interval, from, Math.max(to, from) + base, signal);
      this.rows = this.rows.filter((row) => row.t < from).concat(rows);
      this.to = Math.max(to, this.to);
    } else {
      const range = [align(view.from - span / 2), align(Math.min(view.to + span / 2, Math.max(edge, view.to))) + base];
      const rows = await this.ask(interval, ...range, signal);
      [this.interval, this.rows, this.from, this.to] = [interval, rows, range[0], Math.min(range[1], edge)];
    }
    return true;
  }

  get lastStart() { return this.rows.at(-1)?.t; }

  async ask(interval, from, to, signal) {
    const answer = [];
    for (let start = from; start < to; start += MOST_DAYS * DAY) {
      const end = Math.min(start + MOST_DAYS * DAY, to);
      answer.push(...(await this.api.json('v1/candles', { product: this.product, interval, from: toNanos(start), to: toNanos(end) }, signal)));
    }
    return answer.map((row) => ({
      t: toMs(row.time), open: Number(row.open), high: Number(row.high), low: Number(row.low), close: Number(row.close),
      bought: Number(row.buy_volume), sold: Number(row.sell_volume), trades: Number(row.trades), missing: Number(row.missing ?? 0),
    })).filter((row) => Number.isFinite(row.open));
  }

  /** Counts the trades of a range, about: a candle at its edge counts by its share. */
  count(from, to, base) {
    let sum = 0;
    for (const row of this.rows) {
      const share = (Math.min(to, row.t + base) - Math.max(from, row.t)) / base;
      if (share > 0) sum += row.trades * share;
    }
    return sum;
  }

  /** Gives candles of `step` ms, put together of those that are held. */
  of(step) {
    const put = [];
    for (const row of this.rows) {
      const t = Math.floor(row.t / step) * step, last = put.at(-1);
      if (last?.t !== t) {
        put.push({ ...row, t });
      } else {
        last.high = Math.max(last.high, row.high);
        last.low = Math.min(last.low, row.low);
        last.close = row.close;
        for (const sum of ['bought', 'sold', 'trades', 'missing']) last[sum] += row[sum];
      }
    }
    return put;
  }
}
