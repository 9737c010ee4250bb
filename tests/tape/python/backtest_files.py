"""Holds the exported files of backtests, read by numpy, pyarrow and Python's csv, against the column files.

usage: backtest_files.py TAPE OUT FORMAT PRODUCT    (FORMAT: tardis-csv, nautilus, hftbacktest)
Prints the number of files, of trades and of quotes.
"""

import csv
import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from stored_product import Product

NS_OF_DAY = 86_400 * 10**9
DTYPE = [(name, kind) for name, kind in zip("ev exch_ts local_ts px qty order_id ival fval".split(), "u8 i8 i8 f8 f8 u8 i8 f8".split())]
EXCHANGE, LOCAL, BUY, SELL, TRADE, BBO = 1 << 31, 1 << 30, 1 << 29, 1 << 28, 2, 5


def day_of(nanos):
    return str(np.datetime64(int(nanos), "ns"))[:10]


def by_day(local):
    """The places of the records of each day of receipt, in the order of receipt."""
    order = np.argsort(local, kind="stable")
    return {day: [at for at in order if day_of(local[at]) == day] for day in sorted({day_of(time) for time in local})}


def tardis(out, product):
    micros = lambda time: str(int(time) // 1000)
    text = lambda value: "" if np.isnan(value) else np.format_float_positional(value, trim="-")
    count = {}
    for what, local in (("trades", product.local), ("quotes", product.quote_local)):
        days = by_day(local)
        files = sorted(out.glob(f"coinbase_{what}_*.csv.gz"))
        assert [path.name for path in files] == [f"coinbase_{what}_{day}_{product.name}.csv.gz" for day in days], files
        count[what] = 0
        for path, day in zip(files, days):
            rows = list(csv.reader(io.TextIOWrapper(gzip.open(path), newline="")))
            if what == "trades":
                expected = ["exchange,symbol,timestamp,local_timestamp,id,side,price,amount".split(",")] + [
                    ["coinbase", product.name, micros(product.event[at]), micros(local[at]), str(product.ids[at])]
                    + ["buy" if product.buys[at] else "sell", text(product.prices[at]), text(product.sizes[at])]
                    for at in days[day]
                ]
            else:
                expected = ["exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount".split(",")] + [
                    ["coinbase", product.name, micros(product.quote_event[at]), micros(local[at])]
                    + [text(side[at]) for side in (product.ask_size, product.ask, product.bid, product.bid_size)]
                    for at in days[day]
                ]
            assert rows == expected, next(pair for pair in zip(rows, expected) if pair[0] != pair[1])
            count[what] += len(rows) - 1
    return len(list(out.glob("*.gz"))), count["trades"], count["quotes"]


def nautilus(out, product):
    number = lambda raw: int.from_bytes(raw, "little", signed=True)
    fixed = lambda value: round_exactly(value)
    precisions, files, count = set(), 0, {}
    kinds = (("trade_tick", product.local, None), ("quote_tick", product.quote_local, product.has_quote))
    for kind, local, held in kinds:
        folder, rows, intervals = out / "data" / kind / f"{product.name}.COINBASE", [], []
        for path in sorted(folder.glob("*")):
            table = pq.read_table(path)
            metadata = table.schema.metadata
            assert metadata[b"instrument_id"].decode() == f"{product.name}.COINBASE"
            precisions.add((int(metadata[b"price_precision"]), int(metadata[b"size_precision"])))
            of_file = table.to_pylist()
            times = [row["ts_init"] for row in of_file]
            spelled = lambda time: f"{np.datetime64(time, 'ns')}Z".replace(":", "-").replace(".", "-")
            assert path.name == f"{spelled(times[0])}_{spelled(times[-1])}.parquet", path.name
            assert len({day_of(time) for time in times}) == 1, "one file a day"
            intervals.append((times[0], times[-1]))
            rows += of_file
            files += 1
        assert all(before[1] < after[0] for before, after in zip(intervals, intervals[1:])), "intervals are disjoint"
        places = [at for at in np.argsort(local, kind="stable") if held is None or held[at]]
        if kind == "trade_tick":
            found = [(number(r["price"]), number(r["size"]), r["aggressor_side"], r["trade_id"], r["ts_event"], r["ts_init"]) for r in rows]
            side = lambda at: 1 if product.buys[at] else 2
            expected = [
                (fixed(product.prices[at]), fixed(product.sizes[at]), side(at), str(product.ids[at]), product.event[at], local[at])
                for at in places
            ]
        else:
            names = ("bid_price", "ask_price", "bid_size", "ask_size")
            found = [(*(number(row[name]) for name in names), row["ts_event"], row["ts_init"]) for row in rows]
            sides = (product.bid, product.ask, product.bid_size, product.ask_size)
            expected = [(*(fixed(side[at]) for side in sides), product.quote_event[at], local[at]) for at in places]
        assert found == expected, next((pair for pair in zip(found, expected) if pair[0] != pair[1]), (len(found), len(expected)))
        count[kind] = len(found)
    assert len(precisions) == 1, f"the catalog refuses files of different precisions: {precisions}"
    return files, count["trade_tick"], count["quote_tick"]


def round_exactly(value):
    """The shortest decimal of an f64 times 10^16: an integer."""
    digits = np.format_float_positional(value, trim="-")
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    whole, _, fraction = digits.partition(".")
    return sign * int(whole + fraction.ljust(16, "0"))


def hftbacktest(out, product):
    files = sorted(out.glob(f"{product.name}_*.npz"))
    days = sorted(set(by_day(product.local)) | set(by_day(product.quote_local)))
    assert [path.name for path in files] == [f"{product.name}_{day.replace('-', '')}.npz" for day in days], files
    trades, quotes = by_day(product.local), by_day(product.quote_local)
    count = [0, 0]
    for path, day in zip(files, days):
        archive = np.load(path)
        assert archive.files == ["data"]
        data = archive["data"]
        assert data.dtype == np.dtype(DTYPE), data.dtype
        for mark, time in ((EXCHANGE, "exch_ts"), (LOCAL, "local_ts")):
            marked = data[data["ev"] & mark != 0]
            assert (np.diff(marked[time]) >= 0).all(), f"{time} is out of order"
            # Of either mark every event is there once, and those of one time are in the order of the tape: trades, then quotes, the ask first.
            expected = []
            for at in sorted(trades.get(day, [])):
                side = BUY if product.buys[at] else SELL
                expected.append((TRADE | side, product.event[at], product.local[at], product.prices[at], product.sizes[at]))
            for at in sorted(quotes.get(day, [])):
                times = (product.quote_event[at], product.quote_local[at])
                expected.append((BBO | SELL, *times, product.ask[at], product.ask_size[at]))
                expected.append((BBO | BUY, *times, product.bid[at], product.bid_size[at]))
            expected = [row for row in expected if not np.isnan(row[3])]
            expected.sort(key=lambda row: row[1 if mark == EXCHANGE else 2])
            found = [(int(row["ev"]) & ~(EXCHANGE | LOCAL), *(row[name] for name in ("exch_ts", "local_ts", "px", "qty"))) for row in marked]
            assert len(found) == len(expected), (len(found), len(expected))
            assert np.array_equal(np.array(found, "f16"), np.array(expected, "f16"), equal_nan=True), f"{path.name}: {mark}"
            assert not (marked["order_id"].any() or marked["ival"].any() or marked["fval"].any())
        count[0] += len(trades.get(day, []))
        count[1] += len(quotes.get(day, []))
    return len(files), *count


tape, out, form, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
print(*{"tardis-csv": tardis, "nautilus": nautilus, "hftbacktest": hftbacktest}[form](out, Product(tape, name)))
