"""Reads every answer of a server with readers that others wrote, and holds it against the export: BASE EXPORT."""

import io
import json
import os
import sys
import urllib.request

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.ipc
import pyarrow.parquet

base, export = sys.argv[1:]


def get(path):
    with urllib.request.urlopen(f"{base}/v1/{path}", timeout=60) as reply:
        assert reply.status == 200
        return reply.read()


def exported(dataset):
    files = pa.dataset.dataset(f"{export}/dataset={dataset}/product=BTC-USD", format="parquet", partitioning="hive").files
    return pa.concat_tables([pa.parquet.ParquetFile(file).read() for file in sorted(files)])


def same(found, want, what):
    found, want = found.replace_schema_metadata(None), want.replace_schema_metadata(None)
    assert found.schema.names == want.schema.names, (what, found.schema.names)
    assert found.num_rows == want.num_rows > 0, (what, found.num_rows, want.num_rows)
    for name in want.schema.names:
        assert found[name].type == want[name].type, (what, name, found[name].type, want[name].type)
        assert found[name].combine_chunks().equals(want[name].combine_chunks()), (what, name)


for dataset, endpoint in [("trades", "trades"), ("md", "tickers")]:
    want = exported(dataset)
    path = f"{endpoint}?product=BTC-USD"
    stream = get(f"{path}&format=arrow")
    same(pa.ipc.open_stream(stream).read_all(), want, "pyarrow, stream")
    with urllib.request.urlopen(f"{base}/v1/{path}&format=arrow", timeout=60) as reply:
        same(pa.ipc.open_stream(reply).read_all(), want, "pyarrow, stream while it comes")
    whole = get(f"{path}&format=parquet")
    same(pa.parquet.read_table(io.BytesIO(whole)), want, "pyarrow, parquet")
    frame = pl.from_arrow(want)
    assert pl.read_ipc_stream(io.BytesIO(stream)).equals(frame), "polars, stream"
    assert pl.read_parquet(io.BytesIO(whole)).equals(frame), "polars, parquet"
    scanned = pl.scan_parquet(f"{base}/v1/{path}&format=parquet")
    assert scanned.collect().equals(frame), "polars, parquet over HTTP"
    some = scanned.filter(pl.col("price") > frame["price"].median()).select("trade_id", "price").collect()
    assert some.equals(frame.filter(pl.col("price") > frame["price"].median()).select("trade_id", "price")), "polars, a part"
    reader = pa.ipc.open_stream(stream)
    summed = duckdb.sql("select count(*), sum(price * size), max(trade_id) from reader").fetchone()
    want_summed = duckdb.sql("select count(*), sum(price * size), max(trade_id) from want").fetchone()
    assert summed[0] == want_summed[0] and summed[2] == want_summed[2], "duckdb, stream"
    assert abs(summed[1] / want_summed[1] - 1) < 1e-12, "duckdb, stream"
    pandas = want.to_pandas()
    csv = pd.read_csv(f"{base}/v1/{path}&format=csv", float_precision="round_trip")
    lines = pd.read_json(f"{base}/v1/{path}&format=jsonl", lines=True, precise_float=True, convert_dates=False, dtype=False)
    array = pd.DataFrame(json.loads(get(f"{path}&format=json")))
    for name in want.schema.names:
        for form, found in [("csv", csv), ("jsonl", lines), ("json", array)]:
            values = found[name]
            if name == "time":
                assert (pd.to_datetime(values, format="ISO8601").astype("datetime64[us, UTC]") == pandas[name]).all(), (form, name)
            elif name.endswith("order_id"):
                texts = pandas[name].map(lambda id: None if id is None else f"{id.hex()[:8]}-{id.hex()[8:12]}-{id.hex()[12:16]}-{id.hex()[16:20]}-{id.hex()[20:]}")
                assert (values.isna() == texts.isna()).all() and (values.dropna() == texts.dropna()).all(), (form, name)
            else:
                assert (values.isna() == pandas[name].isna()).all(), (form, name)
                assert (values.dropna() == pandas[name].dropna()).all(), (form, name)

# Answers that are computed: their columns in Arrow and Parquet have what JSON Lines have.
for path in ["candles?product=BTC-USD&", "orders?product=BTC-USD&", "stats?product=BTC-USD&top=3&", "coverage?product=BTC-USD&", "products?"]:
    lines = [json.loads(line) for line in get(f"{path}format=jsonl").splitlines()]
    table = pa.ipc.open_stream(get(f"{path}format=arrow")).read_all()
    same(pa.parquet.read_table(io.BytesIO(get(f"{path}format=parquet"))), table, path)
    rows = table.to_pylist()
    assert len(rows) == len(lines) > 0, path
    for row, line in zip(rows, lines):
        for name, value in line.items():
            found = row[name]
            if hasattr(found, "isoformat"):
                assert found == pd.Timestamp(value).floor("us").to_pydatetime(), (path, name, found, value)
            elif isinstance(value, (list, dict)):
                assert json.loads(found) == value, (path, name)
            else:
                assert found == value, (path, name, found, value)
print("all readers agree")
# Threads of the libraries may abort the interpreter while it ends.
sys.stdout.flush()
os._exit(0)
