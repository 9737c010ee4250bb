// The list of products: last price, trades a second, verdict.

import { $, make, put } from './dom.js';
import * as format from './format.js';
import { VERDICT } from './model.js';

/** The rate is that of so many seconds. */
const RATE_MS = 10_000;
/** From so many products on, there is a field to find one. */
const MANY = 9;

export class Products {
  constructor(chosen) {
    this.chosen = chosen;
    this.list = $('products');
    this.filter = $('filter');
    this.rows = new Map();
    this.all = [];
    this.heard = new Map();
    this.decimals = new Map();
    this.filter.addEventListener('input', () => this.show());
  }

  /** Takes an answer over. */
  set(products, now) {
    this.all = products;
    for (const product of products) {
      const heard = (this.heard.get(product.name) ?? []).filter((known) => now - known.now <= RATE_MS + 3000);
      if (Number.isFinite(product.lastId)) heard.push({ now, id: product.lastId });
      this.heard.set(product.name, heard);
      // As many decimals as one of its prices had, so that the figures stand still.
      this.decimals.set(product.name, Math.max(this.decimals.get(product.name) ?? 0, format.decimalsOf(product.lastPrice)));
    }
    this.filter.hidden = products.length < MANY;
    this.show();
  }

  /** Trades a second, from how far the ids have come. */
  rate(name) {
    const heard = this.heard.get(name) ?? [];
    const [first, last] = [heard[0], heard.at(-1)];
    return heard.length < 2 ? NaN : ((last.id - first.id) * 1000) / (last.now - first.now);
  }

  /** Takes a newer price than the last answer has, so that the list says what stands above the chart. */
  setPrice(name, price) {
    const [product, row] = [this.get(name), this.rows.get(name)];
    if (!product || !row || !Number.isFinite(price)) return;
    product.lastPrice = price;
    this.decimals.set(name, Math.max(this.decimals.get(name) ?? 0, format.decimalsOf(price)));
    put(row.price, format.fixed(price, this.decimals.get(name)));
  }

  get(name) { return this.all.find((product) => product.name === name); }

  choose(name) {
    this.current = name;
    this.show();
  }

  show() {
    const wanted = this.filter.value.trim().toUpperCase();
    const shown = this.all.filter((product) => product.name.includes(wanted));
    const names = shown.map((product) => product.name).join(' ');
    if (names !== this.names) {
      this.names = names;
      this.rows = new Map(shown.map((product) => [product.name, this.row(product)]));
      const empty = this.all.length === 0 ? 'None yet.' : 'None has this in its name.';
      this.list.replaceChildren(...(shown.length > 0 ? [...this.rows.values()].map((row) => row.item) : [make('li', { class: 'empty' }, empty)]));
    }
    for (const product of shown) this.update(this.rows.get(product.name), product);
  }

  row({ name }) {
    const parts = { name: make('span', { class: 'name' }, name), verdict: make('i', { class: 'cell' }), price: make('span', { class: 'number' }), rate: make('span', { class: 'number' }) };
    const link = make('a', { href: '#', onclick: (event) => { event.preventDefault(); this.chosen(name); } }, parts.verdict, parts.name, parts.price, parts.rate);
    return { item: make('li', {}, link), link, ...parts };
  }

  update(row, product) {
    const rate = this.rate(product.name);
    const { glyph, words } = VERDICT[product.worst];
    put(row.price, Number.isFinite(product.lastPrice) ? format.fixed(product.lastPrice, this.decimals.get(product.name)) : '–');
    put(row.rate, format.rate(rate));
    put(row.verdict, glyph);
    row.verdict.className = `cell ${product.worst}`;
    const days = product.worstDays.length === 1 ? product.worstDays[0] : format.things(product.worstDays.length, 'day');
    row.verdict.title = `${product.worst}: ${words} (${days})`;
    row.link.setAttribute('aria-label', `${product.name}, last price ${format.exact(product.lastPrice)}, ${format.rate(rate)} trades a second, ${product.worst}: ${words}`);
    if (product.name === this.current) row.link.setAttribute('aria-current', 'true'); else row.link.removeAttribute('aria-current');
  }
}
