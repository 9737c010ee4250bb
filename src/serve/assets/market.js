// What is held of one product: its trades, quotes and candles, what is missing on each day, and the streams that bring more.

import { Live } from './api.js';
import { Candles, Series, quoteOf, stepFor, tradeOf } from './series.js';
import { dayOf, gapsOf } from './model.js';
import { toNanos } from './format.js';

/** Above so many trades, or so long a time, candles are drawn unless trades are asked for; and the most trades that are drawn at all. */
const AUTO_TRADES = 60_000;
const AUTO_SPAN = 48 * 3_600_000;
const MOST_TRADES = 2_000_000;
/** Days of one question about coverage. */
const COVERAGE_DAYS = 31;
export const DAY = 86_400_000;

/** Asks what days hold and lack. */
export async function askDays(api, product, from, to, signal) {
  const answer = await api.json('v1/coverage', { product, from: toNanos(from), to: toNanos(to) }, signal);
  return answer.map(dayOf);
}

export class Market {
  /** `heard` is told of trades and quotes as they come. */
  constructor(api, name, heard) {
    Object.assign(this, { api, name, heard });
    this.trades = new Series(api, 'trades', name);
    this.quotes = new Series(api, 'quotes', name);
    this.candles = new Candles(api, name);
    this.days = new Map();
    this.gaps = [];
    this.last = null;
    this.quote = null;
    this.streams = [];
    this.isOpen = false;
  }

  stop() {
    this.streams.forEach((stream) => stream.stop());
    this.streams = [];
  }

  /** Lets go of what may have changed while nothing was heard. */
  forget() {
    this.trades.forget();
    this.quotes.forget();
    this.candles.forget();
    this.days.clear();
  }

  /** Follows what comes behind a trade. */
  follow(after, hasQuotes) {
    this.stop();
    const behind = after === undefined ? {} : { after_id: after };
    this.streams.push(new Live(this.api, { product: this.name, dataset: 'trades', ...behind }, { heard: (records) => this.hear(records) }));
    if (hasQuotes) this.streams.push(new Live(this.api, { product: this.name, dataset: 'md' }, { heard: (records) => this.hearQuotes(records) }));
  }

  hear(records) {
    const trades = records.map(tradeOf);
    let isHole = false;
    for (const trade of trades) {
      isHole ||= this.last !== null && trade.id !== this.last.id + 1;
      this.trades.add(trade);
      if (!this.last || trade.id > this.last.id) this.last = trade;
    }
    // Ids were left out, or a late trade fills a gap: what is missing has to be asked for anew.
    if (isHole) this.days.clear();
    this.heard(trades, isHole);
  }

  hearQuotes(records) {
    for (const record of records) {
      const quote = quoteOf(record);
      this.quotes.add(quote);
      if (!this.quote || quote.t >= this.quote.t) this.quote = quote;
    }
    this.heard([], false);
  }

  /** Reads the last quote: on a tape at rest none comes. */
  async readQuote(since) {
    const [record] = await this.api.json('v1/tickers', { product: this.name, from: toNanos(since), order: 'desc', limit: 1 });
    if (record && !this.quote) this.quote = quoteOf(record);
  }

  /** Reads candles for a view. Tells which are drawn, and whether trades are drawn in their place. */
  async readCandles({ view, width, end, mode, isFollowed, signal }) {
    const span = view.to - view.from, step = stepFor(span, width, 4.5);
    await this.candles.load(view, end, step, isFollowed, signal);
    const count = this.candles.count(view.from, view.to, step.base);
    const wantsTrades = mode === 'trades' ? count <= MOST_TRADES : mode === 'auto' && count <= AUTO_TRADES && span <= AUTO_SPAN;
    this.isTooMany = mode === 'trades' && !wantsTrades;
    return { candles: this.candles.of(step.step), step: step.step, count, wantsTrades };
  }

  /** Reads trades and quotes for a view. `recent` are the trades that came live, the oldest first. */
  async readTrades({ view, end, count, hasQuotes, recent, signal }) {
    const margin = (view.to - view.from) * (count > 300_000 ? 0.05 : 0.5);
    if (await this.trades.load(view.from, view.to, margin, end, signal)) await this.join(recent, signal);
    if (hasQuotes) await this.quotes.load(view.from, view.to, margin, end, signal);
  }

  /** Adds what came live while the trades were read. Where it does not reach back to them, the rest is read. */
  async join(recent, signal) {
    for (let tried = 0; tried < 5 && this.trades.isAtEdge; tried++) {
      const all = recent();
      const behind = all.filter((trade) => trade.id > this.trades.lastId);
      const isJoined = this.trades.lastId === 0 || behind.length < all.length || all.length === 0 || all[0].id <= this.trades.lastId + 1;
      if (isJoined) {
        behind.forEach((trade) => this.trades.add(trade));
        return;
      }
      const more = await this.api.lines('v1/trades', { product: this.name, from: toNanos(this.trades.from), after_id: this.trades.lastId, limit: 20_000 }, signal);
      more.map(tradeOf).forEach((trade) => this.trades.add(trade));
      if (more.length === 0) return;
    }
  }

  /** Reads what is missing on the days of the view. A day is read again after some seconds, a sealed one after a minute. */
  async readCoverage(days, view, signal) {
    const now = Date.now();
    const wanted = days.filter(({ date, state }) => {
      const start = Date.parse(date), known = this.days.get(date);
      return start < view.to && start + DAY > view.from && !(known && now - known.at < (state === 'live' ? 4000 : 60_000));
    });
    for (let at = 0; at < wanted.length; at++) {
      const start = Date.parse(wanted[at].date);
      while (at + 1 < wanted.length && Date.parse(wanted[at + 1].date) < start + COVERAGE_DAYS * DAY) at++;
      const answer = await askDays(this.api, this.name, start, Date.parse(wanted[at].date) + DAY, signal);
      for (const day of answer) this.days.set(day.date, { at: Date.now(), day });
    }
    this.gaps = gapsOf([...this.days.values()].map(({ day }) => day));
  }
}
