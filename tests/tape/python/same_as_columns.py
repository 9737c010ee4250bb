"""Holds an exported day, as several engines read it, against the column files, read by numpy alone.

usage: same_as_columns.py TAPE, with a line for each day on standard input: OUT FORMAT TYPES PRODUCT DATASET DATE
FORMAT: parquet or arrow; TYPES: safe or rich. Prints each engine with the number of the line and the number of records that it read.
With DUCKDB_ONLY=1 only DuckDB reads: for another version of it, found by PYTHONPATH.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

NS = 1_000_000_000


def stored(folder, date, name, dtype):
    path = folder / f"{name}.{date}.bin"
    return np.fromfile(path, dtype) if path.exists() else None


def masked(values, is_null):
    return np.ma.MaskedArray(values, mask=np.broadcast_to(is_null, len(values)))


def number(folder, date, exact, rounded):
    """Doubles, or floats of 4 bytes where there are no others."""
    values = stored(folder, date, exact, "<f8")
    if values is None:
        values = stored(folder, date, rounded, "<f4")
    return masked(values, np.isnan(values))


def unless_zero(folder, date, name, count):
    values = stored(folder, date, name, "<u8")
    if values is None:
        return masked(np.zeros(count, "i8"), True)
    return masked(values.astype("i8"), values == 0)


def named(codes, names):
    table = np.array(list(names) + [""], dtype=object)
    places = np.minimum(codes, len(names))
    return masked(table[places], codes >= len(names))


def order_ids(folder, date, name):
    values = stored(folder, date, name, "V16")
    texts = np.array([bytes(value) for value in values], dtype=object)
    # As a list: numpy takes the zeros at the end of bytes for padding.
    return masked(texts, [text == bytes(16) for text in texts])


def nothing(count, dtype=object):
    return masked(np.zeros(count, dtype), True)


def trades(folder, date):
    seconds = stored(folder, date, "trade_time", "<u4").astype("i8")
    ns = seconds * NS + stored(folder, date, "trade_nanos", "<u4").astype("i8")
    origin, count = stored(folder, date, "trade_origin", "<u4"), len(seconds)
    return {
        "time": ns,
        "time_ns": ns,
        "recv_ns": unless_zero(folder, date, "trade_recv_nanos", count),
        "trade_id": stored(folder, date, "trade_id", "<u8").astype("i8"),
        "sequence": unless_zero(folder, date, "trade_sequence", count),
        "price": number(folder, date, "trade_price_f64", "trade_price"),
        "size": number(folder, date, "trade_size_f64", "trade_size"),
        "side": named(stored(folder, date, "trade_side", "<u4"), ["sell", "buy"]),
        "maker_order_id": order_ids(folder, date, "maker_order_id"),
        "taker_order_id": order_ids(folder, date, "taker_order_id"),
        "origin": nothing(count) if origin is None else named(origin & 15, ["live", "snapshot", "rest", "tape"]),
        "line": nothing(count, "i4") if origin is None else (origin >> 4 & 15).astype("i4"),
        "feed": nothing(count) if origin is None else named(origin >> 8 & 1, ["exchange", "advanced"]),
    }


def quotes(folder, date):
    seconds = stored(folder, date, "time", "<u4").astype("i8")
    ns, count = seconds * NS + stored(folder, date, "nanos", "<u4").astype("i8"), len(seconds)

    def size(name):
        values = stored(folder, date, name, "<f8")
        return nothing(count, "f8") if values is None else masked(values, np.isnan(values))

    return {
        "time": ns,
        "time_ns": ns,
        "recv_ns": unless_zero(folder, date, "recv_nanos", count),
        "trade_id": unless_zero(folder, date, "trade_id", count),
        "sequence": unless_zero(folder, date, "sequence", count),
        "price": number(folder, date, "price_f64", "price"),
        "size": number(folder, date, "volume_f64", "volume"),
        "bid": number(folder, date, "best_bid_f64", "best_bid"),
        "ask": number(folder, date, "best_ask_f64", "best_ask"),
        "bid_size": size("best_bid_size_f64"),
        "ask_size": size("best_ask_size_f64"),
        "side": named(stored(folder, date, "side", "<u4"), ["sell", "buy"]),
    }


def ticker_trades(folder, date):
    seconds = stored(folder, date, "trade_time", "<u4").astype("i8")
    ns = seconds * NS + stored(folder, date, "trade_nanos", "<u4").astype("i8")
    return {
        "time": ns,
        "time_ns": ns,
        "price": number(folder, date, "", "trade_price"),
        "size": number(folder, date, "", "trade_volume"),
        "side": named(stored(folder, date, "trade_side", "<u4"), ["sell", "buy"]),
        "spread": number(folder, date, "", "trade_spread"),
    }


def compare(engine, table, want, types, product, date):
    count = len(want["time"])
    assert table.num_rows == count, f"{engine}: {table.num_rows} records, not {count}"
    keys = {"dataset", "product", "date"}
    names = [name for name in table.column_names if name not in keys]
    assert names == list(want), f"{engine}: columns {names}"
    if "product" in table.column_names:
        assert set(table["product"].cast(pa.string()).to_pylist()) == {product}, engine
        assert {str(day) for day in table["date"].unique().to_pylist()} == {date}, engine
    for name, values in want.items():
        column = table[name].combine_chunks()
        column = column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
        nulls = np.asarray(column.is_null())
        want_nulls = np.ma.getmaskarray(values)
        assert np.array_equal(nulls, want_nulls), f"{engine} {name}: nulls"
        if name == "time":
            unit = {"us": 1000, "ns": 1}[column.type.unit]
            assert unit == 1000 or types == "rich" and column.type.tz is not None, f"{engine}: {column.type}"
            assert column.type.tz is not None, f"{engine}: {column.type}"
            got = column.cast(pa.int64())
            values = values // unit
        elif pa.types.is_dictionary(column.type) or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            got = column.cast(pa.string())
        elif isinstance(column.type, pa.ExtensionType) or hasattr(column, "storage"):
            got = column.storage.cast(pa.binary())
        elif "order_id" in name:
            got = column.cast(pa.binary())
        else:
            kind = {"i": pa.int64(), "f": pa.float64()}[np.asarray(values).dtype.kind]
            assert column.type == (pa.int32() if name == "line" else kind), f"{engine} {name}: {column.type}"
            got = column
        keep = ~want_nulls
        got = np.asarray(got.filter(pa.array(keep)).to_numpy(zero_copy_only=False))
        values = np.asarray(values)[keep]
        if values.dtype == "f4":
            # A number that the f32 is nearest to, of as few digits as any. Of two of them either is right.
            short = np.array([len(repr(float(one))) <= len(repr(float(str(other)))) for one, other in zip(got, values)], bool)
            same = short & (got.astype("f4") == values)
        else:
            same = got.view("i8") == values.view("i8") if values.dtype == "f8" else got == values
        where = np.flatnonzero(~np.asarray(same, bool))
        assert not len(where), f"{engine} {name}: {got[where[:3]]} for {values[where[:3]]} at {where[:3]}"
    return f"{engine} {count}"


def read(tape, out, form, types, product, dataset, date):
    """Holds a day against the columns, engine by engine."""
    folder = Path(tape) / product / dataset.upper()
    want = {"trades": trades, "md": quotes, "ticker_trades": ticker_trades}[dataset](folder, date)
    root = Path(out) / f"dataset={dataset}"
    file = root / f"product={product}/date={date}/part-0.{form}"
    of = (want, types, product, date)
    only_duckdb = bool(os.environ.get("DUCKDB_ONLY"))
    if types == "safe" and form == "parquet":
        import duckdb

        connection = duckdb.connect()
        connection.sql("set timezone = 'UTC'")
        # The layout is not told: dataset, product and date come from the path.
        asked = f"select * from read_parquet('{root}/**/*.parquet') where product = '{product}' and date = date '{date}'"
        yield compare(f"duckdb-{duckdb.__version__}", connection.sql(asked).to_arrow_table(), *of)
    if only_duckdb:
        return
    import polars

    if form == "arrow":
        yield compare("pyarrow", pa.ipc.open_file(pa.memory_map(str(file))).read_all(), *of)
        yield compare("polars", polars.read_ipc(file, use_pyarrow=False).to_arrow(), *of)
        return
    import pyarrow.dataset
    import pyarrow.parquet

    yield compare("pyarrow", pyarrow.parquet.ParquetFile(file).read(), *of)
    if types == "safe":
        opened = pyarrow.dataset.dataset(root, partitioning="hive")
        mine = (pyarrow.dataset.field("product") == product) & (pyarrow.dataset.field("date") == date)
        yield compare("pyarrow-dataset", opened.to_table(filter=mine), *of)
    frame = polars.scan_parquet(root, hive_partitioning=True)
    mine = frame.filter(polars.col("product") == product).filter(polars.col("date").cast(polars.String) == date)
    yield compare("polars", mine.collect().to_arrow(), *of)


for place, line in enumerate(sys.stdin):
    for result in read(sys.argv[1], *line.split()):
        print(place, result)
# Threads of the libraries may abort the interpreter while it ends.
sys.stdout.flush()
os._exit(0)
