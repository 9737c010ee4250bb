// Reads an Arrow IPC stream (https://arrow.apache.org/docs/format/Columnar.html): integers, doubles, times, texts, and texts by a dictionary, uncompressed.
// Everything is checked against the length of what came: a stream that is cut short is an error, never a short answer.

const SCHEMA = 1, DICTIONARY = 2, RECORDS = 3;
const NULL = 1, INT = 2, FLOAT = 3, BINARY = 4, UTF8 = 5, DATE = 8, TIMESTAMP = 10, FIXED_BINARY = 15;

/** A table of a FlatBuffer. */
class Table {
  constructor(view, at) {
    this.view = view;
    this.at = at;
    this.fields = at - view.getInt32(at, true);
    this.size = view.getUint16(this.fields, true);
  }
  place(field) {
    const at = 4 + 2 * field;
    const offset = at < this.size ? this.view.getUint16(this.fields + at, true) : 0;
    return offset === 0 ? -1 : this.at + offset;
  }
  number(field, kind, none = 0) {
    const at = this.place(field);
    if (at < 0) return none;
    if (kind === 'i64') return Number(this.view.getBigInt64(at, true));
    if (kind === 'i32') return this.view.getInt32(at, true);
    if (kind === 'i16') return this.view.getInt16(at, true);
    return this.view.getUint8(at);
  }
  follow(at) { return at + this.view.getUint32(at, true); }
  table(field) {
    const at = this.place(field);
    return at < 0 ? null : new Table(this.view, this.follow(at));
  }
  text(field) {
    const at = this.place(field);
    if (at < 0) return '';
    const start = this.follow(at);
    return new TextDecoder().decode(new Uint8Array(this.view.buffer, this.view.byteOffset + start + 4, this.view.getUint32(start, true)));
  }
  vector(field) {
    const at = this.place(field);
    if (at < 0) return { length: 0, start: 0 };
    const start = this.follow(at);
    return { length: this.view.getUint32(start, true), start: start + 4 };
  }
  tables(field) {
    const { length, start } = this.vector(field);
    return Array.from({ length }, (_, k) => new Table(this.view, this.follow(start + 4 * k)));
  }
}

function fieldOf(table) {
  const dictionary = table.table(4);
  const type = table.table(3);
  const kind = table.number(2, 'u8');
  const field = { name: table.text(0), kind, width: 0, dictionary: null };
  if (kind === INT) field.width = type.number(0, 'i32') / 8;
  if (kind === FLOAT) field.width = [2, 4, 8][type.number(0, 'i16')];
  if (kind === TIMESTAMP) [field.width, field.unit] = [8, type.number(0, 'i16')];
  if (kind === DATE) field.width = type.number(0, 'i16', 1) === 0 ? 4 : 8;
  if (kind === FIXED_BINARY) field.width = type.number(0, 'i32');
  if (dictionary) {
    const index = dictionary.table(1);
    field.dictionary = { id: dictionary.number(0, 'i64'), width: index ? index.number(0, 'i32') / 8 : 4 };
  }
  return field;
}

/** Gives the columns of a record batch as they lie in the body. */
function columnsOf(batch, fields, body) {
  if (batch.table(3)) throw new Error('the answer is compressed, which this page does not read');
  const rows = batch.number(0, 'i64');
  const nodes = batch.vector(1), buffers = batch.vector(2);
  let node = 0, buffer = 0;
  const take = () => {
    if (buffer >= buffers.length) throw new Error('the answer lacks a buffer');
    const at = buffers.start + 16 * buffer++;
    const offset = Number(batch.view.getBigInt64(at, true)), length = Number(batch.view.getBigInt64(at + 8, true));
    if (offset < 0 || length < 0 || offset + length > body.byteLength) throw new Error('a buffer lies beyond the end of the answer');
    return new Uint8Array(body.buffer, body.byteOffset + offset, length);
  };
  return fields.map((field) => {
    if (node >= nodes.length) throw new Error('the answer lacks a column');
    const nulls = Number(batch.view.getBigInt64(nodes.start + 16 * node++ + 8, true));
    if (field.kind === NULL && !field.dictionary) return { field, rows, valid: null, data: null };
    const valid = take();
    const isText = (field.kind === UTF8 || field.kind === BINARY) && !field.dictionary;
    const offsets = isText ? take() : null;
    return { field, rows, valid: nulls > 0 ? valid : null, offsets, data: take() };
  });
}

/** Gives the columns of an Arrow stream: `visit(columns by name, rows, dictionaries)` for each batch, in order. */
export function readStream(bytes, visit) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dictionaries = new Map();
  let fields = null, at = 0, isEnded = false;
  while (at + 8 <= bytes.byteLength) {
    if (view.getUint32(at, true) !== 0xffffffff) throw new Error('the answer is no Arrow stream');
    const length = view.getInt32(at + 4, true);
    at += 8;
    if (length === 0) { isEnded = true; break; }
    if (length < 0 || at + length > bytes.byteLength) throw new Error('the answer is cut short');
    const head = new DataView(bytes.buffer, bytes.byteOffset + at, length);
    const message = new Table(head, head.getUint32(0, true));
    const bodyLength = message.number(3, 'i64');
    at += length;
    if (at + bodyLength > bytes.byteLength) throw new Error('the answer is cut short');
    const body = bytes.subarray(at, at + bodyLength);
    at += bodyLength;
    const kind = message.number(1, 'u8'), inside = message.table(2);
    if (kind === SCHEMA) fields = inside.tables(1).map(fieldOf);
    if (!fields) throw new Error('the answer begins without a schema');
    if (kind === DICTIONARY) {
      const id = inside.number(0, 'i64');
      const [column] = columnsOf(inside.table(1), [{ name: '', kind: UTF8, dictionary: null }], body);
      const added = texts(column);
      dictionaries.set(id, inside.number(2, 'u8') ? [...(dictionaries.get(id) ?? []), ...added] : added);
    }
    if (kind === RECORDS) {
      const columns = new Map(columnsOf(inside, fields, body).map((column) => [column.field.name, column]));
      visit(columns, inside.number(0, 'i64'), dictionaries);
    }
  }
  if (!isEnded) throw new Error('the answer is cut short');
}

function texts({ rows, offsets, data }) {
  const places = new DataView(offsets.buffer, offsets.byteOffset, offsets.byteLength);
  const decoder = new TextDecoder();
  return Array.from({ length: rows }, (_, k) => decoder.decode(data.subarray(places.getInt32(4 * k, true), places.getInt32(4 * k + 4, true))));
}

const isNull = (valid, row) => valid !== null && (valid[row >> 3] & (1 << (row & 7))) === 0;

/** Copies a column of 64-bit integers, divided by `by`, into `to` from place `start` on. Null becomes NaN. */
export function copyIntegers(column, to, start, by = 1) {
  if (!column?.data) { to.fill(NaN, start); return; }
  const { rows, valid, data, field } = column;
  if (field.width !== 8) throw new Error(`column ${field.name} is no 64-bit integer`);
  const parts = new Uint32Array(data.buffer.slice(data.byteOffset, data.byteOffset + 8 * rows));
  if (parts.length < 2 * rows) throw new Error('a column is too short');
  for (let k = 0; k < rows; k++) to[start + k] = (parts[2 * k + 1] * 4294967296 + parts[2 * k]) / by;
  blank(valid, rows, to, start);
}

/** Copies a column of doubles. Null becomes NaN. */
export function copyDoubles(column, to, start) {
  if (!column?.data) { to.fill(NaN, start); return; }
  const { rows, valid, data, field } = column;
  if (field.kind !== FLOAT || field.width !== 8) throw new Error(`column ${field.name} holds no doubles`);
  if (data.byteLength < 8 * rows) throw new Error('a column is too short');
  to.set(new Float64Array(data.buffer.slice(data.byteOffset, data.byteOffset + 8 * rows)), start);
  blank(valid, rows, to, start);
}

function blank(valid, rows, to, start) {
  if (valid === null) return;
  for (let k = 0; k < rows; k++) if (isNull(valid, k)) to[start + k] = NaN;
}

/** Copies a column of sides: 1 where the taker bought, 0 where it sold, 2 where nothing is known. */
export function copySides(column, to, start, dictionaries) {
  if (!column?.data) { to.fill(2, start); return; }
  const { rows, valid, data, offsets, field } = column;
  if (field.dictionary) {
    const codes = (dictionaries.get(field.dictionary.id) ?? []).map((name) => (name === 'buy' ? 1 : name === 'sell' ? 0 : 2));
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const width = field.dictionary.width;
    const read = { 1: (k) => view.getUint8(k), 2: (k) => view.getUint16(2 * k, true), 4: (k) => view.getUint32(4 * k, true) }[width];
    for (let k = 0; k < rows; k++) to[start + k] = isNull(valid, k) ? 2 : codes[read(k)] ?? 2;
    return;
  }
  const places = new DataView(offsets.buffer, offsets.byteOffset, offsets.byteLength);
  let from = rows > 0 ? places.getInt32(0, true) : 0;
  for (let k = 0; k < rows; k++) {
    const end = places.getInt32(4 * k + 4, true);
    const first = end > from ? data[from] : 0; // b of "buy", s of "sell"
    to[start + k] = isNull(valid, k) ? 2 : first === 98 ? 1 : first === 115 ? 0 : 2;
    from = end;
  }
}
