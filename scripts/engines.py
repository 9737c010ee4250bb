"""Holds what other programs read of an export against the column files: counts, sides, exact sums, and the VWAP of each minute.

usage: engines.py COLTAPE TAPE EXPORTS
TAPE is a data directory whose days are sealed; EXPORTS has a folder for each format: parquet, tardis-csv, nautilus, hftbacktest.
Prints one line a check. Exit 1 where one differs. `scripts/engines.sh` makes all of it.
"""

import csv
import gzip
import io
import re
import subprocess
import sys
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/tape/python"))
from stored_product import Product, decimal, exact, notional  # noqa: E402

failed = 0


def check(name, work):
    """Runs a check: it gives what it compared, or raises."""
    global failed
    try:
        print(f"ok      {name}: {work()}", flush=True)
    except BaseException as error:  # Rust's panics are no Exceptions.
        if isinstance(error, KeyboardInterrupt):
            raise
        failed += 1
        print(f"FAILED  {name}: {type(error).__name__}: {str(error)[:600]}", flush=True)


def same(what, found, expected):
    if found != expected:
        raise AssertionError(f"{what}: {found!r} instead of {expected!r}")


# tardis-csv


def tardis_files(folder, what, product):
    files = sorted(folder.glob(f"coinbase_{what}_*_{product}.csv.gz"))
    assert files, f"no file of {what} of {product}"
    for path in files:
        assert re.fullmatch(rf"coinbase_{what}_\d{{4}}-\d\d-\d\d_{product}\.csv\.gz", path.name), path.name
    return files


def rows_of(files, header):
    for path in files:
        rows = csv.reader(io.TextIOWrapper(gzip.open(path), newline=""))
        same(path.name, next(rows), header.split(","))
        day = path.name.split("_")[2]
        for row in rows:
            same(f"the day of a row of {path.name}", str(np.datetime64(int(row[3]), "us"))[:10], day)
            yield row


def tardis_rows(folder, product):
    def work():
        rows = rows_of(tardis_files(folder, "trades", product.name), "exchange,symbol,timestamp,local_timestamp,id,side,price,amount")
        order, count = product.trade_order(), 0
        for row, at in zip(rows, order, strict=True):
            side = "buy" if product.buys[at] else "sell"
            expected = ["coinbase", product.name, str(product.event[at] // 1000), str(product.local[at] // 1000), str(product.ids[at]), side]
            same("a trade", row[:6], expected)
            same("its price and size", (float(row[6]), float(row[7])), (product.prices[at], product.sizes[at]))
            assert "e" not in row[6] + row[7], row
            count += 1
        header = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
        order, quotes = product.quote_order(), 0
        number = lambda text: float(text) if text else float("nan")
        for row, at in zip(rows_of(tardis_files(folder, "quotes", product.name), header), order, strict=True):
            same("a quote's times", row[2:4], [str(product.quote_event[at] // 1000), str(product.quote_local[at] // 1000)])
            expected = [product.ask_size[at], product.ask[at], product.bid[at], product.bid_size[at]]
            assert np.array_equal([number(text) for text in row[4:]], expected, equal_nan=True), (row, expected)
            quotes += 1
        return f"{count} trades and {quotes} quotes, every field"

    return work


def tardis_in_hftbacktest(folder, product, scratch):
    def work():
        from hftbacktest import types
        from hftbacktest.data.utils import tardis

        files = [str(path) for path in tardis_files(folder, "trades", product.name)]
        with quiet():
            data = tardis.convert(files, buffer_size=2 * len(product.ids) + 10)
        found = hft_summary(data, types)
        same("count, buys, sums", found, product.summary())
        depth = scratch / "incremental_book_L2.csv"
        depth.write_text("exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n")
        quotes = tardis_files(folder, "quotes", product.name)
        for trades, quotes in zip(files, quotes):
            with quiet():
                data = tardis.convert_fuse(trades, str(depth), str(quotes), 1e-8, 1e-8)
            assert (data["ev"] & 0xFF == types.DEPTH_EVENT).any(), "no quote has become an event"
        return f"{found[0]} trades, sums exact; quotes fused"

    return work


def tardis_in_nautilus(folder, product):
    def work():
        from nautilus_trader.adapters.tardis.loaders import TardisCSVDataLoader
        from nautilus_trader.model.identifiers import InstrumentId

        loader = TardisCSVDataLoader(
            price_precision=8, size_precision=8, instrument_id=InstrumentId.from_str(f"{product.name}.COINBASE")
        )
        ticks = [tick for path in tardis_files(folder, "trades", product.name) for tick in loader.load_trades(path)]
        found = ticks_summary(ticks)
        same("count, buys, sums", found, product.summary())
        quotes = [tick for path in tardis_files(folder, "quotes", product.name) for tick in loader.load_quotes(path)]
        same("quotes", len(quotes), len(product.bid))
        return f"{found[0]} trades, sums exact; {len(quotes)} quotes"

    return work


def ticks_summary(ticks):
    from nautilus_trader.model.enums import AggressorSide

    buys = sum(tick.aggressor_side == AggressorSide.BUYER for tick in ticks)
    assert buys + sum(tick.aggressor_side == AggressorSide.SELLER for tick in ticks) == len(ticks)
    fractions = [(Fraction(tick.price.as_decimal()), Fraction(tick.size.as_decimal())) for tick in ticks]
    return len(ticks), buys, sum((size for _, size in fractions), Fraction(0)), sum((p * s for p, s in fractions), Fraction(0))


# hftbacktest


def hft_summary(data, types):
    local = (data["ev"] & types.LOCAL_EVENT != 0) & (data["ev"] & 0xFF == types.TRADE_EVENT)
    at_exchange = (data["ev"] & types.EXCH_EVENT != 0) & (data["ev"] & 0xFF == types.TRADE_EVENT)
    same("trades at the exchange and here", int(local.sum()), int(at_exchange.sum()))
    trades = data[local]
    buys = trades["ev"] & types.BUY_EVENT != 0
    assert (buys != (trades["ev"] & types.SELL_EVENT != 0)).all()
    return len(trades), int(buys.sum()), exact(trades["qty"]), notional(trades["px"], trades["qty"])


def hftbacktest(folder, product):
    def work():
        from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest, types
        from hftbacktest.data.validation import correct_event_order, validate_event_order

        files = sorted(folder.glob(f"{product.name}_*.npz"))
        assert files, "no file"
        all_rows, counted = [], 0
        for path in files:
            data = np.load(path)["data"]
            same("the type of an event", data.dtype, types.event_dtype)
            validate_event_order(data)
            day = path.stem.split("_")[1]
            expected = expected_events(product, f"{day[:4]}-{day[4:6]}-{day[6:]}", types)
            ordered = correct_event_order(
                expected, np.argsort(expected["exch_ts"], kind="stable"), np.argsort(expected["local_ts"], kind="stable")
            )
            same(f"rows of {path.name}", len(data), len(ordered))
            # NaN is equal here: bits are compared.
            assert data.tobytes() == ordered.tobytes(), "the rows differ from those of correct_event_order"
            all_rows.append(data)
            counted += backtest_trades(BacktestAsset, HashMapMarketDepthBacktest, path, len(data))
        found = hft_summary(np.concatenate(all_rows), types)
        same("count, buys, sums", found, product.summary())
        same("trades that a backtest saw", counted, found[0])
        return f"{found[0]} trades, sums exact, every row as correct_event_order has it; a backtest saw {counted}"

    return work


def expected_events(product, day, types):
    day = np.datetime64(day, "ns").astype("i8").astype("u8")
    of_day = lambda local: np.flatnonzero((local >= day) & (local < day + np.uint64(86_400 * 10**9)))
    trades, quotes = of_day(product.local), of_day(product.quote_local)
    rows = np.zeros(len(trades), types.event_dtype)
    rows["ev"] = np.where(product.buys[trades], types.BUY_EVENT, types.SELL_EVENT) | types.TRADE_EVENT
    rows["exch_ts"], rows["local_ts"] = product.event[trades], product.local[trades]
    rows["px"], rows["qty"] = product.prices[trades], product.sizes[trades]
    both = np.zeros(2 * len(quotes), types.event_dtype)
    for at, (side, price, size) in enumerate([
        (types.SELL_EVENT, product.ask, product.ask_size), (types.BUY_EVENT, product.bid, product.bid_size),
    ]):
        both["ev"][at::2] = types.DEPTH_BBO_EVENT | side
        both["exch_ts"][at::2], both["local_ts"][at::2] = product.quote_event[quotes], product.quote_local[quotes]
        both["px"][at::2], both["qty"][at::2] = price[quotes], size[quotes]
    return np.concatenate([rows, both[~np.isnan(both["px"])]])


def backtest_trades(asset, backtest, path, rows):
    """Lets hftbacktest run through a file, and counts the trades that a strategy would see."""
    asset = asset().data([str(path)]).linear_asset(1.0).constant_order_latency(1, 1).risk_adverse_queue_model()
    asset = asset.no_partial_fill_exchange().trading_value_fee_model(0, 0).tick_size(1e-8).lot_size(1e-8).last_trades_capacity(rows + 1)
    run = backtest([asset])
    counted = 0
    while run.elapse(10**15) == 0:
        counted += len(run.last_trades(0))
        run.clear_last_trades(0)
    counted += len(run.last_trades(0))
    run.close()
    return counted


# nautilus


def nautilus(folder, product):
    def work():
        from nautilus_trader.model.data import QuoteTick, TradeTick
        from nautilus_trader.persistence.catalog import ParquetDataCatalog
        from nautilus_trader.persistence.catalog.parquet import _are_intervals_disjoint

        catalog, instrument = ParquetDataCatalog(str(folder)), f"{product.name}.COINBASE"
        ticks = catalog.query(TradeTick, identifiers=[instrument])
        same("count, buys, sums", ticks_summary(ticks), product.summary())
        order = product.trade_order()
        same("ids", [int(tick.trade_id.value) for tick in ticks], product.ids[order].tolist())
        same("event times", [tick.ts_event for tick in ticks], product.event[order].tolist())
        same("times of receipt", [tick.ts_init for tick in ticks], product.local[order].tolist())
        quotes = catalog.query(QuoteTick, identifiers=[instrument])
        order = product.quote_order()
        order = order[product.has_quote[order]]
        number = lambda value: Fraction(value.as_decimal())
        found = [(tick.ts_event, tick.ts_init, *map(number, (tick.bid_price, tick.ask_price, tick.bid_size, tick.ask_size))) for tick in quotes]
        sides = [product.bid, product.ask, product.bid_size, product.ask_size]
        expected = [(int(product.quote_event[at]), int(product.quote_local[at]), *(decimal(side[at]) for side in sides)) for at in order]
        assert found == expected, f"{len(found)} quotes differ from {len(expected)}"
        for kind, local in ((TradeTick, product.local), (QuoteTick, product.quote_local[product.has_quote])):
            intervals = catalog.get_intervals(kind, instrument)
            assert _are_intervals_disjoint(intervals), intervals
            same("first and last", (intervals[0][0], intervals[-1][1]), (int(local.min()), int(local.max())))
        return f"{len(ticks)} trades and {len(quotes)} quotes, every field; {len(intervals)} disjoint intervals"

    return work


# Spark and ClickHouse on the Parquet data set


def candles(coltape, tape, product):
    command = [coltape, "candles", product.name, "--data-dir", str(tape), "--interval", "1m", "--format", "csv"]
    rows = csv.DictReader(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())
    return {np.datetime64(row["time"].rstrip("Z"), "m").astype("i8").item(): (int(row["trades"]), float(row["vwap"])) for row in rows}


def compare_vwaps(found, expected):
    for product, minutes in expected.items():
        same(f"minutes of {product}", sorted(found[product]), sorted(minutes))
        for minute, (trades, vwap) in minutes.items():
            count, other = found[product][minute]
            same(f"trades of {product} in minute {minute}", count, trades)
            assert abs(other - vwap) <= 1e-9 * abs(vwap), f"{product}, minute {minute}: {other!r} instead of {vwap!r}"
    return f"VWAP of {sum(map(len, expected.values()))} minutes of {len(expected)} products equal to 1e-9"


def spark(folder, expected):
    def work():
        from pyspark.sql import SparkSession

        session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC")
        session = session.config("spark.driver.memory", "1g").getOrCreate()
        try:
            session.sparkContext.setLogLevel("ERROR")
            trades = session.read.parquet(str(folder))
            types = {field.name: field.dataType.simpleString() for field in trades.schema.fields}
            same("types of the partitions", (types["dataset"], types["product"], types["date"]), ("string", "string", "date"))
            trades.createOrReplaceTempView("tape")
            rows = session.sql(
                "SELECT product, time_ns DIV 60000000000 AS minute, count(*) AS n, sum(price * size) / sum(size) AS vwap "
                "FROM tape WHERE dataset = 'trades' GROUP BY ALL"
            ).collect()
            quotes = session.sql("SELECT count(bid) FROM tape WHERE dataset = 'md'").collect()[0][0]
            assert quotes > 0, "no quote is there"
        finally:
            session.stop()
        found = defaultdict(dict)
        for row in rows:
            found[row["product"]][row["minute"]] = (row["n"], row["vwap"])
        return compare_vwaps(found, expected)

    return work


def clickhouse(folder, expected):
    def work():
        import chdb

        query = (
            "SELECT product, intDiv(time_ns, 60000000000) AS minute, count() AS n, sum(price * size) / sum(size) AS vwap, "
            f"toTypeName(date) AS date_type FROM file('{folder}/dataset=trades/**/*.parquet', Parquet) GROUP BY ALL "
            "SETTINGS use_hive_partitioning = 1"
        )
        found = defaultdict(dict)
        for product, minute, count, vwap, date_type in csv.reader(str(chdb.query(query, "CSV")).splitlines()):
            assert "Date" in date_type, date_type
            found[product][int(minute)] = (int(count), float(vwap))
        return compare_vwaps(found, expected)

    return work


class quiet:
    """Swallows what a package prints."""

    def __enter__(self):
        self.out, sys.stdout = sys.stdout, io.StringIO()

    def __exit__(self, *_):
        sys.stdout = self.out


def main():
    coltape, tape, exports = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    products = sorted(path.name for path in tape.iterdir() if (path / "TRADES").is_dir())
    products = [Product(tape, name) for name in products]
    assert products, f"{tape} has no product"
    expected = {}
    for product in products:
        check(f"tardis-csv  {product.name}, csv", tardis_rows(exports / "tardis-csv", product))
        check(f"tardis-csv  {product.name}, hftbacktest", tardis_in_hftbacktest(exports / "tardis-csv", product, exports))
        check(f"tardis-csv  {product.name}, nautilus_trader", tardis_in_nautilus(exports / "tardis-csv", product))
        check(f"hftbacktest {product.name}, hftbacktest", hftbacktest(exports / "hftbacktest", product))
        check(f"nautilus    {product.name}, nautilus_trader", nautilus(exports / "nautilus", product))
        check(f"candles     {product.name}", lambda: f"{len(expected.setdefault(product.name, candles(coltape, tape, product)))} minutes")
    check("parquet     ClickHouse (chdb)", clickhouse(exports / "parquet", expected))
    check("parquet     Spark", spark(exports / "parquet", expected))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
