"""Holds what `coltape candles` and `coltape stats` answer against DuckDB's SQL on the Parquet export of the same tape, and a sample against fractions.

usage: answers_by_sql.py COLTAPE TAPE PARQUET PRODUCT
Prints how many candles and figures were compared, and how many candles with fractions.
"""

import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction

import duckdb

coltape, tape, parquet, product = sys.argv[1:]
INTERVALS = {"1s": 1, "1m": 60, "15m": 900, "1h": 3600, "1d": 86400}
TRADES = f"'{parquet}/dataset=trades/product={product}/*/*.parquet'"
QUOTES = f"'{parquet}/dataset=md/product={product}/*/*.parquet'"


def answer(*args):
    command = [coltape, *args, "--format", "jsonl", "--data-dir", tape]
    return [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]


def rows(sql):
    found = duckdb.sql(sql)
    return [dict(zip(found.columns, row)) for row in found.fetchall()]


def same(what, found, expected, most=1e-12):
    if expected is None or isinstance(expected, (int, str)):
        is_same = found == expected
    else:
        is_same = found is not None and abs(found - expected) <= most * abs(expected)
    assert is_same, f"{what}: {found!r}, not {expected!r}"


def seconds_of(text):
    return int(datetime.fromisoformat(text[:19]).replace(tzinfo=timezone.utc).timestamp())


def exact(value):
    """The decimal that the exchange sent: the shortest one that reads back as the stored number."""
    return Fraction(Decimal(repr(value)))


# fsum adds up without the error of plain sums, which grows with their number.
SUMS = """
    count(*) trades, fsum(size) volume, coalesce(fsum(size) filter (side = 'buy'), 0.0) buy_volume,
    coalesce(fsum(size) filter (side = 'sell'), 0.0) sell_volume, fsum(price * size) / fsum(size) vwap,
    arg_min(price, trade_id) "open", max(price) high, min(price) low, arg_max(price, trade_id) "close"
"""
COUNTS = ["trades", "volume", "buy_volume", "sell_volume", "vwap", "open", "high", "low", "close"]

compared = sampled = 0
for name, seconds in INTERVALS.items():
    sql = f"select time_ns // {seconds * 10**9} * {seconds} bucket, {SUMS} from {TRADES} group by 1 order by 1"
    expected, found = rows(sql), answer("candles", product, "--interval", name)
    assert len(found) == len(expected) > 0, (name, len(found), len(expected))
    for at, (candle, want) in enumerate(zip(found, expected)):
        what = f"{name} {candle['time']}"
        same(f"the beginning of {what}", seconds_of(candle["time"]), want["bucket"])
        for column in COUNTS:
            same(f"{column} of {what}", candle[column], want[column])
        same(f"trades_per_s of {what}", candle["trades_per_s"], want["trades"] / seconds)
        compared += 1
        if at % max(1, len(found) // 40) == 0:
            begin = want["bucket"] * 10**9
            part = f"from {TRADES} where time_ns >= {begin} and time_ns < {begin + seconds * 10**9}"
            trades = duckdb.sql(f"select price, size, side {part}").fetchall()
            volume = sum(exact(size) for _, size, _ in trades)
            bought = sum(exact(size) for _, size, side in trades if side == "buy")
            notional = sum(exact(price) * exact(size) for price, size, _ in trades)
            for column, value in [("volume", volume), ("buy_volume", bought), ("sell_volume", volume - bought), ("vwap", notional / volume)]:
                same(f"{column} of {what}, by fractions", candle[column], float(value), 1e-15)
            sampled += 1

stats = answer("stats", product, "--top", "5")[0]
notional = "fsum(price * size) notional, fsum(size) filter (side = 'buy') / fsum(size) buy_share"
want = rows(f"select {SUMS}, {notional}, fsum(size) filter (side = 'sell') / fsum(size) sell_share from {TRADES}")[0]
want |= rows(f"""
    select median(ms) inter_arrival_p50_ms, quantile_cont(ms, 0.99) inter_arrival_p99_ms
    from (select greatest(0, time_ns - lag(time_ns) over (order by trade_id)) / 1e6 ms from {TRADES}) where ms is not null
""")[0]
want |= rows(f"""
    select time_ns // 1000000000 peak, count(*) peak_trades from {TRADES} group by 1 order by 2 desc, 1 limit 1
""")[0]
# A spread is a difference of decimals: what a difference of doubles has behind the twelfth digit is none of it.
want |= rows(f"""
    select median(spread) spread_median, quantile_cont(spread, 0.95) spread_p95
    from (select round(ask - bid, 12) spread from {QUOTES} where ask is not null and bid is not null)
""")[0]
peak = want.pop("peak")
same("the busiest second", seconds_of(stats["peak_second"]), peak)
first, last = duckdb.sql(f"select arg_min(time_ns, trade_id), arg_max(time_ns, trade_id) from {TRADES}").fetchone()
want["trades_per_s"] = want["trades"] / ((last - first) / 1e9)

# The mean spread, each for the time until the next ticker, without the times between two trades of which others are missing.
ids = duckdb.sql(f"select trade_id, time_ns from {TRADES} order by trade_id").fetchall()
gaps = sorted((min(a[1], b[1]), max(a[1], b[1])) for a, b in zip(ids, ids[1:]) if b[0] > a[0] + 1)
union = []
for begin, end in gaps:
    if union and begin <= union[-1][1]:
        union[-1][1] = max(union[-1][1], end)
    else:
        union.append([begin, end])
quotes = duckdb.sql(f"select time_ns, round(ask - bid, 12) from {QUOTES} where ask is not null and bid is not null").fetchall()
above = below = Fraction(0)
for (begin, spread), (end, _) in zip(quotes, quotes[1:]):
    known = max(0, end - begin) - sum(max(0, min(end, to) - max(begin, since)) for since, to in union if since < end and to > begin)
    above, below = above + exact(spread) * known, below + known
want["spread_time_weighted"] = float(above / below)

for column, value in want.items():
    same(f"{column} of the whole", stats[column], value)
print(compared, len(want) + 1, sampled)
# Threads of the libraries may abort the interpreter while it ends.
sys.stdout.flush()
os._exit(0)
