// Product by day, coloured by verdict; the reasons of the day that is pointed at.

import { $, make } from './dom.js';
import * as format from './format.js';
import { VERDICT } from './model.js';

/** Days that are shown, the newest: a server answers about 31 at most at once. */
const MOST_DAYS = 31;

export class CoverageTable {
  /** `read(product, date)` gives a day with its reasons; `chosen(product, date)` is told which day was clicked. */
  constructor({ read, chosen }) {
    Object.assign(this, { read, chosen });
    this.place = $('coverage');
    this.reasons = $('reasons');
    this.signature = null;
    for (const kind of ['pointerover', 'focusin']) this.place.addEventListener(kind, (event) => this.point(event.target.closest('button')));
    this.place.addEventListener('click', (event) => {
      const button = event.target.closest('button');
      if (button) this.chosen(button.dataset.product, button.dataset.date);
    });
    this.place.addEventListener('keydown', (event) => this.key(event));
  }

  set(products) {
    const dates = [...new Set(products.flatMap((product) => product.days.map((day) => day.date)))].sort().slice(-MOST_DAYS);
    const signature = JSON.stringify(products.map((product) => [product.name, product.days.map((day) => [day.date, day.verdict, day.state])]));
    if (signature === this.signature) return;
    this.signature = signature;
    if (dates.length === 0) {
      this.place.replaceChildren(make('p', { class: 'empty' }, 'No day is stored yet.'));
      return;
    }
    const focused = document.activeElement?.closest('#coverage button')?.dataset;
    const months = dates.map((date, at) => (at === 0 || date.slice(0, 7) !== dates[at - 1].slice(0, 7) ? date.slice(0, 7) : ''));
    const head = dates.map((date, at) => make('th', { scope: 'col', 'aria-label': date, title: date }, make('span', { class: 'month' }, months[at]), make('span', {}, date.slice(8))));
    const rows = products.map((product) => {
      const days = new Map(product.days.map((day) => [day.date, day]));
      const cells = dates.map((date) => make('td', {}, days.has(date) ? this.cell(product.name, days.get(date)) : make('span', { class: 'cell none', role: 'img', 'aria-label': `${date}: nothing stored` })));
      return make('tr', {}, make('th', { scope: 'row' }, product.name), ...cells);
    });
    this.place.replaceChildren(make('table', {}, make('thead', {}, make('tr', {}, make('td'), ...head)), make('tbody', {}, ...rows)));
    const first = this.place.querySelector(focused ? `button[data-product="${CSS.escape(focused.product)}"][data-date="${focused.date}"]` : 'button');
    if (first) first.tabIndex = 0;
    if (focused) first?.focus();
  }

  cell(product, { date, verdict, state }) {
    const isLive = state === 'live';
    return make('button', {
      type: 'button', class: `cell ${verdict}${isLive ? ' is-live' : ''}`, tabindex: -1, dataset: { product, date },
      'aria-label': `${product} ${date}: ${verdict}, ${VERDICT[verdict].words}${isLive ? ', being written' : ''}${state === 'archived' ? ', archived' : ''}`,
    }, VERDICT[verdict].glyph);
  }

  async point(button) {
    if (!button) return;
    const { product, date } = button.dataset;
    const wanted = `${product} ${date}`;
    if (this.wanted === wanted) return;
    this.wanted = wanted;
    // A pointer that only passes by asks for nothing.
    await new Promise((done) => setTimeout(done, 80));
    if (this.wanted !== wanted) return;
    try {
      const day = await this.read(product, date);
      if (this.wanted === wanted) this.reasons.replaceChildren(day ? describe(day) : make('p', { class: 'empty' }, `Nothing is stored of ${product} on ${date}.`));
    } catch (error) {
      if (this.wanted === wanted && error.name !== 'AbortError') this.reasons.replaceChildren(make('p', { class: 'failed' }, error.message, error.hint ? `: ${error.hint}` : ''));
    } finally {
      if (this.wanted === wanted) this.wanted = null;
    }
  }

  key(event) {
    const button = event.target.closest('button');
    if (!button) return;
    const [row, column] = [button.closest('tr'), button.closest('td').cellIndex];
    const to = {
      ArrowLeft: () => near(row, column, -1), ArrowRight: () => near(row, column, 1),
      ArrowUp: () => row.previousElementSibling?.cells[column]?.querySelector('button'),
      ArrowDown: () => row.nextElementSibling?.cells[column]?.querySelector('button'),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    const next = to();
    if (!next) return;
    button.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

function near(row, column, by) {
  for (let at = column + by; at > 0 && at < row.cells.length; at += by) {
    const button = row.cells[at].querySelector('button');
    if (button) return button;
  }
  return null;
}

function describe(day) {
  const share = (value) => (Number.isFinite(value) ? `${format.fixed(Math.floor(value * 1000) / 10, 1)} %` : '–');
  const missing = day.gaps.reduce((sum, gap) => sum + gap.count, 0);
  const facts = make('dl', { class: 'facts' },
    make('div', {}, make('dt', {}, 'Trade ids'), make('dd', {}, Number.isFinite(day.first) ? format.ids(day.first, day.last) : 'none')),
    make('div', {}, make('dt', {}, 'Missing'), make('dd', {}, format.fixed(missing, 0))),
    make('div', {}, make('dt', {}, 'With order ids'), make('dd', {}, share(day.orderIds))),
    make('div', {}, make('dt', {}, 'With receive time'), make('dd', {}, share(day.receiveTime))));
  const gaps = day.gaps.slice(0, 8).map((gap) => make('li', {}, `${format.ids(gap.first, gap.last)}: ${format.things(gap.count, 'trade')}${Number.isFinite(gap.from) ? `, ${format.clock(gap.from)} – ${format.clock(gap.to)}` : ''}${gap.reason ? ` · ${gap.reason}` : ''}`));
  if (day.gaps.length > 8) gaps.push(make('li', {}, `and ${day.gaps.length - 8} more gaps`));
  return make('div', {},
    make('p', { class: 'day-title' }, make('i', { class: `cell ${day.verdict}`, 'aria-hidden': 'true' }, VERDICT[day.verdict].glyph), make('strong', {}, `${day.product} ${day.date}`), ` ${day.verdict}`),
    ...day.reasons.map((reason) => make('p', { class: 'reason' }, reason)), gaps.length > 0 ? make('ul', {}, ...gaps) : null, facts);
}
