"""Measures candles of a day beside DuckDB and Polars on the Parquet export of the same day, on two threads each, and compares what they find.

usage: target/venv/bin/python scripts/candles.py [COLTAPE [TRADES [ROUNDS]]]
COLTAPE is the program (target/release/coltape), TRADES how many the day has (10000000), ROUNDS how often each is measured, in turns (7). coltape reads
the column files in a process of its own, whose start is counted; DuckDB and Polars read the Parquet files from a warm session. What is read is in memory.
Prints the median and the quartiles of elapsed and of CPU time. Exits with 1 where coltape takes more than 100 ms of CPU time, or is behind. The day is made
in COLTAPE_BENCH_DIR, or where temporary files are, and takes 2 GB.
"""

import csv
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

THREADS = 2
os.environ["POLARS_MAX_THREADS"] = str(THREADS)

import duckdb  # noqa: E402
import numpy as np  # noqa: E402
import polars as pl  # noqa: E402

PRODUCT, DAY, NANOS_PER_DAY, MOST_MS = "BTC-USD", 20_000, 86_400 * 10**9, 100


def make(tape, count):
    """Writes a sealed day of column files alone: prices that move by cents, sizes of 8 digits, random order ids, several trades of one time."""
    draw, place = np.random.default_rng(7), tape / PRODUCT / "TRADES"
    place.mkdir(parents=True)
    (tape / "_coltape").mkdir()
    at = np.arange(count, dtype="u8")
    times = DAY * NANOS_PER_DAY + at // 4 * 4 * (NANOS_PER_DAY // count) // 1000 * 1000
    prices = (10_000_000 + np.cumsum(draw.integers(-1, 2, count))) / 100
    sizes = draw.integers(1, 1 << 24, count) / 1e8
    columns = {
        "trade_id": at + 1, "trade_time": (times // 10**9).astype("u4"), "trade_nanos": (times % 10**9).astype("u4"),
        "trade_price": prices.astype("f4"), "trade_size": sizes.astype("f4"), "trade_side": draw.integers(0, 2, count).astype("u4"),
        "maker_order_id": draw.integers(0, 256, (count, 16), dtype="u1"), "taker_order_id": draw.integers(0, 256, (count, 16), dtype="u1"),
        "trade_price_f64": prices, "trade_size_f64": sizes, "trade_sequence": at * 7 + 1, "trade_recv_nanos": times + 5_000_000,
        "trade_origin": np.zeros(count, "u4"),
    }  # fmt: skip
    day = date(1970, 1, 1) + timedelta(days=DAY)
    for name, values in columns.items():
        values.tofile(place / f"{name}.{day}.bin")


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def by_coltape(coltape, tape):
    command = [coltape, "candles", PRODUCT, "--interval", "1m", "--format", "csv", "--data-dir", tape]

    def run():
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return lambda: [(float(row["volume"]), float(row["vwap"]), int(row["trades"])) for row in csv.DictReader(io.StringIO(text))]

    return run, children_cpu


def by_duckdb(parquet):
    session = duckdb.connect(config={"threads": THREADS})
    sql = f"""
        select time_bucket(interval '1 minute', time) bucket, arg_min(price, trade_id), max(price), min(price), arg_max(price, trade_id),
            sum(size) volume, sum(size) filter (side = 'buy'), sum(size) filter (side = 'sell'), count(*) trades, sum(price * size) / sum(size) vwap
        from '{parquet}' group by 1 order by 1
    """

    def run():
        rows = session.sql(sql).fetchall()
        return lambda: [(row[5], row[9], row[8]) for row in rows]

    return run, time.process_time


def by_polars(parquet):
    size, price = pl.col("size"), pl.col("price")
    # The rows lie in the order of their ids, which here is that of their times: the first and the last of a bucket need no sorting.
    columns = [
        price.first().alias("open"), price.max().alias("high"), price.min().alias("low"), price.last().alias("close"),
        size.sum().alias("volume"), size.filter(pl.col("side") == "buy").sum().alias("bought"),
        size.filter(pl.col("side") == "sell").sum().alias("sold"), pl.len().alias("trades"), ((price * size).sum() / size.sum()).alias("vwap"),
    ]  # fmt: skip

    def run():
        asked = pl.scan_parquet(parquet).group_by(pl.col("time").dt.truncate("1m").alias("bucket")).agg(columns).sort("bucket")
        found = asked.collect()
        return lambda: list(zip(found["volume"], found["vwap"], found["trades"]))

    return run, time.process_time


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def main():
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    coltape = Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/coltape").resolve()
    count, rounds = (int(sys.argv[at]) if len(sys.argv) > at else usual for at, usual in [(2, 10_000_000), (3, 7)])
    with tempfile.TemporaryDirectory(prefix="coltape-candles.", dir=os.environ.get("COLTAPE_BENCH_DIR")) as folder:
        tape, out = Path(folder) / "tape", Path(folder) / "out"
        make(tape, count)
        subprocess.run([coltape, "export", "--dataset", "trades", "--data-dir", tape, "--out", out], check=True, stderr=subprocess.DEVNULL)
        parquet = str(next(out.glob("dataset=trades/*/*/*.parquet")))
        contestants = {"coltape": by_coltape(coltape, tape), "DuckDB": by_duckdb(parquet), "Polars": by_polars(parquet)}
        measured = {name: [] for name in contestants}
        for turn in range(rounds + 1):
            found = {}
            for name, (run, cpu) in contestants.items():
                began, used = time.perf_counter(), cpu()
                answer = run()
                took = (1e3 * (time.perf_counter() - began), 1e3 * (cpu() - used))
                if turn > 0:  # The first turn reads the files into memory.
                    measured[name].append(took)
                found[name] = answer()
            for name, rows in found.items():
                assert len(rows) == len(found["coltape"]) and sum(row[2] for row in rows) == count, name
                assert np.allclose(rows, found["coltape"], rtol=1e-9, atol=0), f"{name} finds other candles"
    print(f"candles of one minute of {count} trades, {THREADS} threads: median (quartiles) of {rounds} rounds, in ms")
    medians = {}
    for name, took in measured.items():
        wall, cpu = ([f"{value:.0f}" for value in quartiles(values)] for values in zip(*took))
        medians[name] = [statistics.median(values) for values in zip(*took)]
        print(f"  {name:8} elapsed {wall[1]:>5} ({wall[0]} to {wall[2]})   CPU {cpu[1]:>5} ({cpu[0]} to {cpu[2]})")
    own = medians.pop("coltape")
    # It works on one thread, so its CPU time is what elapses on a machine that has nothing else to do.
    is_met = own[1] <= MOST_MS and all(own[0] < other[0] and own[1] < other[1] for other in medians.values())
    print("met    " if is_met else "NOT MET", f"coltape within {MOST_MS} ms of CPU time, and ahead of both in elapsed and in CPU time")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
