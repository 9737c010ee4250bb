// The page: what is chosen, what is asked for and when, and what is shown of it.
//
// 1. The state is in the address: product, range of time or span that follows the market, what is drawn, theme.
// 2. The server is asked for one thing at a time. What the view needs is asked for when it stands still.
// 3. When the server goes away the page says so, keeps what it shows, and goes on when the server is back.

import { $, make, put } from './dom.js';
import * as format from './format.js';
import { Api, Away } from './api.js';
import { Chart } from './chart.js';
import { GapList, gapLine } from './gaps.js';
import { DAY, Market, askDays } from './market.js';
import { VERDICT, productOf } from './model.js';
import { tradeOf } from './series.js';
import { Products } from './products.js';
import { TapeList } from './tape.js';
import { TradePanel } from './trade.js';
import { CoverageTable } from './coverage.js';
import { Address } from './address.js';

/** A tape that was written to so short ago follows the clock; one at rest stays at its last trade. */
const LIVE_MS = 3_600_000;

const address = new Address();
const state = address.read();
let isAway = false;
/** Why the server cannot tell what there is, and since when; null while it can. */
let unread = null;
let awaySince = 0;
let isRefused = false;

const api = new Api(state.token, connectionChanged);
const chart = new Chart($('chart'), { moved, picked: pickTrade });
const products = new Products((name) => choose(name));
const tape = new TapeList(pickTrade);
const panel = new TradePanel(api, {
  shown: (trade) => { chart.shown.picked = trade; chart.render(); },
  showOrder: () => {},
});
const coverage = new CoverageTable({ read: readDay, chosen: (product, date) => choose(product, { from: Date.parse(date), to: Date.parse(date) + DAY }) });

const gapList = new GapList(showGap);

/** What is held of the chosen product. */
let market = null;

// The connection.

function connectionChanged(now, error) {
  if (now === 'refused') {
    isRefused = true;
    market?.stop();
    if (error.status === 401 && !$('token-dialog').open) {
      put($('token-title'), state.token ? 'This token is not the right one' : 'This server asks for a token');
      $('token-dialog').showModal();
    }
    put($('link-words'), error.message);
    $('link').className = 'link away';
    return;
  }
  if (isRefused) return;
  const wasAway = isAway;
  isAway = now === 'away';
  if (isAway && !wasAway) {
    awaySince = Date.now();
    say('The server does not answer. Trying again.');
  }
  if (!isAway && wasAway) {
    say('The server is back.');
    wake();
  }
  showConnection();
}

function showConnection() {
  if (isRefused) return;
  $('notice').hidden = !isAway && !unread;
  if (isAway) {
    put($('notice-title'), 'The server does not answer.');
    put($('notice-words'), `What you see is as of ${format.clock(awaySince)} UTC. The page goes on by itself when the server is back.`);
  } else if (unread) {
    put($('notice-title'), 'The server answers with an error.');
    put($('notice-words'), `It says: ${unread.words}. What you see is as of ${format.clock(unread.since)} UTC. The page goes on by itself.`);
  }
  const isLive = market?.isOpen && follows();
  $('link').className = `link ${isAway || unread ? 'away' : isLive ? 'live' : 'rest'}`;
  put($('link-words'), isAway ? 'Away' : unread ? 'Error' : isLive ? 'Live' : market ? 'At rest' : 'Connected');
}

function say(words) { put($('said'), words); }

// Products.

async function readProducts() {
  const answer = (await api.json('v1/products')).map(productOf);
  products.set(answer, performance.now());
  coverage.set(answer);
  if (!market || !products.get(market.name)) {
    const name = products.get(state.product) ? state.product : answer[0]?.name;
    if (state.product && name !== state.product) say(`There is no product ${state.product} on this tape.`);
    if (name) choose(name, {}, false);
  }
  showMarket();
}

/** Chooses a product, and a range of time where one is given. */
function choose(name, range = {}, isNew = true) {
  const isSame = market?.name === name;
  Object.assign(state, { product: name });
  if (range.from !== undefined) Object.assign(state, { from: range.from, to: range.to, isFollowed: false });
  if (!isSame) {
    market?.stop();
    const opened = new Market(api, name, (trades, isHole) => heard(opened, trades, isHole));
    market = opened;
    tape.clear();
    panel.clear();
    chart.axisSize = 60;
    products.choose(name);
    Object.assign(chart.shown, { trades: null, quotes: null, candles: [], gaps: [], absent: [], last: null, picked: null });
    cover('Reading the tape', '');
    say(`${name} is shown.`);
    openMarket(market);
  }
  if (!state.isFollowed) chart.view = { from: state.from, to: state.to };
  placeView();
  address.write(state, isNew);
  showMarket();
  load();
}

/** Reads the last trades and follows what comes behind them. */
async function openMarket(opened) {
  try {
    if (!products.get(opened.name)?.datasets.includes('trades')) return;
    // A server answers about some days at once: the last one has to do.
    const since = (products.get(opened.name).lastTime || Date.now()) - DAY;
    const records = await api.lines('v1/trades', { product: opened.name, from: format.toNanos(since), order: 'desc', limit: 100 });
    if (opened !== market) return;
    const trades = records.map(tradeOf).reverse();
    tape.clear();
    tape.add(trades);
    if (trades.length > 0) opened.last = trades.at(-1);
    opened.isOpen = true;
    placeView();
    showMarket();
    opened.follow(tape.trades.at(-1)?.id, hasQuotes(opened.name));
    load();
    if (hasQuotes(opened.name)) await opened.readQuote(since);
    if (opened === market) showMarket();
  } catch (error) {
    if (!(error instanceof Away) && opened === market) fail(error);
  }
}

function hasQuotes(name) { return products.get(name)?.datasets.includes('md') ?? false; }

function heard(opened, trades, isHole) {
  if (opened !== market) return;
  tape.add(trades);
  if (isHole) soon(load, 300);
  showMarket();
  chart.render();
}

// The view.

/** Tells whether the market goes on: then the view follows the clock. */
function follows() {
  const product = products.get(market?.name);
  if (!product) return false;
  const last = Math.max(product.lastTime || 0, market.last?.t ?? 0);
  return product.days.at(-1)?.state === 'live' && Math.abs(Date.now() - last) < LIVE_MS;
}

/** The end of what there is. */
function edge() {
  const product = products.get(market?.name);
  const last = Math.max(product?.lastTime || 0, market?.last?.t ?? 0);
  return follows() ? Math.max(Date.now(), last) : last || Date.now();
}

function beginning() {
  const first = products.get(market?.name)?.firstTime;
  return Number.isFinite(first) ? first : edge() - 900_000;
}

/** Puts the view where the state says it follows. */
function placeView() {
  if (!market || !state.isFollowed) return;
  const end = edge();
  const span = state.span === 'all' ? Math.max(end - beginning(), 1000) : state.span * 1000;
  const room = Math.min(span, Math.max(end - beginning(), 1000)) * 0.03;
  // A tape that is younger than the span fills the view.
  const young = end - beginning();
  const shown = state.span !== 'all' && young > 0 && young < span ? Math.max(young * 1.04 + room, 5000) : span * (state.span === 'all' ? 1.06 : 1);
  chart.view = { from: end + room - shown, to: end + room };
  chart.render();
}

/** A person has moved the view. */
function moved(view) {
  Object.assign(state, { from: view.from, to: view.to, isFollowed: false });
  address.write(state);
  showMarket();
  soon(load, 120);
}

function follow(span = state.span) {
  Object.assign(state, { span, isFollowed: true });
  placeView();
  address.write(state);
  showMarket();
  load();
}

let waiting = null;
function soon(act, ms) {
  clearTimeout(waiting);
  waiting = setTimeout(act, ms);
}

let loading = null;

/** Asks for what the view needs and is not held. */
async function load(isUrgent = true) {
  if (!market || (loading && !isUrgent)) return;
  loading?.abort();
  const mine = (loading = new AbortController());
  const asked = market;
  const late = setTimeout(() => { $('busy').hidden = false; }, 150);
  try {
    await fill(asked, mine.signal);
    if (asked === market) {
      isFailed = false;
      settle();
    }
  } catch (error) {
    if (error.name !== 'AbortError' && asked === market && !(error instanceof Away)) fail(error);
  } finally {
    clearTimeout(late);
    if (loading === mine) {
      loading = null;
      $('busy').hidden = true;
    }
  }
}

async function fill(asked, signal) {
  const view = { ...chart.view }, end = edge();
  const { candles, step, count, wantsTrades } = await asked.readCandles({ view, width: chart.width, end, mode: state.mode, isFollowed: state.isFollowed, signal });
  Object.assign(chart.shown, { candles, step });
  const { trades } = asked;
  if (!wantsTrades || !trades.holds(view.from, Math.min(view.to, end))) {
    // Candles stand in until the trades are there.
    const isPart = wantsTrades && trades.from < view.to && (trades.isAtEdge || trades.to > view.from);
    if (!isPart) chart.shown.mode = 'candles';
    settle();
  }
  await readCoverage(asked, view, signal);
  if (wantsTrades) {
    await asked.readTrades({ view, end, count, hasQuotes: hasQuotes(asked.name), recent: () => tape.trades, signal });
    Object.assign(chart.shown, { mode: 'trades', trades, quotes: asked.quotes });
  }
}

async function readDay(product, date) {
  const [day] = await askDays(api, product, Date.parse(date), Date.parse(date) + DAY);
  return day;
}

async function readCoverage(asked, view, signal) {
  await asked.readCoverage(products.get(asked.name)?.days ?? [], view, signal);
  chart.shown.gaps = asked.gaps;
  chart.render();
}

// What is shown.

let isFailed = false;

function fail(error) {
  isFailed = true;
  cover(error.message, error.hint ?? '', 'Try again', () => { cover('Reading the tape', ''); load(); }, true);
}

function cover(title, words, act = '', run = null, isBad = false) {
  $('cover').hidden = title === '';
  $('cover').classList.toggle('is-bad', isBad);
  $('cover').classList.toggle('is-blank', chart.drawn.trades === 0);
  put($('cover-title'), title);
  put($('cover-words'), words);
  $('cover-act').hidden = act === '';
  put($('cover-act'), act);
  $('cover-act').onclick = run;
}

/** Shows what there is after an answer. */
function settle() {
  const end = edge(), first = beginning();
  const { trades } = market;
  const absent = [];
  if (Number.isFinite(first)) absent.push({ from: -Infinity, to: first, words: 'Nothing is stored before' });
  if (!follows()) absent.push({ from: end, to: Infinity, words: 'The tape ends here' });
  if (chart.shown.mode === 'trades' && chart.shown.trades) {
    if (trades.from > first) absent.push({ from: Math.max(first, chart.view.from - 1), to: trades.from, words: 'Reading…' });
    if (!trades.isAtEdge && trades.to < end) absent.push({ from: trades.to, to: end, words: 'Reading…' });
  }
  chart.shown.absent = absent.map((span) => ({ ...span, from: Math.max(span.from, 0), to: Math.min(span.to, 1e14) }));
  chart.render();
}

chart.after = () => {
  if (!market) return;
  const { trades, bands } = chart.drawn, { view } = chart;
  if (!isFailed && market.candles.interval !== null) {
    const isGap = bands.some((band) => band.gaps.some((gap) => gap.from <= view.from && gap.to >= view.to));
    const product = products.get(market.name);
    if (trades > 0 || isGap || !product) cover('', '');
    else if (!Number.isFinite(product.lastId)) cover('Nothing is stored yet', `${market.name} has no trade on this tape. The page looks again by itself.`);
    else cover('No trade in this range', isGap ? '' : `Nothing of ${market.name} is stored between ${format.range(view.from, view.to)} UTC.`, 'Go to the last trade', () => follow());
  }
  const isCandles = chart.shown.mode === 'candles';
  document.body.dataset.mode = chart.shown.mode;
  put($('drawn'), isCandles ? `${format.things(chart.drawn.candles, 'candle')} of ${format.duration(chart.shown.step)}, ${format.count(trades)} trades${market.isTooMany ? ': too many to draw one by one' : ''}` : format.things(trades, 'trade'));
  put($('range'), `${format.range(view.from, view.to)} UTC`);
  gapList.set(bands.flatMap((band) => band.gaps), {
    view, first: beginning(), end: edge(), isOver: !follows(), dates: products.get(market.name)?.days.map((day) => day.date) ?? [], days: market.days,
  });
  describeSoon();
};

let describing = null;
function describeSoon() {
  describing ??= setTimeout(() => {
    describing = null;
    if (market) put($('chart-words'), chart.describe(market.name));
  }, 1000);
}

function showGap(gap) {
  const room = Math.max((gap.to - gap.from) * 1.5, 500);
  chart.show(gap.from - room, gap.to + room);
}

/** Goes to the gap behind the view, or before it. */
async function nextGap(by) {
  const asked = market;
  try {
    await readCoverage(asked, { from: beginning(), to: edge() });
  } catch { /* The gaps that are known have to do. */ }
  if (asked !== market) return;
  const middle = (chart.view.from + chart.view.to) / 2;
  const at = (gap) => (gap.from + gap.to) / 2;
  const found = by > 0 ? market.gaps.find((gap) => at(gap) > middle + 1) : market.gaps.findLast((gap) => at(gap) < middle - 1);
  if (found) showGap(found);
  say(found ? gapLine(found) : `No gap ${by > 0 ? 'behind' : 'before'} this range.`);
}

function showMarket() {
  const product = products.get(market?.name);
  for (const button of $('spans').children) button.setAttribute('aria-pressed', String(state.isFollowed && String(state.span) === button.dataset.span));
  for (const button of $('modes').children) button.setAttribute('aria-pressed', String(state.mode === button.dataset.mode));
  $('live').setAttribute('aria-pressed', String(state.isFollowed));
  showConnection();
  if (!product) return;
  put($('product'), market.name);
  document.title = `${market.name} ${Number.isFinite(product.lastPrice) ? format.exact(market.last?.price ?? product.lastPrice) : ''} · coltape`;
  const verdict = $('verdict'), { worst, worstDays } = product;
  verdict.hidden = false;
  verdict.className = `verdict ${worst}`;
  put(verdict, `${VERDICT[worst].glyph} ${worst}`);
  verdict.title = `${VERDICT[worst].words}: ${worstDays.join(', ')}`;
  const price = market.last?.price ?? product.lastPrice;
  const decimals = Math.max(tape.decimals, format.decimalsOf(price));
  put($('price'), Number.isFinite(price) ? format.fixed(price, decimals) : '–');
  products.setPrice(market.name, price);
  $('price').className = `price ${['sell', 'buy', ''][market.last?.side ?? 2]}`;
  chart.shown.last = market.last ? { price, side: market.last.side, decimals } : null;
  const { quote } = market;
  put($('bid'), quote ? format.fixed(quote.bid, decimals) : '–');
  put($('ask'), quote ? format.fixed(quote.ask, decimals) : '–');
  put($('spread'), quote ? format.fixed(quote.ask - quote.bid, decimals) : '–');
  put($('rate'), format.rate(products.rate(market.name)));
  const last = Math.max(product.lastTime || 0, market.last?.t ?? 0);
  put($('age'), last > 0 ? (Date.now() - last < DAY ? `${format.duration(Math.max(Math.round((Date.now() - last) / 1000) * 1000, 0) || 0)} ago`.replace(/^0.* ago$/, 'now') : format.date(last)) : '–');
  chart.shown.until = follows() ? edge() : last;
  showDownloads();
}

function showDownloads() {
  $('downloads').classList.add('is-ready');
  const { from, to } = chart.view;
  const name = `${market.name}_${format.moment(from).replaceAll(':', '').replace(' ', 'T')}Z`;
  for (const kind of ['csv', 'parquet']) {
    const link = $(kind);
    link.href = api.link('v1/trades', { product: market.name, from: format.toNanos(from), to: format.toNanos(to), format: kind });
    link.download = `${name}.${kind}`;
  }
}

function pickTrade(trade) {
  if (market) panel.pick(market.name, trade);
}

// What a person does.

function moveBy(step) {
  const names = products.all.map((product) => product.name);
  const to = names[names.indexOf(market?.name) + step];
  if (to) choose(to);
}

function everything() { follow('all'); }

const KEYS = {
  ArrowLeft: (event) => chart.pan(event.shiftKey ? -1 : -0.25),
  ArrowRight: (event) => chart.pan(event.shiftKey ? 1 : 0.25),
  '+': () => chart.zoom(0.5), '=': () => chart.zoom(0.5), '-': () => chart.zoom(2), '−': () => chart.zoom(2),
  Home: everything, End: () => follow(), f: () => follow(), F: () => follow(),
  g: () => nextGap(1), G: () => nextGap(-1),
  p: () => tape.pause(!tape.isPaused), P: () => tape.pause(!tape.isPaused),
  '[': () => moveBy(-1), ']': () => moveBy(1),
  Escape: () => panel.clear(),
  '?': () => $('keys-dialog').showModal(),
};

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.target.closest('input, select, textarea')) return;
  if (/^[1-7]$/.test(event.key)) {
    $('spans').children[Number(event.key) - 1].click();
    event.preventDefault();
    return;
  }
  const act = KEYS[event.key];
  if (!act || !market) return;
  // Elsewhere these keys scroll and choose.
  if (/^(Arrow|Home|End)/.test(event.key) && event.target !== document.body && !event.target.closest('#chart')) return;
  event.preventDefault();
  act(event);
});

$('spans').addEventListener('click', (event) => {
  const span = event.target.closest('button')?.dataset.span;
  if (span) follow(span === 'all' ? 'all' : Number(span));
});
$('modes').addEventListener('click', (event) => {
  const mode = event.target.closest('button')?.dataset.mode;
  if (!mode) return;
  state.mode = mode;
  address.write(state);
  showMarket();
  load();
});
$('live').addEventListener('click', () => { if (state.isFollowed) moved(chart.view); else follow(); });
$('keys').addEventListener('click', () => $('keys-dialog').showModal());
$('notice-again').addEventListener('click', () => poll());
$('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  address.enter($('token').value);
});

const THEMES = { auto: ['Auto', 'as the system'], light: ['Light', 'light'], dark: ['Dark', 'dark'] };
function showTheme() {
  document.documentElement.dataset.theme = state.theme;
  const [word, long] = THEMES[state.theme];
  put($('theme-words'), word);
  $('theme').setAttribute('aria-label', `Theme: ${long}`);
  chart.themed();
}
$('theme').addEventListener('click', () => {
  const names = Object.keys(THEMES);
  state.theme = names[(names.indexOf(state.theme) + 1) % names.length];
  address.write(state);
  showTheme();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => chart.themed());
addEventListener('popstate', () => {
  Object.assign(state, address.read());
  showTheme();
  if (state.product) choose(state.product, {}, false);
});

// The course of time.

let polling = null;
let polls = 0;
async function poll() {
  clearTimeout(polling);
  if (isRefused) return;
  const begun = performance.now();
  try {
    await readProducts();
    if (unread) {
      unread = null;
      say('The server answers again.');
      wake();
    }
    if (products.all.length === 0) cover('Nothing is stored yet', 'Start a capture into the directory that this server reads, such as: coltape capture BTC-USD --data-dir DIR. The page looks again by itself.');
    else load(false);
  } catch (error) {
    if (!(error instanceof Away) && error.name !== 'AbortError') {
      // What was read before stays, but must not look as if it were so now.
      if (market) unread = { words: error.message, since: unread?.since ?? Date.now() };
      else fail(error);
      showConnection();
    }
  }
  // A server that needs long for its answer is asked less often.
  const pause = document.hidden ? 20_000 : Math.max(2000, 8 * (performance.now() - begun));
  clearTimeout(polling);
  polls++;
  polling = setTimeout(poll, isAway || polls === 1 ? 1000 : pause);
}

/** Reads everything again that may have changed while nothing was heard. */
function wake() {
  if (!market) return;
  market.stop();
  market.forget();
  openMarket(market);
}

// A page that nobody sees holds no connection.
document.addEventListener('visibilitychange', () => {
  if (!market) return;
  if (document.hidden) {
    market.stop();
  } else {
    wake();
    poll();
  }
});

setInterval(() => {
  if (document.hidden || isAway) return;
  if (state.isFollowed && follows()) placeView();
  showMarket();
}, 250);

showTheme();
poll();
