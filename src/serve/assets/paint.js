// Draws trades, quotes, candles, volume and gaps into a canvas. All lengths are device pixels; `ratio` says how many make one CSS pixel.
//
// 1. Every trade of the view colours at least one pixel, so the highest, the lowest and every lonely trade are seen however many there are.
// 2. No line is drawn across a hole: lines are clipped to what lies between the gaps.

/** Trades that are drawn one by one; of more, each is a few pixels of an image, and the largest are drawn on top. */
const MOST_SINGLE = 2500;
const LARGEST = 60;

/** Where things lie: time and price to pixels. */
export class Frame {
  constructor(u, ratio) {
    const { left, top, width, height } = u.bbox;
    Object.assign(this, { ctx: u.ctx, left, top, width, height, ratio });
    this.from = u.scales.x.min;
    this.to = u.scales.x.max;
    this.low = u.scales.y.min;
    this.high = u.scales.y.max;
    this.perMs = width / (this.to - this.from);
    this.perPrice = height / (this.high - this.low);
  }
  x(t) { return this.left + (t - this.from) * this.perMs; }
  y(value) { return this.top + (this.high - value) * this.perPrice; }
  get right() { return this.left + this.width; }
  get bottom() { return this.top + this.height; }

  /** Draws with everything outside of the plot, and what `holes` cover, left out. */
  clipped(holes, draw) {
    const { ctx } = this;
    ctx.save();
    ctx.beginPath();
    ctx.rect(this.left, this.top, this.width, this.height);
    for (const { left, right } of holes) ctx.rect(left, this.top, right - left, this.height);
    ctx.clip('evenodd');
    draw(ctx);
    ctx.restore();
  }
}

/** Puts gaps together that share a pixel, and gives each the pixels that it shades. Two pixels are the least, so that one lost trade is seen. */
export function bandsOf(frame, gaps) {
  const bands = [];
  const least = 2 * frame.ratio;
  for (const gap of gaps) {
    if (gap.to < frame.from || gap.from > frame.to) continue;
    let left = frame.x(gap.from), right = frame.x(gap.to);
    if (right - left < least) [left, right] = [(left + right - least) / 2, (left + right + least) / 2];
    left = Math.max(Math.floor(left), frame.left);
    right = Math.min(Math.ceil(right), frame.right);
    if (right <= left) continue;
    const last = bands.at(-1);
    if (last && left < last.right + frame.ratio) {
      last.right = Math.max(last.right, right);
      last.gaps.push(gap);
    } else {
      bands.push({ left, right, gaps: [gap] });
    }
  }
  return bands;
}

const hatches = new Map();

function hatch(ctx, colour, ratio) {
  const key = `${colour} ${ratio}`;
  if (!hatches.has(key)) {
    const tile = document.createElement('canvas');
    const size = Math.round(8 * ratio);
    tile.width = tile.height = size;
    const pen = tile.getContext('2d');
    pen.strokeStyle = colour;
    pen.lineWidth = 1.2 * ratio;
    pen.beginPath();
    for (const shift of [-size, 0, size]) {
      pen.moveTo(shift - 1, size + 1);
      pen.lineTo(shift + size + 1, -1);
    }
    pen.stroke();
    hatches.set(key, ctx.createPattern(tile, 'repeat'));
  }
  return hatches.get(key);
}

/** Shades the gaps. */
export function drawBands(frame, bands, colours) {
  const { ctx, top, height, ratio } = frame;
  ctx.save();
  for (const { left, right } of bands) {
    ctx.globalAlpha = colours.bandAlpha;
    ctx.fillStyle = colours.gap;
    ctx.fillRect(left, top, right - left, height);
    ctx.globalAlpha = 0.5;
    ctx.fillStyle = hatch(ctx, colours.gap, ratio);
    ctx.fillRect(left, top, right - left, height);
    ctx.globalAlpha = 0.9;
    ctx.fillStyle = colours.gap;
    ctx.fillRect(left, top, Math.max(1, ratio), height);
    ctx.fillRect(right - Math.max(1, ratio), top, Math.max(1, ratio), height);
  }
  ctx.restore();
}

/** Shades the time of which nothing is stored, before the first record and behind the last one. */
export function drawAbsent(frame, spans, colours) {
  const { ctx, ratio } = frame;
  ctx.save();
  for (const { from, to, words } of spans) {
    const left = Math.max(frame.x(from), frame.left), right = Math.min(frame.x(to), frame.right);
    if (right <= left) continue;
    ctx.fillStyle = colours.absent;
    ctx.fillRect(left, frame.top, right - left, frame.height);
    ctx.font = `${12 * ratio}px ${colours.font}`;
    ctx.fillStyle = colours.muted;
    ctx.textAlign = 'center';
    if (words && ctx.measureText(words).width < right - left - 16 * ratio) ctx.fillText(words, (left + right) / 2, frame.top + frame.height / 2);
  }
  ctx.restore();
}

/** Names the gaps above what is drawn, where there is room: the list below the chart names all. */
export function drawBandNames(frame, bands, colours, nameOf) {
  const { ctx, ratio } = frame;
  ctx.save();
  ctx.font = `600 ${11.5 * ratio}px ${colours.font}`;
  ctx.textBaseline = 'middle';
  const height = 20 * ratio;
  let rows = [-Infinity, -Infinity, -Infinity];
  for (const band of bands) {
    const long = nameOf(band.gaps, true), short = nameOf(band.gaps, false);
    const words = ctx.measureText(long).width + 12 * ratio < frame.width * 0.7 ? long : short;
    const width = ctx.measureText(words).width + 12 * ratio;
    const middle = (band.left + band.right) / 2;
    const left = Math.min(Math.max(middle - width / 2, frame.left + 4 * ratio), frame.right - width - 4 * ratio);
    const row = rows.findIndex((end) => end + 6 * ratio < left);
    if (row < 0) continue;
    rows[row] = left + width;
    const top = frame.top + (6 + 24 * row) * ratio;
    ctx.fillStyle = colours.gap;
    ctx.beginPath();
    ctx.roundRect(left, top, width, height, 4 * ratio);
    ctx.fill();
    ctx.fillStyle = colours.onColour;
    ctx.fillText(words, left + 6 * ratio, top + height / 2 + ratio / 2);
  }
  ctx.restore();
}

/** Finds the lowest and highest price that the view shows; `candles` are those of the view. */
export function priceRange(trades, quotes, candles, from, to) {
  let low = Infinity, high = -Infinity;
  trades?.blocks(from, to, ({ t, price }, start, end) => {
    let least = low, most = high;
    for (let at = start; at < end; at++) {
      if (t[at] < from || t[at] >= to) continue;
      if (price[at] < least) least = price[at];
      if (price[at] > most) most = price[at];
    }
    [low, high] = [least, most];
  });
  quotes?.blocks(from, to, ({ t, bid, ask }, start, end) => {
    let least = low, most = high;
    for (let at = start; at < end; at++) {
      if (t[at] < from || t[at] >= to) continue;
      if (bid[at] > 0 && bid[at] < least) least = bid[at];
      if (ask[at] > most) most = ask[at];
    }
    [low, high] = [least, most];
  });
  for (const candle of candles ?? []) {
    low = Math.min(low, candle.low);
    high = Math.max(high, candle.high);
  }
  return low <= high ? { low, high } : null;
}

/** Draws the best bid and ask as steps, thinned by pixel: of each pixel the lowest and the highest price, so no extreme is lost. */
export function drawQuotes(frame, quotes, until, holes, colours) {
  frame.clipped(holes, (ctx) => {
    ctx.lineWidth = Math.max(1, frame.ratio);
    ctx.lineJoin = 'miter';
    for (const side of ['ask', 'bid']) {
      ctx.strokeStyle = colours[side];
      ctx.beginPath();
      drawSteps(frame, quotes, side, until, ctx);
      ctx.stroke();
    }
  });
}

function drawSteps(frame, quotes, side, until, ctx) {
  // What the last pixel showed: its column, its lowest, highest and last price as pixels.
  let column = -1, top = 0, bottom = 0, y = NaN;
  const { left, from: begin, perMs, top: above, high, perPrice } = frame;
  const half = frame.ratio / 2;
  const put = () => {
    if (bottom > top) {
      ctx.moveTo(column + half, top);
      ctx.lineTo(column + half, bottom);
      ctx.moveTo(column + half, y);
    }
  };
  quotes.blocks(-Infinity, frame.to, ({ t, [side]: value, earliest, latest }, start, end) => {
    const block = start / 4096;
    // Of what lies before the view, the last price is needed alone.
    const from = latest[block] < frame.from ? end - 1 : start;
    if (earliest[block] >= frame.to) return;
    for (let at = from; at < end; at++) {
      if (t[at] >= frame.to) continue;
      if (!(value[at] > 0)) { // The feed sent none: the line ends.
        put();
        column = -1;
        y = NaN;
        continue;
      }
      const x = Math.floor(Math.max(left + (t[at] - begin) * perMs, left - 2)), next = above + (high - value[at]) * perPrice;
      if (x > column || Number.isNaN(y)) {
        if (Number.isNaN(y)) {
          ctx.moveTo(x + half, next);
          [top, bottom] = [next, next];
        } else {
          put();
          ctx.lineTo(x + half, y);
          ctx.lineTo(x + half, next);
          [top, bottom] = [Math.min(y, next), Math.max(y, next)];
        }
        column = x;
      } else {
        if (next < top) top = next;
        if (next > bottom) bottom = next;
      }
      y = next;
    }
  });
  put();
  if (!Number.isNaN(y)) ctx.lineTo(Math.min(frame.x(until), frame.right), y);
}

/** What trades of the view are drawn with: how many there are, the size that only few exceed, the largest. */
export function surveyTrades(trades, from, to) {
  const sums = { rows: 0, bought: 0, sold: 0 };
  const largest = []; // By size, the smallest first.
  const sample = [];
  trades.blocks(from, to, (chunk, start, end) => surveyBlock(chunk, start, end, from, to, sums, largest, sample));
  sample.sort((one, other) => one - other);
  return { ...sums, usual: sample[Math.floor(sample.length * 0.5)] ?? 1, large: sample[Math.floor(sample.length * 0.93)] ?? 1, largest };
}

// What visits a million trades has everything in variables of its own: those of a function around it are looked up for each trade.
function surveyBlock({ t, id, price, size, side }, start, end, from, to, sums, largest, sample) {
  let { rows, bought, sold } = sums;
  let least = largest.length < LARGEST ? -Infinity : largest[0].size;
  for (let at = start; at < end; at++) {
    const time = t[at], much = size[at];
    if (time < from || time >= to) continue;
    rows++;
    if (side[at] === 1) bought += much; else if (side[at] === 0) sold += much;
    if ((rows & 63) === 1 || sample.length < 512) sample.push(much);
    if (much > least) {
      const trade = { t: time, id: id[at], price: price[at], size: much, side: side[at] };
      if (largest.length === LARGEST) largest[0] = trade; else largest.unshift(trade);
      sink(largest);
      least = largest.length < LARGEST ? -Infinity : largest[0].size;
    }
  }
  Object.assign(sums, { rows, bought, sold });
}

/** Moves the first one behind those that are smaller: the list stays sorted. */
function sink(list) {
  const first = list[0];
  let at = 0;
  while (at + 1 < list.length && list[at + 1].size < first.size) {
    list[at] = list[at + 1];
    at++;
  }
  list[at] = first;
}

/** The radius of a trade in CSS pixels: its area is its size, between the smallest dot that is seen and the largest that hides little. */
export function radiusOf(size, survey) {
  // Of many trades only the largest are dots, so the largest of all is the measure.
  if (survey.rows > MOST_SINGLE) return Math.max(6.5 * Math.sqrt(size / survey.largest.at(-1).size), 2);
  return Math.min(Math.max(3.6 * Math.sqrt(size / survey.large), 1.5), 13);
}

/** Draws trades: colour by the taker's side, area by size. */
export function drawTrades(frame, trades, survey, colours) {
  if (survey.rows === 0) return;
  if (survey.rows > MOST_SINGLE) {
    drawImage(frame, trades, survey, colours);
    // The largest ones on top, the smaller of them last, so that none hides another. Of those as small as the smallest kept some are not kept: none is drawn.
    const { largest } = survey;
    for (let at = largest.length - 1; at >= 0 && largest[at].size > largest[0].size; at--) dot(frame, largest[at], survey, colours);
    return;
  }
  frame.clipped([], () => {
    trades.blocks(frame.from, frame.to, (chunk, start, end) => {
      for (let at = start; at < end; at++) {
        if (chunk.t[at] < frame.from || chunk.t[at] >= frame.to) continue;
        dot(frame, { t: chunk.t[at], price: chunk.price[at], size: chunk.size[at], side: chunk.side[at] }, survey, colours);
      }
    });
  });
}

function dot(frame, { t, price, size, side }, survey, colours) {
  const { ctx, ratio } = frame;
  const radius = radiusOf(size, survey) * ratio;
  ctx.beginPath();
  ctx.arc(frame.x(t), frame.y(price), radius, 0, 2 * Math.PI);
  ctx.globalAlpha = radius > 4.5 * ratio ? 0.42 : 0.8;
  ctx.fillStyle = colours.sides[side];
  ctx.fill();
  if (radius > 3 * ratio) {
    ctx.globalAlpha = 0.95;
    ctx.strokeStyle = colours.sides[side];
    ctx.lineWidth = ratio;
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

const stage = { canvas: null, counts: null, image: null };

/** Bins trades by pixel: each pixel is coloured by the side that has more trades there, and is the more opaque the more they are. */
function drawImage(frame, trades, survey, colours) {
  const width = Math.ceil(frame.width), height = Math.ceil(frame.height);
  if (stage.canvas?.width !== width || stage.canvas?.height !== height) {
    stage.canvas = document.createElement('canvas');
    [stage.canvas.width, stage.canvas.height] = [width, height];
    stage.pen = stage.canvas.getContext('2d');
    stage.image = stage.pen.createImageData(width, height);
    stage.bought = new Uint16Array(width * height);
    stage.sold = new Uint16Array(width * height);
  }
  const { bought, sold } = stage;
  bought.fill(0);
  sold.fill(0);
  const base = Math.max(1, Math.round(frame.ratio * (survey.rows > 400_000 ? 1 : survey.rows > 20_000 ? 2 : 2.6)));
  const usual = survey.large;
  trades.blocks(frame.from, frame.to, (chunk, start, end) => binBlock(chunk, start, end, frame, width, height, base, usual));
  const pixels = new Uint32Array(stage.image.data.buffer);
  const [sell, buy] = colours.sidesRgb;
  for (let at = 0; at < pixels.length; at++) {
    const [more, less] = [bought[at], sold[at]];
    const sum = more + less;
    if (sum === 0) { pixels[at] = 0; continue; }
    const alpha = sum > 12 ? 255 : ALPHAS[sum];
    pixels[at] = ((alpha << 24) | (more >= less ? buy : sell)) >>> 0;
  }
  stage.pen.putImageData(stage.image, 0, 0);
  frame.ctx.drawImage(stage.canvas, frame.left, frame.top);
}

/** Counts trades by the pixels that they cover. */
function binBlock({ t, price, size, side }, start, end, { from, to, perMs, perPrice, high }, width, height, base, usual) {
  const { bought, sold } = stage;
  for (let at = start; at < end; at++) {
    const time = t[at];
    if (time < from || time >= to) continue;
    const edge = size[at] > usual ? base + 1 : base;
    const x = Math.floor((time - from) * perMs), y = Math.floor((high - price[at]) * perPrice - edge / 2);
    const counts = side[at] === 1 ? bought : sold;
    if (edge === 1) {
      if (y >= 0 && y < height && x < width) counts[y * width + x]++;
      continue;
    }
    const right = Math.min(x + edge, width), bottom = Math.min(y + edge, height);
    for (let row = Math.max(y, 0); row < bottom; row++) for (let column = x; column < right; column++) counts[row * width + column]++;
  }
}

const ALPHAS = Array.from({ length: 13 }, (_, count) => Math.round(255 * Math.min(1, 0.5 + 0.14 * Math.log2(1 + count))));

/** Draws candles: full where the price fell, hollow where it rose, so that colour is not all that tells. */
export function drawCandles(frame, candles, step, colours) {
  frame.clipped([], (ctx) => {
    const width = step * frame.perMs;
    const body = Math.max(Math.floor(width * 0.68), 1), thin = Math.max(1, Math.round(frame.ratio));
    for (const { t, open, high, low, close } of candles) {
      if (t + step < frame.from || t >= frame.to) continue;
      const middle = Math.round(frame.x(t + step / 2));
      const rises = close >= open;
      ctx.fillStyle = ctx.strokeStyle = colours.sides[rises ? 1 : 0];
      const [top, bottom] = [frame.y(Math.max(open, close)), frame.y(Math.min(open, close))];
      const left = middle - Math.floor(body / 2);
      const tall = Math.max(bottom - top, thin);
      const half = Math.floor(thin / 2);
      if (rises && body > 3 * thin && tall > 2 * thin) {
        ctx.fillRect(middle - half, frame.y(high), thin, top - frame.y(high));
        ctx.fillRect(middle - half, bottom, thin, frame.y(low) - bottom);
        ctx.lineWidth = thin;
        ctx.globalAlpha = 0.16;
        ctx.fillRect(left, top, body, tall);
        ctx.globalAlpha = 1;
        ctx.strokeRect(left + thin / 2, top + thin / 2, body - thin, tall - thin);
      } else {
        ctx.fillRect(middle - half, frame.y(high), thin, Math.max(frame.y(low) - frame.y(high), thin));
        ctx.fillRect(left, top, body, tall);
      }
    }
  });
}

const NICE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5, 864e5, 6048e5];

/** Puts the volume of trades together in spans that are a few pixels wide. */
export function volumeOf(trades, from, to, width) {
  const step = NICE.find((length) => (width * length) / (to - from) >= 5) ?? NICE.at(-1);
  const first = Math.floor(from / step);
  const length = Math.ceil((to - first * step) / step);
  const bought = new Float64Array(length), sold = new Float64Array(length);
  trades.blocks(from, to, (chunk, start, end) => addVolume(chunk, start, end, from, to, first, step, bought, sold));
  return { step, bars: Array.from({ length }, (_, at) => ({ t: (first + at) * step, bought: bought[at], sold: sold[at] })) };
}

function addVolume({ t, size, side }, start, end, from, to, first, step, bought, sold) {
  for (let at = start; at < end; at++) {
    const time = t[at];
    if (time < from || time >= to) continue;
    const bar = Math.floor(time / step) - first;
    if (side[at] === 1) bought[bar] += size[at]; else sold[bar] += size[at];
  }
}

/** Draws volume: bought above the line, sold below it. */
export function drawVolume(frame, bars, step, colours) {
  frame.clipped([], (ctx) => {
    const width = step * frame.perMs;
    const body = Math.max(width >= 3 ? Math.floor(width - frame.ratio) : width, 1);
    const zero = frame.y(0);
    ctx.globalAlpha = 0.85;
    for (const { t, bought, sold } of bars) {
      if (t + step < frame.from || t >= frame.to) continue;
      const left = Math.floor(frame.x(t));
      ctx.fillStyle = colours.sides[1];
      if (bought > 0) ctx.fillRect(left, frame.y(bought), body, Math.max(zero - frame.y(bought), 1));
      ctx.fillStyle = colours.sides[0];
      if (sold > 0) ctx.fillRect(left, zero, body, Math.max(frame.y(-sold) - zero, 1));
    }
    ctx.globalAlpha = 1;
  });
}

/** Rings a trade. */
export function drawRing(frame, trade, radius, colour) {
  const { ctx, ratio } = frame;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 2 * ratio;
  ctx.beginPath();
  ctx.arc(frame.x(trade.t), frame.y(trade.price), (radius + 3) * ratio, 0, 2 * Math.PI);
  ctx.stroke();
  ctx.restore();
}
