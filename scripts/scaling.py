"""Holds a data set of several boxes' merged tapes against a simulator's ledger: one table, every trade once. Called by scripts/scaling.sh."""

import json
import sys

lake, ledger = sys.argv[1], sys.argv[2]
WHERE = f"{lake}/dataset=trades"

# What the market produced: (product, id) → (price, size, side), and its times.
produced = {}
with open(ledger) as lines:
    for line in lines:
        row = json.loads(line)
        if row.get("kind") == "trade":
            produced[row["product"], row["trade_id"]] = (float(row["price"]), float(row["size"]), row["side"])


def by_duckdb():
    import duckdb

    table = f"read_parquet('{WHERE}/**/*.parquet', hive_partitioning = true)"
    return duckdb.sql(f"SELECT product, trade_id, price, size, side FROM {table}").fetchall()


def by_spark():
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    table = session.read.option("basePath", lake).parquet(WHERE)
    return [tuple(row) for row in table.select("product", "trade_id", "price", "size", "side").collect()]


engine, rows = ("Spark", by_spark()) if "--spark" in sys.argv else ("DuckDB", by_duckdb())
stored = {(product, trade_id): (price, size, side) for product, trade_id, price, size, side in rows}
doubled = len(rows) - len(stored)
altered = [key for key, value in stored.items() if produced.get(key) != value]
holes = 0
products = sorted({product for product, _ in stored})
for product in products:
    ids = sorted(trade_id for of, trade_id in stored if of == product)
    holes += ids[-1] - ids[0] + 1 - len(ids)
    # All boxes began before and ended after the calm seconds, so the end of the market is there.
    last = max(trade_id for of, trade_id in produced if of == product)
    holes += last - ids[-1]
print(f"{engine:11} one table of {len(rows)} trades of {len(products)} products: {doubled} doubled, {holes} missing, {len(altered)} altered or invented")
if doubled or holes or altered or len(products) != 4:
    sys.exit(1)
