// One trade: ids, orders, both times, origin; and all fills of its taker order.

import { $, make } from './dom.js';
import * as format from './format.js';
import { tradeOf } from './series.js';

/** Trades that are asked for at once, on each side, while fills are looked for; and the most fills that are shown. */
const PAGE = 500;
const MOST_FILLS = 10_000;

/** How far from a trade the other fills of its order may lie: a server answers about some days at once, so a time is given. */
const AROUND_MS = 60_000;
const around = (t) => ({ from: format.toNanos(t - AROUND_MS), to: format.toNanos(t + AROUND_MS) });

const ORIGINS = { live: 'live, from the feed', snapshot: 'from the feed, on subscribing', rest: 'fetched by REST', tape: "from another machine's tape" };

export class TradePanel {
  constructor(api, { shown, showOrder }) {
    Object.assign(this, { api, shown, showOrder });
    this.body = $('trade');
    this.close = $('trade-close');
    this.close.addEventListener('click', () => this.clear());
    this.place = this.body.firstElementChild;
  }

  clear() {
    this.stop?.abort();
    this.close.hidden = true;
    this.body.replaceChildren(this.place);
    this.shown(null);
  }

  async pick(product, trade) {
    this.stop?.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.close.hidden = false;
    this.shown(trade);
    try {
      const [record] = await this.api.json('v1/trades', { product, ...around(trade.t), after_id: trade.id - 1, limit: 1 }, signal);
      if (!record || Number(record.trade_id) !== trade.id) throw new Error(`trade ${trade.id} is not stored any more`);
      this.body.replaceChildren(this.describe(product, record));
    } catch (error) {
      if (error.name !== 'AbortError') this.body.replaceChildren(make('p', { class: 'failed' }, error.message, error.hint ? `: ${error.hint}` : ''));
    }
  }

  describe(product, record) {
    const trade = tradeOf(record);
    const side = record.side === 'buy' ? 'bought' : record.side === 'sell' ? 'sold' : '–';
    const [base, quote] = product.split('-');
    const received = format.nanos(record.recv_ns);
    const delay = received ? (Number(BigInt(record.recv_ns) - BigInt(record.time_ns)) / 1e6) : NaN;
    const rows = [
      ['Trade id', format.fixed(trade.id, 0)],
      ['Sequence', record.sequence === null || record.sequence === undefined ? null : format.fixed(Number(record.sequence), 0)],
      ['Event time', format.nanos(record.time_ns)],
      ['Received', received ? `${received}` : null],
      ['Delay', Number.isFinite(delay) ? format.duration(Math.abs(delay)) + (delay < 0 ? ' before' : '') : null],
      ['Maker order', record.maker_order_id],
      ['Origin', `${ORIGINS[record.origin] ?? record.origin ?? '–'}${Number(record.line) > 0 ? `, line ${record.line}` : ''}${record.feed ? `, ${record.feed}` : ''}`],
    ];
    const list = make('dl', { class: 'facts' });
    for (const [name, value] of rows) list.append(make('div', name.endsWith('order') && value ? { class: 'wide' } : {}, make('dt', {}, name), make('dd', value ? {} : { class: 'none' }, value ?? 'not sent')));
    const fills = make('div', { class: 'fills' });
    const taker = record.taker_order_id
      ? make('button', { type: 'button', class: 'order', 'aria-label': `Taker order ${record.taker_order_id}: show all its fills`, onclick: (event) => this.fills(product, record, fills, event.currentTarget) }, record.taker_order_id, make('span', { class: 'more', 'aria-hidden': 'true' }, 'Show all its fills'))
      : 'not sent';
    list.children[5].after(make('div', record.taker_order_id ? { class: 'wide' } : {}, make('dt', {}, 'Taker order'), make('dd', record.taker_order_id ? {} : { class: 'none' }, taker)));
    const title = make('p', { class: `trade-title ${record.side ?? ''}` }, make('strong', {}, `${side} ${format.exact(trade.size)} ${base}`), ` at ${format.exact(trade.price)} ${quote ?? ''}`);
    const value = make('p', { class: 'trade-value' }, `${format.fixed(trade.price * trade.size, 2)} ${quote ?? ''}`);
    return make('div', {}, title, value, list, fills);
  }

  /** Shows the fills of a trade's taker order: the trades beside it that name the same order. An order's fills have consecutive ids. */
  async fills(product, record, place, button) {
    const { signal } = this.stop;
    button.disabled = true;
    place.replaceChildren(make('p', { class: 'empty' }, 'Reading…'));
    try {
      const { found, isAll } = await this.findFills(product, record, signal);
      place.replaceChildren(this.fillTable(found, isAll));
      place.scrollIntoView({ block: 'nearest' });
      this.showOrder(found.map(tradeOf));
    } catch (error) {
      if (error.name !== 'AbortError') place.replaceChildren(make('p', { class: 'failed' }, error.message));
    } finally {
      button.disabled = false;
    }
  }

  async findFills(product, record, signal) {
    const isFill = (other) => other.taker_order_id === record.taker_order_id;
    const found = [record], range = around(tradeOf(record).t);
    let isAll = true;
    for (let last = Number(record.trade_id); isAll; ) {
      const page = await this.api.json('v1/trades', { product, ...range, after_id: last, limit: PAGE }, signal);
      const end = page.findIndex((other) => !isFill(other));
      found.push(...(end < 0 ? page : page.slice(0, end)));
      if (end >= 0 || page.length < PAGE) break;
      last = Number(page.at(-1).trade_id);
      isAll = found.length < MOST_FILLS;
    }
    for (let first = Number(record.trade_id); isAll && first > 1; ) {
      const after = Math.max(first - PAGE - 1, 0);
      const page = (await this.api.json('v1/trades', { product, ...range, after_id: after, limit: PAGE }, signal)).filter((other) => Number(other.trade_id) < first);
      const before = page.findLastIndex((other) => !isFill(other));
      found.unshift(...page.slice(before + 1));
      if (before >= 0 || page.length === 0) break;
      first = Number(page[0].trade_id);
      isAll = found.length < MOST_FILLS;
    }
    return { found, isAll };
  }

  fillTable(found, isAll) {
    const trades = found.map(tradeOf);
    const size = trades.reduce((sum, trade) => sum + trade.size, 0);
    const value = trades.reduce((sum, trade) => sum + trade.size * trade.price, 0);
    const prices = new Set(trades.map((trade) => trade.price));
    const decimals = Math.max(...trades.map((trade) => format.decimalsOf(trade.price)));
    const holes = trades.at(-1).id - trades[0].id + 1 - trades.length;
    const shown = trades.slice(0, 200);
    const rows = shown.map((trade) => make('tr', {}, make('td', {}, format.fixed(trade.id, 0)), make('td', { class: 'number' }, format.fixed(trade.price, decimals)), make('td', { class: 'number' }, format.size(trade.size))));
    const words = `${format.things(trades.length, 'fill')} at ${format.things(prices.size, 'price')}, ${format.size(size)} in all, ${format.exact(Number((value / size).toPrecision(10)))} on average`;
    const notes = [
      holes > 0 ? `${format.things(holes, 'trade')} between them missing: they may be fills too.` : null,
      isAll ? null : 'There are more.',
      shown.length < trades.length ? `The first ${shown.length} are listed.` : null,
    ].filter(Boolean);
    return make('div', {}, make('p', { class: 'fill-words' }, words), ...notes.map((note) => make('p', { class: 'note' }, note)),
      make('table', { 'aria-label': 'Fills of the taker order' }, make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, 'Trade id'), make('th', { scope: 'col', class: 'number' }, 'Price'), make('th', { scope: 'col', class: 'number' }, 'Size'))), make('tbody', {}, ...rows)));
  }
}
