// The server's answers. Requests go out one after the other: a server answers one query of a client at a time.

/** The server said no, or what it said is of no use. */
export class Refused extends Error {
  constructor(status, error, hint) {
    super(error);
    this.status = status;
    this.hint = hint ?? '';
  }
}

/** The server cannot be reached. */
export class Away extends Error {}

/** Large integers become text, so that no digit is lost. */
export function parseJson(text) {
  return JSON.parse(text.replace(/([:[,]\s*)(-?\d{16,})(?=\s*[,}\]])/g, '$1"$2"'));
}

export class Api {
  /** `token` is the page's own, or null. `changed(state, error)` is told whether the server answers: 'here', 'away' or 'refused'. */
  constructor(token, changed) {
    this.token = token;
    this.changed = changed;
    this.last = Promise.resolve();
  }

  /** The address of an answer, for a link: it carries the token, since a link sends no header. */
  link(path, parameters) {
    const all = new URLSearchParams(parameters);
    if (this.token) all.set('token', this.token);
    return `${path}?${all}`;
  }

  headers(more = {}) {
    return this.token ? { ...more, Authorization: `Bearer ${this.token}` } : more;
  }

  async open(path, parameters, signal, headers = {}) {
    let response;
    try {
      response = await fetch(`${path}?${new URLSearchParams(parameters)}`, { signal, headers: this.headers(headers), cache: 'no-store' });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      this.changed('away');
      throw new Away('the server does not answer');
    }
    if (response.ok) return response;
    let said = {};
    try { said = await response.json(); } catch { /* The status alone has to do. */ }
    const error = new Refused(response.status, said.error ?? `the server answered ${response.status}`, said.hint);
    if (response.status === 401 || response.status === 403) this.changed('refused', error);
    if (response.status === 503) {
      this.changed('away');
      throw new Away(error.message);
    }
    throw error;
  }

  /** Waits for its turn, then asks. An answer that breaks off is an error. */
  ask(path, parameters, signal, read) {
    const turn = this.last.then(async () => {
      signal?.throwIfAborted();
      for (let tried = 0; ; tried++) {
        try {
          const response = await this.open(path, parameters, signal);
          let read_answer;
          try {
            read_answer = await read(response);
          } catch (error) {
            if (error instanceof TypeError) throw new Refused(0, 'the answer broke off', 'the server may have been stopped, or a day be damaged: `coltape verify` says more');
            throw error;
          }
          this.changed('here');
          return read_answer;
        } catch (error) {
          if (error.status !== 429 || tried >= 4) throw error;
          await new Promise((done) => setTimeout(done, 200 * (tried + 1)));
          signal?.throwIfAborted();
        }
      }
    });
    this.last = turn.catch(() => {});
    return turn;
  }

  json(path, parameters = {}, signal = undefined) {
    return this.ask(path, { ...parameters, format: 'json' }, signal, async (response) => parseJson(await response.text()));
  }

  lines(path, parameters, signal) {
    return this.ask(path, { ...parameters, format: 'jsonl' }, signal, async (response) => {
      const text = await response.text();
      return text.split('\n').filter((line) => line !== '').map(parseJson);
    });
  }

  bytes(path, parameters, signal) {
    return this.ask(path, { ...parameters, format: 'arrow' }, signal, async (response) => new Uint8Array(await response.arrayBuffer()));
  }
}

/** A stream that is silent for so long is dead. */
const SILENCE_MS = 20_000;

/** Server-sent events, followed over every cut: each event comes once, and none is left out, since the server resumes behind the last id. */
export class Live {
  constructor(api, parameters, { heard, ended }) {
    this.api = api;
    this.parameters = parameters;
    this.heard = heard;
    this.ended = ended ?? (() => {});
    this.lastId = parameters.after_id === undefined ? null : String(parameters.after_id);
    this.stopper = new AbortController();
    this.run();
  }

  stop() { this.stopper.abort(); }

  async run() {
    const { signal } = this.stopper;
    let wait = 500;
    while (!signal.aborted) {
      try {
        const headers = { Accept: 'text/event-stream', ...(this.lastId === null ? {} : { 'Last-Event-ID': this.lastId }) };
        const response = await this.api.open('v1/live', this.parameters, signal, headers);
        this.api.changed('here');
        wait = 500;
        await this.follow(response.body.pipeThrough(new TextDecoderStream()).getReader());
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && error.status >= 400 && error.status !== 429) { this.ended(error); return; }
      }
      if (signal.aborted) return;
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 2, 4000);
    }
  }

  async follow(reader) {
    let rest = '';
    for (;;) {
      // A server that lives sends at least a comment now and then.
      const silent = setTimeout(() => reader.cancel(), SILENCE_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silent));
      if (done) return;
      rest += value;
      const events = rest.split(/\r?\n\r?\n/);
      rest = events.pop();
      const records = [];
      for (const event of events) {
        let id = null;
        const data = [];
        for (const line of event.split(/\r?\n/)) {
          if (line.startsWith('id:')) id = line.slice(3).trim();
          if (line.startsWith('data:')) data.push(line.slice(5));
        }
        if (data.length > 0) records.push(parseJson(data.join('\n')));
        if (id !== null) this.lastId = id;
      }
      if (records.length > 0) this.heard(records);
    }
  }
}
