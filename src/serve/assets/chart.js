// The chart: prices above, volume below. uPlot makes scales, axes and the crosshair; `paint.js` draws the rest from its hooks.

import uPlot from './uplot.js';
import * as paint from './paint.js';
import * as format from './format.js';
import { gapLine } from './gaps.js';

/** The shortest and the longest time that is shown, in milliseconds. */
const SHORTEST = 10;
const LONGEST = 20 * 366 * 86_400_000;
/** How near the pointer a trade has to be, in CSS pixels. */
const NEAR = 14;

export class Chart {
  /** `moved(view)` is told where a person moves to; `picked(trade)` which trade was chosen. */
  constructor(root, { moved, picked }) {
    Object.assign(this, { root, moved, picked });
    this.view = { from: Date.now() - 900_000, to: Date.now() };
    this.shown = { mode: 'trades', trades: null, quotes: null, candles: [], step: 60_000, gaps: [], absent: [], last: null, until: 0, picked: null };
    this.prices = { low: 0, high: 1 };
    this.volume = 1;
    this.survey = null;
    this.drawn = { trades: 0, candles: 0, bands: [] };
    this.tip = root.querySelector('.tip');
    this.priceHost = root.querySelector('.price-plot');
    this.volumeHost = root.querySelector('.volume-plot');
    this.pricePlot = this.makePlot(this.priceHost, true);
    this.volumePlot = this.makePlot(this.volumeHost, false);
    this.readColours();
    new ResizeObserver(() => this.fit()).observe(root);
    this.fit();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const rgb = (hex) => { // The bytes of a pixel in memory are red, green, blue.
      const value = Number.parseInt(hex.slice(1), 16);
      return ((value & 255) << 16) | (value & 0xff00) | (value >> 16);
    };
    const sides = [colour('sell'), colour('buy'), colour('muted')];
    this.colours = {
      sides, sidesRgb: sides.map(rgb), gap: colour('gap'), bandAlpha: Number(colour('band-alpha')), onColour: colour('on-colour'), absent: colour('absent'),
      muted: colour('muted'), text: colour('text'), grid: colour('grid'), axis: colour('axis'), bid: colour('bid'), ask: colour('ask'), panel: colour('panel'),
      font: style.getPropertyValue('--font').trim(),
    };
  }

  themed() {
    this.readColours();
    this.render();
  }

  makePlot(host, isPrice) {
    const isNarrow = () => this.root.clientWidth < 560;
    const axis = {
      stroke: () => this.colours.muted,
      font: `12px ${getComputedStyle(document.documentElement).getPropertyValue('--font')}`,
      grid: { stroke: () => this.colours.grid, width: 1 },
      ticks: { show: false },
    };
    const options = {
      width: 600,
      height: 200,
      ms: 1,
      padding: [isPrice ? 10 : 6, 0, isPrice ? 6 : 0, 0],
      tzDate: (ms) => uPlot.tzDate(new Date(ms), 'Etc/UTC'),
      legend: { show: false },
      cursor: {
        drag: { x: false, y: false, setScale: false },
        points: { show: false },
        sync: { key: 'coltape', setSeries: false },
        y: isPrice,
        bind: { dblclick: () => null, mousedown: () => null, mouseup: () => null },
      },
      scales: { x: { time: true, auto: false }, y: { auto: false } },
      series: [{}, { scale: 'y', paths: () => null, points: { show: false } }],
      axes: [
        { ...axis, show: !isPrice, size: 44, gap: 6, space: () => (isNarrow() ? 64 : 88), values: (u, splits, _, __, increment) => timeLabels(u, splits, increment) },
        {
          ...axis, side: 1, gap: 8, size: () => this.axisSize ?? 60, space: isPrice ? 44 : 20,
          values: isPrice
            ? (_, splits, __, ___, increment) => splits.map((value) => format.fixed(value, format.decimalsOf(Number(increment.toPrecision(6)))))
            : (_, splits) => splits.map((value) => (value === 0 ? '0' : short(Math.abs(value)))),
        },
      ],
      hooks: {
        // uPlot remembers how it left the canvas: it has to find it so.
        drawClear: [(u) => keeping(u, () => this.drawUnder(u))],
        draw: [(u) => keeping(u, () => (isPrice ? this.drawPrices(u) : this.drawVolume(u)))],
      },
    };
    this.colours ??= { muted: '#888', grid: '#ddd' };
    const plot = new uPlot(options, [[this.view.from, this.view.to], [null, null]], host);
    this.listen(plot, isPrice);
    return plot;
  }

  fit() {
    for (const [plot, host] of [[this.pricePlot, this.priceHost], [this.volumePlot, this.volumeHost]]) {
      const { clientWidth: width, clientHeight: height } = host;
      if (width > 0 && (plot.width !== width || plot.height !== height)) plot.setSize({ width, height });
    }
    this.render();
  }

  /** The width of the plot in CSS pixels. */
  get width() { return this.pricePlot.over.clientWidth || 600; }

  /** Draws what `shown` says, in the next frame. */
  render() {
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => {
      this.isAsked = false;
      this.draw();
    });
  }

  draw() {
    const begun = performance.now();
    const { from, to } = this.view, shown = this.shown;
    const isTrades = shown.mode === 'trades';
    const visible = shown.candles.filter((candle) => candle.t + shown.step > from && candle.t < to);
    this.visible = visible;
    this.survey = isTrades && shown.trades ? paint.surveyTrades(shown.trades, from, to) : null;
    const range = paint.priceRange(isTrades ? shown.trades : null, isTrades ? shown.quotes : null, isTrades ? [] : visible, from, to);
    if (range) {
      const room = (range.high - range.low) * 0.07 || Math.max(range.high * 1e-5, 1e-9);
      // The names of gaps stand above the prices.
      const above = this.drawn.bands.length > 0 ? ((range.high - range.low) || room) * (26 / this.pricePlot.over.clientHeight) : 0;
      this.prices = { low: range.low - room, high: range.high + room + above };
    }
    this.bars = isTrades && shown.trades ? paint.volumeOf(shown.trades, from, to, this.width) : { step: shown.step, bars: visible };
    this.volume = this.bars.bars.reduce((most, { bought, sold }) => Math.max(most, bought, sold), 0) || 1;
    this.fitAxis();
    this.pricePlot.batch(() => {
      this.pricePlot.setScale('x', { min: from, max: to });
      this.pricePlot.setScale('y', { min: this.prices.low, max: this.prices.high });
    });
    this.volumePlot.batch(() => {
      this.volumePlot.setScale('x', { min: from, max: to });
      this.volumePlot.setScale('y', { min: -this.volume * 1.06, max: this.volume * 1.06 });
    });
    const trades = this.survey?.rows ?? Math.round(visible.reduce((sum, candle) => sum + candle.trades, 0));
    this.drawn = { ...this.drawn, trades, candles: isTrades ? 0 : visible.length, range };
    Object.assign(this.root.dataset, { mode: shown.mode, trades, candles: this.drawn.candles, gaps: this.drawn.bands.length });
    this.root.dataset.frame = (performance.now() - begun).toFixed(1);
    this.after?.();
  }

  /** Gives the axis at the right the room that the prices need. It only grows while a product is shown, so that nothing jumps. */
  fitAxis() {
    const { last } = this.shown;
    const pen = this.pricePlot.ctx;
    pen.save();
    pen.font = `600 12px ${this.colours.font}`;
    const words = [this.prices.low, this.prices.high].map((price) => format.fixed(price, last?.decimals ?? 2));
    const room = Math.ceil(Math.max(...words.map((text) => pen.measureText(text).width))) + 18;
    pen.restore();
    if (room > (this.axisSize ?? 60)) {
      this.axisSize = room;
      for (const plot of [this.pricePlot, this.volumePlot]) plot.setSize({ width: plot.width, height: plot.height });
    }
  }

  drawUnder(u) {
    const frame = new paint.Frame(u, ratioOf(u));
    frame.ctx.fillStyle = this.colours.panel;
    frame.ctx.fillRect(frame.left, frame.top, frame.width, frame.height);
    paint.drawAbsent(frame, this.shown.absent.map((span) => (u === this.pricePlot ? span : { ...span, words: '' })), this.colours);
    const bands = paint.bandsOf(frame, this.shown.gaps);
    paint.drawBands(frame, bands, this.colours);
    if (u === this.pricePlot) this.drawn.bands = bands;
  }

  drawPrices(u) {
    const { shown, colours } = this, frame = new paint.Frame(u, ratioOf(u));
    const { bands } = this.drawn;
    if (shown.mode === 'trades') {
      if (shown.quotes) paint.drawQuotes(frame, shown.quotes, shown.until, bands, colours);
      if (shown.trades && this.survey) paint.drawTrades(frame, shown.trades, this.survey, colours);
      for (const trade of [shown.picked, this.hovered]) {
        if (trade && trade.t >= frame.from && trade.t < frame.to && this.survey) paint.drawRing(frame, trade, paint.radiusOf(trade.size, this.survey), colours.text);
      }
    } else {
      paint.drawCandles(frame, this.visible, shown.step, colours);
    }
    paint.drawBandNames(frame, bands, colours, gapName);
    if (shown.last) this.drawLast(frame, shown.last);
  }

  /** Marks the last price at the axis. */
  drawLast(frame, { price, side, decimals }) {
    if (!(price >= this.prices.low && price <= this.prices.high)) return;
    const { ctx, ratio } = frame;
    const words = format.fixed(price, decimals);
    ctx.save();
    ctx.font = `600 ${12 * ratio}px ${this.colours.font}`;
    ctx.textBaseline = 'middle';
    ctx.textAlign = 'left';
    const y = frame.y(price), width = ctx.measureText(words).width + 10 * ratio;
    ctx.fillStyle = this.colours.sides[side];
    ctx.beginPath();
    ctx.roundRect(frame.right + 3 * ratio, y - 10 * ratio, width, 20 * ratio, 4 * ratio);
    ctx.fill();
    ctx.fillStyle = this.colours.onColour;
    ctx.fillText(words, frame.right + 8 * ratio, y + ratio / 2);
    ctx.restore();
  }

  drawVolume(u) {
    if (this.bars) paint.drawVolume(new paint.Frame(u, ratioOf(u)), this.bars.bars, this.bars.step, this.colours);
  }

  // Moving about.

  /** Shows a range of time, within reason. */
  show(from, to) {
    let span = Math.min(Math.max(to - from, SHORTEST), LONGEST);
    const middle = (from + to) / 2;
    const view = span === to - from ? { from, to } : { from: middle - span / 2, to: middle + span / 2 };
    if (!(view.from > 0)) return;
    this.view = view;
    this.render();
    this.moved(view);
  }

  /** Moves by a part of the view. */
  pan(part) {
    const { from, to } = this.view, by = (to - from) * part;
    this.show(from + by, to + by);
  }

  /** Shows `factor` times as much, around a place of the view (0 its beginning, 1 its end). */
  zoom(factor, place = 0.5) {
    const { from, to } = this.view, at = from + (to - from) * place;
    const span = Math.min(Math.max((to - from) * factor, SHORTEST), LONGEST);
    this.show(at - span * place, at + span * (1 - place));
  }

  listen(plot, isPrice) {
    const { over } = plot;
    const pointers = new Map();
    let start = null;
    const begin = () => {
      const all = [...pointers.values()];
      start = { view: { ...this.view }, pointers: all.map((pointer) => ({ ...pointer })), hasMoved: start?.hasMoved ?? false };
    };
    const place = (event) => ({ x: event.clientX - over.getBoundingClientRect().left, y: event.clientY - over.getBoundingClientRect().top });
    over.addEventListener('wheel', (event) => {
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
        this.pan(((event.deltaX || event.deltaY) * unit) / over.clientWidth);
      } else {
        this.zoom(Math.exp(Math.min(Math.max(event.deltaY * unit, -300), 300) * 0.0016), place(event).x / over.clientWidth);
      }
    }, { passive: false });
    over.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      over.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      if (pointers.size === 1) start = null;
      begin();
    });
    over.addEventListener('pointermove', (event) => {
      if (!pointers.has(event.pointerId)) {
        if (isPrice) this.hover(place(event));
        return;
      }
      pointers.set(event.pointerId, place(event));
      const now = [...pointers.values()], { view } = start, width = over.clientWidth;
      if (now.length === 1) {
        const by = now[0].x - start.pointers[0].x;
        if (Math.abs(by) < 4 && !start.hasMoved) return;
        start.hasMoved = true;
        over.classList.add('is-dragged');
        const shift = (by / width) * (view.to - view.from);
        this.show(view.from - shift, view.to - shift);
      } else if (now.length === 2) {
        start.hasMoved = true;
        const spread = (two) => Math.max(Math.abs(two[0].x - two[1].x), 8), middle = (two) => (two[0].x + two[1].x) / 2;
        const span = (view.to - view.from) * (spread(start.pointers) / spread(now));
        const at = view.from + (view.to - view.from) * (middle(start.pointers) / width);
        this.show(at - span * (middle(now) / width), at + span * (1 - middle(now) / width));
      }
    });
    const end = (event) => {
      if (!pointers.delete(event.pointerId)) return;
      over.classList.remove('is-dragged');
      if (event.type === 'pointerup' && !start.hasMoved && isPrice) {
        const trade = this.nearest(place(event));
        if (trade) this.picked(trade);
      }
      if (pointers.size > 0) begin();
    };
    over.addEventListener('pointerup', end);
    over.addEventListener('pointercancel', end);
    over.addEventListener('pointerleave', () => this.hover(null));
  }

  /** Finds the trade nearest to a place of the plot; nothing where none is near. */
  nearest({ x, y }) {
    const { trades, mode } = this.shown;
    if (mode !== 'trades' || !trades || !this.survey) return null;
    const { from, to } = this.view, { over } = this.pricePlot;
    const perMs = over.clientWidth / (to - from), perPrice = over.clientHeight / (this.prices.high - this.prices.low);
    const reach = NEAR / perMs, at = from + x / perMs;
    let best = null, least = Infinity;
    trades.blocks(at - reach, at + reach, ({ t, id, price, size, side }, start, end) => {
      for (let k = start; k < end; k++) {
        const across = (t[k] - at) * perMs;
        if (across > NEAR || across < -NEAR) continue;
        const far = Math.hypot(across, (this.prices.high - price[k]) * perPrice - y);
        const distance = Math.max(far - paint.radiusOf(size[k], this.survey), 0);
        if (distance <= NEAR && distance <= least) {
          best = { t: t[k], id: id[k], price: price[k], size: size[k], side: side[k] };
          least = distance;
        }
      }
    });
    return best;
  }

  hover(at) {
    const trade = at && this.nearest(at);
    const isNew = trade?.id !== this.hovered?.id;
    this.hovered = trade;
    if (isNew) this.render();
    const words = trade ? tradeWords(trade) : at ? this.wordsAt(at) : '';
    this.tip.hidden = words === '';
    if (words === '') return;
    this.tip.textContent = words;
    const { clientWidth: width } = this.priceHost;
    const isRight = at.x > width / 2, x = isRight ? at.x - this.tip.offsetWidth - 14 : at.x + 14;
    this.tip.style.transform = `translate(${Math.round(Math.max(Math.min(x, width - this.tip.offsetWidth - 4), 4))}px, ${Math.max(Math.round(at.y - this.tip.offsetHeight - 10), 2)}px)`;
  }

  /** What stands at a place where no trade is: a gap, or a candle. */
  wordsAt({ x }) {
    const at = this.view.from + (x / this.width) * (this.view.to - this.view.from);
    const ratio = ratioOf(this.pricePlot), left = this.pricePlot.bbox.left;
    const band = this.drawn.bands.find((known) => x * ratio + left >= known.left - 3 && x * ratio + left <= known.right + 3);
    if (band) return band.gaps.slice(0, 4).map((gap) => gapLine(gap)).join('\n') + (band.gaps.length > 4 ? `\nand ${band.gaps.length - 4} more gaps` : '');
    if (this.shown.mode === 'trades') return '';
    const candle = this.visible?.find((known) => at >= known.t && at < known.t + this.shown.step);
    if (!candle) return '';
    const number = (value) => format.exact(value);
    return `${format.moment(candle.t)} · ${format.duration(this.shown.step)}\nopen ${number(candle.open)}  high ${number(candle.high)}\nlow ${number(candle.low)}  close ${number(candle.close)}\n${format.things(candle.trades, 'trade')} · bought ${format.size(candle.bought)}, sold ${format.size(candle.sold)}`;
  }

  /** The chart in a sentence, for those who do not see it. */
  describe(product) {
    const { from, to } = this.view, { trades, range, bands } = this.drawn;
    const gaps = bands.flatMap((band) => band.gaps);
    const prices = range ? `, prices from ${format.exact(range.low)} to ${format.exact(range.high)}` : '';
    const holes = gaps.length === 0 ? ', no gap known' : `, ${format.things(gaps.length, 'gap')}: ${gaps.slice(0, 5).map(gapLine).join('; ')}`;
    return `${product}, ${format.range(from, to)} UTC: ${format.things(trades, 'trade')}${prices}${holes}.`;
  }
}

const short = (value) => (value >= 1e6 ? `${Number((value / 1e6).toPrecision(3))}M` : value >= 1e4 ? `${Number((value / 1e3).toPrecision(3))}k` : String(Number(value.toPrecision(3))));

function timeLabels(u, splits, increment) {
  let last = '';
  return splits.map((ms) => {
    // A label that would be cut off at an edge is left out.
    const x = u.valToPos(ms, 'x'), room = increment >= 60_000 ? 18 : increment >= 1000 ? 30 : 42;
    if (x < room || x > u.over.clientWidth - room / 2) return '';
    const day = format.date(ms);
    const digits = increment >= 1000 ? 0 : increment >= 1 ? 3 : 6;
    const clock = increment >= 60_000 ? format.clock(ms).slice(0, 5) : format.clock(ms, digits);
    const isNew = day !== last;
    last = day;
    if (increment >= 86_400_000) return day;
    if (isNew && x < 40) last = '';
    return isNew && x >= 40 ? `${clock}\n${day}` : clock;
  });
}

export function tradeWords({ t, id, price, size, side }) {
  return `${['sold', 'bought', 'traded'][side]} ${format.exact(size)} at ${format.exact(price)}\n${format.moment(t, 6)}\nid ${format.fixed(id, 0)}`;
}

/** The name of some gaps: long with ids and reason, short with the count alone. */
function gapName(gaps, isLong) {
  const missing = gaps.reduce((sum, gap) => sum + gap.count, 0);
  if (!isLong) return `${format.count(missing)} missing`;
  if (gaps.length === 1) return `${format.things(missing, 'trade')} missing: ${format.ids(gaps[0].first, gaps[0].last)}${gaps[0].reason ? ` · ${gaps[0].reason}` : ''}`;
  return `${format.things(missing, 'trade')} missing in ${gaps.length} gaps`;
}

function keeping(u, draw) {
  u.ctx.save();
  draw();
  u.ctx.restore();
}

/** How many pixels of the canvas make one CSS pixel. */
const ratioOf = (u) => u.ctx.canvas.width / u.width;
