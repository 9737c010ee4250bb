#!/usr/bin/env python3
"""Reads a coltape data directory, live or at rest, into numpy, pandas, polars and pyarrow.

One file to copy: it needs Python 3.9 or newer and numpy. pandas, polars and pyarrow are imported where they are asked for.

    import coltape
    day = coltape.day("data", "BTC-USD", "trades", "2026-11-29")
    day["trade_price_f64"]          # a numpy view of the file, not a copy
    day.time                        # datetime64[ns], UTC
    day.to_pandas()                 # also to_polars(), to_arrow(), arrays()
    while True:
        if day.refresh():           # shows what has been committed since
            print(len(day))

On the command line:  python coltape.py DIR [PRODUCT [DATE]]

**A live day's files are longer than its records.** They are made ahead of need, and what lies behind the committed records is zero or not
yet whole. numpy.fromfile shows it; this module does not:

1. Only committed records are shown; where the commit page does not count (another boot, a copy, a failed flush), only those that are on disk.
2. The day's state and generation are read before and after its files are opened, so files of two generations never mix.
3. Late records stand where they belong. Of a day without any, every column is a view of the mapped file.
4. A day does not change before refresh(). Arrays that it gave out never change.
5. What the feed did not send is NaN or 0 in arrays(), and null in the frames.
6. Nothing is locked and nothing is written: readers do not disturb a capture.

The files are described in src/store/FORMAT.md of coltape. The meaning of each column is in COLUMNS below.
"""

import argparse
import collections
import datetime
import difflib
import functools
import mmap
import os
import re
import struct
import sys
import time as clock

try:
    import numpy as np
except ImportError:
    _NEEDED = "coltape.py needs numpy: python3 -m pip install numpy, or apt-get install python3-numpy"
    if __name__ == "__main__":
        sys.exit(_NEEDED)
    raise ImportError(_NEEDED) from None

__all__ = ["Error", "Day", "day", "days", "iterate", "products", "uuid_text", "COLUMNS"]

Column = collections.namedtuple("Column", "name dtype is_core meaning")


def _table(text):
    """Makes a table of columns: `name type set meaning` a line."""
    types = {"u32": "<u4", "u64": "<u8", "f32": "<f4", "f64": "<f8", "uuid": "V16"}
    rows = (line.split(None, 3) for line in text.strip().splitlines())
    return [Column(name, np.dtype(types[kind]), belongs == "core", meaning) for name, kind, belongs, meaning in rows]


#: The columns of each dataset, as version 1 of the format has them. The folder of a day holds the front of its table, at least the core.
COLUMNS = {
    "trades": _table("""
        trade_id         u64  core     Coinbase's trade id, unique and rising per product
        trade_time       u32  core     event time, seconds since the Unix epoch (the exchange's clock)
        trade_nanos      u32  core     event time, nanoseconds within the second
        trade_price      f32  core     price in the quote currency, the nearest f32
        trade_size       f32  core     size in the base currency, the nearest f32
        trade_side       u32  core     the taker's side: 1 = buy, 0 = sell
        maker_order_id   uuid core     resting order; all zero = the feed sent none
        taker_order_id   uuid core     aggressing order, likewise
        trade_price_f64  f64  extended price, the nearest f64
        trade_size_f64   f64  extended size, the nearest f64
        trade_sequence   u64  extended the exchange's sequence number; 0 = none sent
        trade_recv_nanos u64  extended wall clock when the frame was read, ns since the epoch; 0 = not received live
        trade_origin     u32  extended bits 0-3: 0 live, 1 snapshot, 2 REST, 3 another box's tape; 4-7: line; 8: feed; 9: odd but real
    """),
    "md": _table("""
        time              u32 core     event time, seconds since the Unix epoch (the exchange's clock)
        nanos             u32 core     event time, nanoseconds within the second
        price             f32 core     last trade's price in the quote currency
        volume            f32 core     last trade's size in the base currency; NaN = none sent
        side              u32 core     last trade's taker side: 1 = buy, 0 = sell, 2 = unknown
        best_bid          f32 core     best bid after that trade
        best_ask          f32 core     best ask after that trade
        trade_id          u64 extended last trade's id, joins trades; 0 = none sent
        sequence          u64 extended the exchange's sequence number; 0 = none sent
        recv_nanos        u64 extended wall clock when the frame was read, ns since the epoch
        price_f64         f64 extended price, the nearest f64
        volume_f64        f64 extended volume, likewise; NaN = none sent
        best_bid_f64      f64 extended best bid, likewise; NaN = none sent
        best_ask_f64      f64 extended best ask, likewise; NaN = none sent
        best_bid_size_f64 f64 extended size at the best bid; NaN = none sent
        best_ask_size_f64 f64 extended size at the best ask; NaN = none sent
    """),
    "ticker_trades": _table("""
        trade_time   u32 core event time, seconds since the Unix epoch (the exchange's clock)
        trade_nanos  u32 core event time, nanoseconds within the second
        trade_price  f32 core price in the quote currency
        trade_volume f32 core size in the base currency
        trade_side   u32 core the taker's side: 1 = buy, 0 = sell
        trade_spread f32 core best ask - best bid after the trade
    """),
}

#: The columns that hold the event time, of each dataset: seconds and nanoseconds.
_TIME = {"trades": ("trade_time", "trade_nanos"), "md": ("time", "nanos"), "ticker_trades": ("trade_time", "trade_nanos")}
#: The column whose values rise and are unique. Records of the other datasets stay in the order they came.
_KEY = {"trades": "trade_id", "md": None, "ticker_trades": None}
#: Names of the codes of a side.
SIDES = ["sell", "buy", "unknown"]
_SIDE = ("trade_side", "side")
#: The joined time among a day's arrays. No column has this name.
_JOINED = "time[ns]"
#: Columns in which 0 says that there is no value.
_NONE_IS_ZERO = {("md", "trade_id"), ("md", "sequence"), ("trades", "trade_sequence"), ("trades", "trade_recv_nanos")}
_CODES = {1: "md", 2: "ticker_trades", 3: "trades"}

_PAGE, _SECTOR = 4096, 512
_LIVE, _SEALED, _REPLACING = 1, 2, 3
#: How long a day whose files change while it is opened is tried again, and how long between two tries, in seconds.
_RETRY_FOR, _RETRY_EVERY = 5.0, 0.001
#: The same for a day that nobody seems to write to. It may be being made, sealed or replaced all the same.
_RETRY_AT_REST = 0.2
#: How often a page is read again whose state, and its spare, were each read while they were being written.
_PAGE_ATTEMPTS = 20


class Error(Exception):
    """Something cannot be read; the text says what, and what to do."""


class _NoDay(Error):
    """There is no such day, or it has no records yet."""


# ---------------------------------------------------------------------------------------------------------------------------------------
# Checksums: CRC32C (Castagnoli), which the standard library does not have.


def _crc_table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table.astype(np.uint32)


_CRC = _crc_table()
_CRC_LIST = _CRC.tolist()


def _crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_LIST[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc32c_rows(rows):
    """Gives the CRC of each row of a 2-D array of bytes."""
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in rows.T:
        crc = _CRC[(crc ^ column) & 0xFF] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)


def _times(matrix, crcs):
    """Multiplies a matrix over GF(2), a list of 32 columns, by each CRC of an array."""
    out = np.zeros_like(crcs)
    for bit, column in enumerate(matrix):
        out ^= np.where((crcs >> np.uint32(bit)) & np.uint32(1), np.uint32(column), np.uint32(0))
    return out


@functools.lru_cache(maxsize=64)
def _behind(size):
    """Gives the matrix that makes of the CRC of some bytes what it contributes to the CRC with `size` bytes behind them."""
    square = lambda matrix: _times(matrix, np.array(matrix, np.uint32)).tolist()
    one_bit = [0x82F63B78] + [1 << bit for bit in range(31)]
    power, out = square(square(square(one_bit))), [1 << bit for bit in range(32)]  # one byte, and none
    while size:
        if size & 1:
            out = _times(power, np.array(out, np.uint32)).tolist()
        power, size = square(power), size >> 1
    return out


def _crc32c_of(values):
    """Gives the CRC of an array's bytes: of many equal parts at once, which are then joined two by two."""
    data, parts = values.view(np.uint8), 1
    while parts < 65536 and len(data) >= parts * 128:
        parts *= 2
    size = len(data) // parts
    crcs, tail = _crc32c_rows(data[: parts * size].reshape(parts, size)), data[parts * size :].tobytes()
    while len(crcs) > 1:
        crcs, size = _times(_behind(size), crcs[0::2]) ^ crcs[1::2], size * 2
    return int(_times(_behind(len(tail)), crcs)[0]) ^ _crc32c(tail)


# ---------------------------------------------------------------------------------------------------------------------------------------
# The commit page.

_Identity = collections.namedtuple("_Identity", "dataset is_core date product columns")
_State = collections.namedtuple("_State", "phase generation records crcs")
_Slot = collections.namedtuple("_Slot", "sequence generation late records crcs")
_Durable = collections.namedtuple("_Durable", "records late crcs")
_Seen = collections.namedtuple("_Seen", "identity state is_trusted records late durable file")


@functools.lru_cache(maxsize=256)
def _checked(sector):
    """Tells whether a sector's CRC, its last four bytes, fits."""
    return _crc32c(sector[:-4]) == struct.unpack_from("<I", sector, _SECTOR - 4)[0]


def _identity(sector, path):
    if not _checked(sector) or sector[:8] != b"COLTAPE\0":
        return None
    version, code, columns_set, date, length = struct.unpack_from("<5I", sector, 8)
    if version > 1:
        raise Error(f"{path}: its day is of version {version} of the format, and this coltape.py reads version 1: take that of the program that wrote it")
    if version != 1 or code not in _CODES or columns_set > 1 or length > 64:
        return None
    product = sector[28 : 28 + length].decode("utf-8", "replace")
    return _Identity(_CODES[code], columns_set == 0, date, product, struct.unpack_from("<I", sector, 92)[0])


def _crcs(sector, at):
    """Reads a number of columns, and the CRC of each."""
    count = struct.unpack_from("<I", sector, at)[0]
    return struct.unpack_from(f"<{count}I", sector, at + 4) if count <= 64 else None


def _state(sector):
    phase, generation, records = struct.unpack_from("<IIQ", sector, 0)
    state = _State(phase, generation, records, _crcs(sector, 24))
    return state if _checked(sector) and phase in (_LIVE, _SEALED, _REPLACING) and state.crcs is not None else None


def _slot(sector):
    slot = _Slot(*struct.unpack_from("<QIIQ", sector, 0), _crcs(sector, 32))
    return slot if _checked(sector) and slot.sequence > 0 and slot.crcs is not None else None


def _durable(page, state):
    """Decides what is on disk: the records, the late records, and the CRC of each column."""
    slots = [_slot(page[at * _SECTOR : (at + 1) * _SECTOR]) for at in (2, 3)]
    fits = [slot for slot in slots if slot and (slot.generation, len(slot.crcs)) == (state.generation, len(state.crcs))]
    newest = max(fits, key=lambda slot: slot.sequence, default=None)
    if state.phase == _REPLACING or newest is None or newest.records < state.records:
        return _Durable(state.records, 0, state.crcs)
    # A sealed day has the records of its seal; only late ones can have come since.
    return _Durable(newest.records, newest.late, newest.crcs) if state.phase == _LIVE else _Durable(state.records, newest.late, state.crcs)


@functools.lru_cache(maxsize=1)
def _boot_id():
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return None  # then `committed` never counts


def _shown(state):
    """Gives what readers see of a state: while a day is being replaced they read its new files."""
    return (_LIVE, state.generation) if state.phase == _LIVE else (_SEALED, state.generation + (state.phase == _REPLACING))


def _look(path, at_least=0):
    """Reads a commit page: what a reader may see of its day. Nothing where there is no page, or it says nothing yet."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(file)
        for _ in range(_PAGE_ATTEMPTS):
            page = os.pread(file, _PAGE, 0)
            if len(page) < _PAGE:
                return None
            identity = _identity(page[:_SECTOR], path)
            state = _state(page[4 * _SECTOR : 5 * _SECTOR]) or _state(page[5 * _SECTOR : 6 * _SECTOR])
            if identity is not None and state is not None:
                break
            clock.sleep(_RETRY_EVERY)
        else:
            return None
        high, low, device, inode, mistrust = struct.unpack_from("<5Q", page, 560)
        boot = struct.pack(">2Q", high, low)
        is_trusted = boot == _boot_id() and (device, inode) == (found.st_dev, found.st_ino) and mistrust == 0
        durable = _durable(page, state)
        if not is_trusted:
            # Of a sealed day whose page does not count, every late record that is whole counts.
            records, late = durable.records, None if state.phase == _SEALED else durable.late
        elif state.phase == _REPLACING:
            records, late = durable.records, durable.late
        else:
            committed, late = _hot(file, state.generation, at_least)
            records = committed if state.phase == _LIVE else state.records
        return _Seen(identity, state, is_trusted, records, late, durable, (found.st_dev, found.st_ino))
    finally:
        os.close(file)


def _hot(file, generation, at_least):
    """Reads `committed` and the number of late records of this generation.

    No promise says that a read of 8 bytes meets no store halfway. Both only rise, so a value counts once the next read is not below it.
    """
    before = None
    for _ in range(1000):
        committed, late = struct.unpack("<2Q", os.pread(file, 16, _SECTOR))
        if before and before[0] <= committed and before[1] <= late and before[0] >= at_least:
            break
        before = (committed, late)
    committed, late = before
    return committed, late & 0xFFFFFFFF if late >> 32 == generation else 0


# ---------------------------------------------------------------------------------------------------------------------------------------
# Arrays that grow.


class _Growing:
    """An array that is added to at its end. What it has given out never changes."""

    def __init__(self, first):
        self._buffer, self._count = first, len(first)
        self._is_own = False

    def extend(self, more):
        need = self._count + len(more)
        if not self._is_own or need > len(self._buffer):
            buffer = np.empty(need + need // 2 + 1024, self._buffer.dtype)
            buffer[: self._count] = self._buffer[: self._count]
            self._buffer, self._is_own = buffer, True
        self._buffer[self._count : need] = more
        self._count = need

    def array(self):
        view = self._buffer[: self._count]
        view.flags.writeable = False
        return view


def _joined_time(seconds, nanos):
    joined = seconds.astype(np.int64)
    joined *= 1_000_000_000
    joined += nanos
    return joined.view("datetime64[ns]")


class _Merge:
    """The places of late records among those of the columns."""

    def __init__(self, columns, keys, late_keys, late_count):
        if keys is None:  # behind all others, in the order they came
            self.late = np.arange(late_count)
            self.kept, self.places = None, columns + self.late
            self.count = columns + late_count
            return
        # Of two late records with one key the later counts.
        order = np.argsort(late_keys, kind="stable")
        is_last = np.append(late_keys[order][1:] != late_keys[order][:-1], True)
        self.late = order[is_last]
        late_keys = late_keys[self.late]
        at = np.searchsorted(keys, late_keys)
        replaces = at < columns
        replaces[replaces] = keys[at[replaces]] == late_keys[replaces]
        self.kept = np.ones(columns, bool)
        self.kept[at[replaces]] = False
        self.places = at + np.arange(len(at)) - (np.cumsum(replaces) - replaces)
        self.count = columns + len(at) - int(replaces.sum())

    def apply(self, column, late):
        out = np.empty(self.count, column.dtype)
        is_column = np.ones(self.count, bool)
        is_column[self.places] = False
        out[is_column] = column if self.kept is None else column[self.kept]
        out[self.places] = late[self.late]
        return out


# ---------------------------------------------------------------------------------------------------------------------------------------
# Days.


class Day:
    """A dataset-day as it was when it was opened or refreshed. Made by `day()`."""

    def __init__(self, directory, product, dataset, date):
        self.directory, self.product, self.dataset, self.date = directory, product, dataset, date
        self._folder = os.path.join(directory, product, _FOLDERS[dataset])
        # What `_take` fills in. `_cache` holds the arrays that had to be made: merged columns, and the joined time.
        self._seen, self._table, self._base, self._late, self._merged, self._cache = None, [], {}, None, None, {}
        self._files, self._last = {}, None
        self._count = self._base_count = self._late_count = 0
        self._spelled = date
        self._open(is_known=False)

    # -- what there is

    def __len__(self):
        return self._count

    def __repr__(self):
        return f"<{self.product} {self.dataset} {self.date}: {self.state}, {len(self)} records, {self.late_count} late>"

    @property
    def state(self):
        """`live`: it grows. `sealed`: final until it is replaced. `bare`: column files without a commit page."""
        return "bare" if self._seen is None else "live" if self._seen.state.phase == _LIVE else "sealed"

    @property
    def generation(self):
        """How often the files of the day have been replaced."""
        return 0 if self._seen is None else _shown(self._seen.state)[1]

    @property
    def columns(self):
        """The names of the stored columns, in the order of the table."""
        return [column.name for column in self._table]

    @property
    def late_count(self):
        """The number of late records that came, the better copies of records from REST among them."""
        return self._late_count

    @property
    def time(self):
        """Event time, datetime64[ns], UTC: seconds and nanoseconds in one."""
        if _JOINED not in self._cache:
            self._cache[_JOINED] = _Growing(_joined_time(*map(self.raw, _TIME[self.dataset])))
        return self._cache[_JOINED].array()

    def raw(self, name):
        """The stored values of a column, late records in their place. A view of the file where there are no late records."""
        if name not in self._base:
            why = "its folder holds the core columns alone" if name in _names(self.dataset) else f"there are {', '.join(self.columns)}"
            raise Error(f"{self.product} {self.dataset} {self.date} has no column {name}: {why}")
        if not self._late_count:
            return self._base[name]
        if name not in self._cache:
            self._cache[name] = _Growing(self._merge().apply(self._base[name], self._late[name]))
        return self._cache[name].array()

    def __getitem__(self, name):
        """A column by its name; `time` is the joined event time, whichever the dataset."""
        return self.time if name == "time" else self.raw(name)

    def arrays(self, columns=None):
        """A dict of arrays: `time`, then the stored columns but the two that `time` is joined from; or those asked for."""
        return {name: self[name] for name in self._chosen(columns)}

    def side_names(self):
        """The taker's side of each record as text: buy, sell or unknown."""
        return np.array(SIDES)[self._side_codes(self.raw(_TIME_SIDE[self.dataset]))]

    def _chosen(self, columns):
        if columns is None:
            return ["time"] + [name for name in self.columns if name not in _TIME[self.dataset]]
        return [columns] if isinstance(columns, str) else list(columns)

    def _side_codes(self, codes):
        if len(codes) and codes.max() >= len(SIDES):
            raise Error(f"{self.product} {self.dataset} {self.date}: a side has the code {codes.max()}, which means nothing; see coltape verify")
        return codes

    def _present(self, name, values):
        """Where a column has a value; None where every record has one."""
        if values.dtype.kind == "f":
            present = ~np.isnan(values)
        elif values.dtype.kind == "V":
            present = (values.view("<u8").reshape(-1, 2) != 0).any(axis=1)
        elif (self.dataset, name) in _NONE_IS_ZERO:
            present = values != 0
        else:
            return None
        return None if present.all() else present

    # -- to other libraries

    def to_pandas(self, columns=None, order_ids="bytes", tz=None):
        """A pandas DataFrame. Sides are a Categorical. Order ids are bytes objects, or text with order_ids="text". `time` is UTC without
        a zone; tz="UTC" puts the zone on it. Numbers that the feed did not send are NaN or NA, order ids None."""
        import pandas as pd

        _check_order_ids(order_ids)
        out = {}
        for name, values in self.arrays(columns).items():
            if name in _SIDE:
                values = pd.Categorical.from_codes(self._side_codes(values).astype(np.int8), SIDES)
            elif values.dtype.kind == "V":
                present = self._present(name, values)
                values = _objects(_texts(values) if order_ids == "text" else values.tolist())
                if present is not None:
                    values[~present] = None
                values = pd.Series(values, dtype=object)
            elif (self.dataset, name) in _NONE_IS_ZERO:
                present = self._present(name, values)
                values = pd.arrays.IntegerArray(values, np.zeros(len(values), bool) if present is None else ~present)
            elif name == "time" and tz is not None:
                values = pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(tz)
            out[name] = values
        return pd.DataFrame(out, copy=False)

    def to_arrow(self, columns=None, order_ids="bytes", tz=None):
        """A pyarrow Table whose buffers are this day's arrays, not copies. Order ids are fixed_size_binary(16), or text with
        order_ids="text". What the feed did not send is null. `time` is UTC without a zone; tz="UTC" puts the zone on it."""
        import pyarrow as pa

        _check_order_ids(order_ids)
        if sys.byteorder != "little":
            raise Error("to_arrow shows the files as they are, and they are little-endian: this machine is not")
        types = {"u4": pa.uint32(), "u8": pa.uint64(), "f4": pa.float32(), "f8": pa.float64(), "M8[ns]": pa.timestamp("ns", tz), "V16": pa.binary(16)}
        arrays, names = [], []
        for name, values in self.arrays(columns).items():
            present = self._present(name, values)
            bits = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little"))
            count = len(values)
            if values.dtype.kind == "V" and order_ids == "text":
                starts = np.arange(0, 36 * (count + 1), 36, dtype=np.int64)
                parts = [bits, pa.py_buffer(starts), pa.py_buffer(uuid_text(values).view(np.uint8))]
                array = pa.Array.from_buffers(pa.large_string(), count, parts)
            else:
                kind = types[values.dtype.str[1:]]
                array = pa.Array.from_buffers(kind, count, [bits, pa.py_buffer(values.view(np.uint8))])
            if name in _SIDE:
                self._side_codes(values)
                array = pa.DictionaryArray.from_arrays(array, SIDES)
            arrays.append(array)
            names.append(name)
        return pa.Table.from_arrays(arrays, names)

    def to_polars(self, columns=None, order_ids="bytes", tz=None):
        """A polars DataFrame, made of `to_arrow()`."""
        import polars as pl

        return pl.from_arrow(self.to_arrow(columns, order_ids, tz))

    # -- opening and looking again

    def refresh(self):
        """Looks again. Tells whether anything is new: records, late records, a seal or a replacement. Costs what came since; only where a
        record came late are the columns merged anew."""
        before, seen = self._seen, self._look()
        if seen is None and before is not None:
            raise Error(f"{self._file('commit')}: the day is gone")
        if before is not None and seen.late is not None:
            is_same = (_shown(seen.state), seen.records, seen.late, seen.file) == (_shown(before.state), before.records, before.late, before.file)
            if is_same and self._last == _last_of(self._base, self._base_count):
                return False
        shown = lambda: (self._seen and _shown(self._seen.state), self._count, self._late_count, self._files, self._last)
        was = shown()
        self._open(is_known=True)
        return was != shown()

    def check(self):
        """Holds the day against its checksums: all of a sealed day, of a live one what is on disk. Raises Error where a byte is another.
        Reads every byte, which takes a while: coltape verify does the same at once. A day without a page has no checksums."""
        while True:
            fault = self._fault()
            if fault is None:
                return
            if not self.refresh():  # else the checksums may be those of the files that replaced these meanwhile
                raise Error(f"{fault}: see coltape verify")

    def _fault(self):
        if self._seen is None:
            return None
        durable, promised = self._seen.durable, self._seen.late or 0
        for column, crc in zip(self._table, durable.crcs):
            values, path = self._base[column.name], self._file(column.name)
            if self.state == "sealed" and self._seen.state.phase != _REPLACING and os.stat(path).st_size != values.nbytes:
                return f"{path}: {os.stat(path).st_size} bytes are not {len(values)} records of {column.dtype.itemsize}"
            if len(values) >= durable.records and _crc32c_of(values[: durable.records]) != crc:
                return f"{path}: the checksum of its first {durable.records} records is another"
        if self._late_count < max(promised, durable.late):
            return f"{self._file('late')}: {self._late_count} late records are whole, {max(promised, durable.late)} were committed"
        return None

    def _look(self):
        at_least = self._seen.records if self._seen and self._seen.state.phase == _LIVE else 0
        return _look(self._file("commit"), at_least)

    def _file(self, name, ending=""):
        return os.path.join(self._folder, f"{name}.{self._spelled}.bin{ending}")

    def _open(self, is_known):
        began = clock.monotonic()
        while True:
            retry_for = _RETRY_FOR
            try:
                if self._try_open(is_known):
                    return
                failed = Error(f"{self._file('commit')}: the day changes faster than it can be opened")
            except _NoDay:
                raise
            except (Error, OSError, ValueError) as error:
                failed = error if isinstance(error, Error) else Error(str(error))
                # Files are cut, renamed and removed while a day changes its state. Where nobody writes there is not much to wait for.
                seen = self._look()
                retry_for = _RETRY_FOR if seen is not None and seen.is_trusted else _RETRY_AT_REST
            if clock.monotonic() - began >= retry_for:
                raise failed
            clock.sleep(_RETRY_EVERY)

    def _try_open(self, is_known):
        """Opens the day once. Tells whether it stayed as it was meanwhile."""
        iso = self.date
        self._spelled = iso
        if not os.path.exists(self._file("commit")):
            self._spelled = _dmy(iso)
            if not os.path.exists(self._file("commit")):
                return self._open_bare(is_known)
        seen = self._look()
        if seen is None:
            self._must_be_empty()
            raise self._no_day()
        table = self._table_of(seen.identity)
        mapped = {column.name: self._map(column, seen.records, seen.state.phase == _REPLACING) for column in table}
        late = self._read_late(seen, table)
        now = _look(self._file("commit"))
        # A page that counts again has a writer again: whole late records may be ones that it has not committed yet.
        if now is None or _shown(now.state) != _shown(seen.state) or now.is_trusted != seen.is_trusted:
            return False
        self._take(seen, table, mapped, late)
        return True

    def _has_page(self):
        return any(os.path.exists(os.path.join(self._folder, f"commit.{spelled}.bin")) for spelled in (self.date, _dmy(self.date)))

    def _table_of(self, identity):
        page = self._file("commit")
        if (identity.dataset, identity.product, identity.date) != (self.dataset, self.product, _days_since_epoch(self.date)):
            raise Error(f"{page}: it is the page of {identity.product} {identity.dataset}, not of {self.product} {self.dataset} {self.date}")
        table = COLUMNS[self.dataset]
        core = sum(column.is_core for column in table)
        if identity.columns > len(table):
            raise Error(f"{page}: its folder holds {identity.columns} columns; this coltape.py knows {len(table)}: take that of the version that wrote it")
        if not core <= identity.columns or (identity.is_core and identity.columns != core):
            raise Error(f"{page}: it names {identity.columns} columns, which no version had: see coltape verify")
        return table[: identity.columns]

    def _map(self, column, records, is_replacing):
        """Maps a column, as far as its records go and not further. Gives the array, and which file it is."""
        path = self._file(column.name)
        file = self._open_replacement(column) if is_replacing else None
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if file is None else file
        except OSError as error:
            raise Error(f"{path}: cannot be opened ({error.strerror}): see coltape verify") from None
        try:
            length, found = records * column.dtype.itemsize, os.fstat(file)
            if found.st_size < length:
                raise Error(f"{path}: {found.st_size} bytes do not hold {records} records: see coltape verify")
            data = mmap.mmap(file, length, mmap.MAP_SHARED, mmap.PROT_READ) if records else b""
            return np.frombuffer(data, column.dtype), (found.st_dev, found.st_ino)
        finally:
            os.close(file)

    def _open_replacement(self, column):
        """Opens a new file under its temporary name. None where it has taken its own name already."""
        try:
            return os.open(self._file(column.name, ".tmp"), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None

    def _read_late(self, seen, table):
        """Reads the late records of this generation: as many as the page says, or those at the front of the file that are whole. Those that
        were read before are kept."""
        kind = np.dtype([("crc", "<u4"), ("generation", "<u4")] + [(column.name, column.dtype) for column in table])
        known = self._late if self._is_still(seen, table) else np.empty(0, kind)
        if seen.late is not None and seen.late <= len(known):
            return known[: seen.late]
        try:
            with open(self._file("late"), "rb") as file:
                file.seek(len(known) * kind.itemsize)
                data = file.read(-1 if seen.late is None else (seen.late - len(known)) * kind.itemsize)
        except FileNotFoundError:
            data = b""
        records = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
        rows = records.view(np.uint8).reshape(len(records), kind.itemsize)
        is_whole = (records["generation"] == seen.state.generation) & (_crc32c_rows(rows[:, 4:]) == records["crc"])
        whole = records[: len(records) if is_whole.all() else int(np.argmin(is_whole))]
        return np.concatenate([known, whole]) if len(known) else whole

    def _is_still(self, seen, table):
        """Tells whether the files are those that were opened before."""
        before = self._seen
        return before is not None and seen is not None and _shown(before.state) == _shown(seen.state) and self._table == table

    def _open_bare(self, is_known):
        """Opens a day without a page, by its column files alone."""
        table = COLUMNS[self.dataset]
        core = sum(column.is_core for column in table)
        for self._spelled in (self.date, _dmy(self.date)):
            is_there = [os.path.exists(self._file(column.name)) for column in table]
            count = is_there.index(False) if False in is_there else len(table)
            if count < core:
                continue
            # Fewer columns than the version had are what is left of a copy: only the core is trusted then.
            held = table if count == len(table) else table[:core]
            records = min(os.stat(self._file(column.name)).st_size // column.dtype.itemsize for column in held)
            mapped = {column.name: self._map(column, records, False) for column in held}
            late = np.empty(0, [(column.name, column.dtype) for column in held])
            if self._has_page():
                return False  # a capture has made the day since: its files may be longer than its records
            self._take(None, held, mapped, late)
            return True
        self._spelled = self.date
        if is_known and self._count:
            raise Error(f"{self._file('commit')}: the day is gone")
        if is_known:
            return True
        self._must_be_empty()
        raise self._no_day()

    def _take(self, seen, table, mapped, late):
        """Makes what was opened this day's. Where records were only added behind all others, what was merged before is kept: not where other
        files lie in place of these, or after a crash another record in place of the last one."""
        base, files = ({name: one[at] for name, one in mapped.items()} for at in (0, 1))
        added_from, count = self._base_count, len(base[table[0].name])
        is_added = self._is_still(seen, table) and files == self._files and count >= added_from and len(late) == self._late_count
        is_added = is_added and self._last == _last_of(base, added_from)
        if is_added and len(late):
            key = _KEY[self.dataset]
            is_added = key is not None and bool((base[key][added_from:] > late[key].max()).all())
        self._seen, self._table, self._base, self._late, self._files = seen, table, base, late, files
        self._last = _last_of(base, count)
        self._base_count, self._late_count, self._merged = count, len(late), None
        if not is_added:
            self._cache = {}
            self._count = self._merge().count if len(late) else count
            return
        self._count += count - added_from
        for name, cached in self._cache.items():
            if name == _JOINED:
                cached.extend(_joined_time(*(base[part][added_from:] for part in _TIME[self.dataset])))
            else:
                cached.extend(base[name][added_from:])

    def _merge(self):
        if self._merged is None:
            key = _KEY[self.dataset]
            keys, late_keys = (None, None) if key is None else (self._base[key], self._late[key])
            self._merged = _Merge(self._base_count, keys, late_keys, self._late_count)
        return self._merged

    def _must_be_empty(self):
        """A day whose page cannot be read and whose files hold something is no missing day."""
        for spelled in (self.date, _dmy(self.date)):
            for name in [column.name for column in COLUMNS[self.dataset]] + ["late"]:
                path = os.path.join(self._folder, f"{name}.{spelled}.bin")
                if os.path.exists(path) and os.path.getsize(path):
                    page = os.path.join(self._folder, f"commit.{spelled}.bin")
                    raise Error(f"{page}: the day holds records and its page cannot be read, or a column is missing: see coltape verify")

    def _no_day(self):
        there = days(self.directory, self.product, self.dataset)
        others = f"there are {there[0]} to {there[-1]}" if len(there) > 1 else f"there is {there[0]}" if there else "there is no day of it"
        return _NoDay(f"{self.directory} has no {self.dataset} of {self.product} on {self.date}: {others}")


_FOLDERS = {"trades": "TRADES", "md": "MD", "ticker_trades": "TICKER_TRADES"}
_TIME_SIDE = {"trades": "trade_side", "md": "side", "ticker_trades": "trade_side"}
_PRODUCT = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*(?:~(?:[2-9]|[1-9][0-9]{1,3}))?", re.ASCII)


#: The two hexadecimal digits of each byte.
_TWO_DIGITS = np.array([f"{byte:02x}".encode() for byte in range(256)], "S2").view("<u2")


def day(directory, product, dataset, date):
    """Opens a day: `day("data", "BTC-USD", "trades", "2026-11-29")`. Raises Error where there is none, saying what there is."""
    return Day(os.fspath(directory), _known_product(directory, product), _dataset(dataset), _iso(date))


def products(directory):
    """The products of a data directory, in order. A series of trade ids that began anew is one of its own: `BTC-USD~2`."""
    try:
        names = os.listdir(directory)
    except OSError as error:
        raise Error(f"{directory}: {error.strerror}: give the data directory of a capture") from None
    holds = lambda name: any(os.path.isdir(os.path.join(directory, name, folder)) for folder in _FOLDERS.values())
    return sorted(name for name in names if _PRODUCT.fullmatch(name) and holds(name))


def days(directory, product, dataset="trades"):
    """The days of a product's dataset, oldest first, as 2026-11-29. Tomorrow's may be among them, made ahead and empty."""
    folder = os.path.join(directory, _known_product(directory, product), _FOLDERS[_dataset(dataset)])
    seconds = _TIME[_dataset(dataset)][0]
    found = set()
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        what, _, rest = name.partition(".")
        if what in ("commit", seconds) and rest.endswith(".bin"):
            try:
                found.add(_iso(rest[:-4]))
            except Error:
                pass
    return sorted(found)


def iterate(directory, product, dataset="trades", first=None, last=None):
    """Opens the days from `first` to `last`, both included, one after the other. Days without records are left out."""
    first, last = (None if date is None else _iso(date) for date in (first, last))
    if first and last and first > last:
        raise Error(f"the first day, {first}, is after the last, {last}")
    for date in days(directory, product, dataset):
        if (first is None or date >= first) and (last is None or date <= last):
            try:
                opened = day(directory, product, dataset, date)
            except _NoDay:  # its files are being made
                continue
            if len(opened):
                yield opened


def uuid_text(values):
    """Order ids as text: an array of 36-byte strings, as in `1da6ce16-c8da-4732-9f71-000000000001`."""
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1, 16)
    digits = _TWO_DIGITS[raw].view(np.uint8)
    text = np.full((len(raw), 36), ord("-"), np.uint8)
    for at, start, end in ((0, 0, 8), (9, 8, 12), (14, 12, 16), (19, 16, 20), (24, 20, 32)):
        text[:, at : at + end - start] = digits[:, start:end]
    return text.reshape(-1).view("S36")


def _last_of(base, count):
    """Gives the bytes of the last of these records, which show whether it is still the same one."""
    return [values[count - 1].tobytes() for values in base.values()] if count else None


def _objects(values):
    out = np.empty(len(values), object)
    out[:] = values
    return out


def _texts(values):
    """Gives order ids as a list of str."""
    whole = uuid_text(values).tobytes().decode("ascii")
    return [whole[at : at + 36] for at in range(0, len(whole), 36)]


def _check_order_ids(order_ids):
    if order_ids not in ("bytes", "text"):
        raise Error(f'order_ids is "bytes" or "text", not {order_ids!r}')


def _names(dataset):
    return [column.name for column in COLUMNS[dataset]]


def _dataset(name):
    for dataset, folder in _FOLDERS.items():
        if name in (dataset, folder):
            return dataset
    raise Error(f"there is no dataset {name}: there are {', '.join(_FOLDERS)}")


def _known_product(directory, product):
    if _PRODUCT.fullmatch(product) and any(os.path.isdir(os.path.join(directory, product, folder)) for folder in _FOLDERS.values()):
        return product
    there = products(directory)
    if not there:
        raise Error(f"{directory} holds no product: it is no data directory of a capture (its folders would be BTC-USD/TRADES and the like)")
    near = difflib.get_close_matches(product.upper(), there, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(there[:20])}{' …' if len(there) > 20 else ''}"
    raise Error(f"{directory} has no product {product}: {hint}")


def _iso(date):
    """Spells a date as 2026-11-29, from that, from 29.11.26, or from a date of datetime, numpy or pandas."""
    text = str(date.date() if isinstance(date, datetime.datetime) else date)
    if re.fullmatch(r"\d\d\.\d\d\.\d\d", text, re.ASCII):
        text = f"20{text[6:]}-{text[3:5]}-{text[:2]}"
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            raise ValueError
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise Error(f"{text!r} is not a date such as 2026-11-29") from None


def _dmy(iso):
    return f"{iso[8:]}.{iso[5:7]}.{iso[2:4]}"


def _days_since_epoch(iso):
    return (datetime.date.fromisoformat(iso) - datetime.date(1970, 1, 1)).days


# ---------------------------------------------------------------------------------------------------------------------------------------
# The command line.


def _text_rows(opened, columns, chosen):
    """Gives the records of a slice as rows of text, the names first."""
    names = opened._chosen(columns)
    cells = []
    for name in names:
        values = opened[name][chosen]
        if name in _SIDE:
            cells.append([SIDES[code] if code < len(SIDES) else str(code) for code in values.tolist()])
        elif values.dtype.kind == "V":
            cells.append(_texts(values))
        else:
            cells.append([str(value) for value in values])
    return [names] + [list(row) for row in zip(*cells)]


def _print_aligned(rows, out):
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        out.write("  ".join(cell.rjust(width) for cell, width in zip(row, widths)).rstrip() + "\n")


def _overview(directory, product):
    chosen = [product] if product else products(directory)
    if not chosen:
        _known_product(directory, "?")
    rows = [["product", "dataset", "date", "state", "records", "late"]]
    for product in chosen:
        for dataset in _FOLDERS:
            for date in days(directory, product, dataset):
                try:
                    opened = day(directory, product, dataset, date)
                    rows.append([product, dataset, date, opened.state, str(len(opened)), str(opened.late_count)])
                except Error as error:
                    rows.append([product, dataset, date, "not readable", "", ""])
                    sys.stderr.write(f"coltape.py: {error}\n")
    return rows


def main(arguments=None):
    """Prints what a directory holds, or the first records of a day. Gives the exit code."""
    parser = argparse.ArgumentParser(prog="coltape.py", description="Shows what a coltape data directory holds, or the first records of a day.")
    parser.add_argument("directory", metavar="DIR", help="the data directory of a capture")
    parser.add_argument("product", metavar="PRODUCT", nargs="?", help="such as BTC-USD; without it: list all products and days")
    parser.add_argument("date", metavar="DATE", nargs="?", help="such as 2026-11-29; without it: list the product's days")
    parser.add_argument("--dataset", default="trades", choices=list(_FOLDERS), help="default: trades")
    parser.add_argument("--columns", metavar="A,B", help="default: time and all that are stored")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--head", type=int, metavar="N", default=10, help="print the first N records (default: 10)")
    which.add_argument("--tail", type=int, metavar="N", help="print the last N records")
    asked = parser.parse_args(arguments)
    if asked.head < 0 or (asked.tail or 0) < 0:
        parser.error("a number of records is not negative")
    try:
        if asked.date is None:
            _print_aligned(_overview(asked.directory, asked.product), sys.stdout)
        else:
            opened = day(asked.directory, asked.product, asked.dataset, asked.date)
            chosen = slice(0, asked.head) if asked.tail is None else slice(max(len(opened) - asked.tail, 0), None)
            _print_aligned(_text_rows(opened, asked.columns and asked.columns.split(","), chosen), sys.stdout)
            sys.stderr.write(f"{opened!r}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (Error, OSError) as error:
        sys.stderr.write(f"coltape.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
