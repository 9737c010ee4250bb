// The state of the page as its address. What is left out has its usual value.

import { toMs } from './format.js';

const USUAL = { product: '', isFollowed: true, span: 900, from: NaN, to: NaN, mode: 'auto', theme: 'auto' };
/** A browser refuses an address that changes too often. */
const EVERY_MS = 400;

const spelled = (ms) => new Date(Math.floor(ms)).toISOString();

export class Address {
  read() {
    const all = new URLSearchParams(location.search);
    const state = { ...USUAL, token: all.get('token'), product: all.get('product') ?? '' };
    const span = all.get('span');
    if (span === 'all') state.span = 'all';
    else if (/^\d+$/.test(span ?? '') && Number(span) > 0) state.span = Number(span);
    const [from, to] = [toMs(all.get('from')), toMs(all.get('to'))];
    if (to > from && from > 0) Object.assign(state, { from, to, isFollowed: false });
    if (['trades', 'candles'].includes(all.get('view'))) state.mode = all.get('view');
    if (['light', 'dark'].includes(all.get('theme'))) state.theme = all.get('theme');
    return state;
  }

  text(state) {
    const all = new URLSearchParams();
    if (state.product) all.set('product', state.product);
    if (state.isFollowed) {
      if (state.span !== USUAL.span) all.set('span', state.span);
    } else {
      all.set('from', spelled(state.from));
      all.set('to', spelled(state.to));
    }
    if (state.mode !== 'auto') all.set('view', state.mode);
    if (state.theme !== 'auto') all.set('theme', state.theme);
    if (state.token) all.set('token', state.token);
    const text = all.toString();
    return text === '' ? location.pathname : `?${text}`;
  }

  /** Writes the state, in a new step of the history where `isNew` says so. */
  write(state, isNew = false) {
    this.state = state;
    if (isNew) {
      clearTimeout(this.waiting);
      this.waiting = null;
      history.pushState(null, '', this.text(state));
      return;
    }
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      history.replaceState(null, '', this.text(this.state));
    }, EVERY_MS);
  }

  /** Loads the page anew, with a token. */
  enter(token) {
    const all = new URLSearchParams(location.search);
    all.set('token', token);
    location.search = all.toString();
  }
}
