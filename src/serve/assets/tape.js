// The last trades as they come. It can be stopped, and goes on with what came meanwhile.

import { $, make, put } from './dom.js';
import * as format from './format.js';

const ROWS = 60;
/** Trades kept while the list stands still, and for a chart that has not caught up yet. */
const KEPT = 20_000;

export class TapeList {
  constructor(picked) {
    this.picked = picked;
    this.body = $('tape');
    this.button = $('pause');
    this.empty = $('tape-empty');
    this.rows = Array.from({ length: ROWS }, () => this.row());
    this.body.append(...this.rows.map((row) => row.item));
    this.isPaused = false;
    this.clear();
    this.button.addEventListener('click', () => this.pause(!this.isPaused));
    this.body.addEventListener('focusin', () => this.pause(true));
    this.body.addEventListener('keydown', (event) => this.key(event));
    this.focused = 0;
  }

  clear() {
    this.trades = [];
    this.decimals = 2;
    this.held = 0;
    this.show();
  }

  row() {
    const parts = { time: make('span'), price: make('td', { class: 'number' }), size: make('td', { class: 'number' }) };
    const button = make('button', { type: 'button', tabindex: -1, onclick: () => { if (row.trade) this.picked(row.trade); } }, parts.time);
    const item = make('tr', { hidden: true, onclick: (event) => { if (row.trade && !event.target.closest('button')) this.picked(row.trade); } }, make('td', {}, button), parts.price, parts.size);
    const row = { item, button, ...parts, trade: null };
    return row;
  }

  /** Adds trades, the oldest first. */
  add(trades) {
    for (const trade of trades) {
      this.decimals = Math.max(this.decimals, format.decimalsOf(trade.price));
      if (this.trades.length === 0 || trade.id > this.trades.at(-1).id) {
        this.trades.push(trade);
      } else {
        const at = this.trades.findLastIndex((known) => known.id <= trade.id);
        if (this.trades[at]?.id !== trade.id) this.trades.splice(at + 1, 0, trade);
      }
    }
    if (this.trades.length > KEPT) this.trades.splice(0, this.trades.length - KEPT);
    if (this.isPaused) this.held += trades.length;
    this.ask();
  }

  pause(isPaused) {
    if (this.isPaused === isPaused) return;
    this.isPaused = isPaused;
    this.held = 0;
    this.button.setAttribute('aria-pressed', String(isPaused));
    this.ask();
  }

  ask() {
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => {
      this.isAsked = false;
      this.show();
    });
  }

  show() {
    put(this.button, this.isPaused ? (this.held > 0 ? `Go on (${format.count(this.held)})` : 'Go on') : 'Pause');
    if (this.isPaused && this.rows[0].trade) return;
    this.empty.hidden = this.trades.length > 0;
    for (let at = 0; at < ROWS; at++) this.fill(this.rows[at], this.trades[this.trades.length - 1 - at], at);
  }

  fill(row, trade, at) {
    row.item.hidden = !trade;
    row.trade = trade ?? null;
    row.item.dataset.id = trade?.id ?? '';
    if (!trade) return;
    row.button.tabIndex = at === this.focused ? 0 : -1;
    put(row.time, format.clock(trade.t, 3));
    put(row.price, format.fixed(trade.price, this.decimals));
    put(row.size, format.size(trade.size));
    const below = this.trades[this.trades.length - 2 - at];
    const isGap = below !== undefined && trade.id > below.id + 1;
    row.item.className = `${['sell', 'buy', ''][trade.side]}${isGap ? ' is-gap' : ''}`;
    row.item.title = isGap ? `${format.things(trade.id - below.id - 1, 'trade')} missing below this one` : '';
    const side = ['sold', 'bought', 'traded'][trade.side];
    row.button.setAttribute('aria-label', `${format.clock(trade.t, 3)}, ${side} ${format.exact(trade.size)} at ${format.exact(trade.price)}${isGap ? `, ${row.item.title}` : ''}`);
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const last = this.rows.findLastIndex((row) => row.trade);
    this.rows[this.focused].button.tabIndex = -1;
    this.focused = Math.min(Math.max(this.focused + step, 0), last);
    this.rows[this.focused].button.tabIndex = 0;
    this.rows[this.focused].button.focus();
  }
}
