"""A product's stored trades and tickers, read from the column files with numpy alone, as the formats of backtests want them."""

from fractions import Fraction
from decimal import Decimal

import numpy as np

TRADES = {
    "trade_id": "<u8", "trade_time": "<u4", "trade_nanos": "<u4", "trade_side": "<u4", "trade_price_f64": "<f8", "trade_size_f64": "<f8",
    "trade_recv_nanos": "<u8",
}
MD = {
    "time": "<u4", "nanos": "<u4", "recv_nanos": "<u8", "best_bid_f64": "<f8", "best_ask_f64": "<f8", "best_bid_size_f64": "<f8",
    "best_ask_size_f64": "<f8",
}


def stored(tape, product, dataset, columns, first):
    folder = tape / product / dataset
    days = sorted(path.name.split(".")[1] for path in folder.glob(f"{first}.*.bin"))
    found = {name: [column(folder, name, day, columns[name], first) for day in days] for name in columns}
    return {name: np.concatenate(values) if values else np.zeros(0, columns[name]) for name, values in found.items()}


def column(folder, name, day, dtype, first):
    """A column's values. Of a folder of the core alone: the shortest decimals of the f32, and nothing for what it does not have."""
    path = folder / f"{name}.{day}.bin"
    if path.exists():
        return np.fromfile(path, dtype)
    rounded = folder / f"{name.removesuffix('_f64')}.{day}.bin"
    if rounded.exists():
        return np.array([float(str(value)) for value in np.fromfile(rounded, "<f4")], "f8")
    count = len(np.fromfile(folder / f"{first}.{day}.bin", "<u8" if first == "trade_id" else "<u4"))
    return np.full(count, np.nan) if dtype == "<f8" else np.zeros(count, dtype)


class Product:
    def __init__(self, tape, name):
        self.name = name
        trades = stored(tape, name, "TRADES", TRADES, "trade_id")
        self.ids = trades["trade_id"]
        self.event = trades["trade_time"].astype("u8") * 10**9 + trades["trade_nanos"]
        self.local = np.where(trades["trade_recv_nanos"] == 0, self.event, trades["trade_recv_nanos"])
        self.buys = trades["trade_side"] == 1
        self.prices, self.sizes = trades["trade_price_f64"], trades["trade_size_f64"]
        quotes = stored(tape, name, "MD", MD, "time")
        self.quote_event = quotes["time"].astype("u8") * 10**9 + quotes["nanos"]
        self.quote_local = np.where(quotes["recv_nanos"] == 0, self.quote_event, quotes["recv_nanos"])
        self.bid, self.ask = quotes["best_bid_f64"], quotes["best_ask_f64"]
        self.bid_size, self.ask_size = quotes["best_bid_size_f64"], quotes["best_ask_size_f64"]
        self.has_quote = ~np.isnan(np.stack([self.bid, self.ask, self.bid_size, self.ask_size])).any(axis=0)

    def trade_order(self):
        return np.argsort(self.local, kind="stable")

    def quote_order(self):
        return np.argsort(self.quote_local, kind="stable")

    def summary(self):
        """The number of trades, the number of buys, and the exact sums of sizes and of prices times sizes."""
        return len(self.ids), int(self.buys.sum()), exact(self.sizes), notional(self.prices, self.sizes)


def decimal(value):
    """The shortest decimal of an f64: what Python prints."""
    return Fraction(Decimal(repr(float(value))))


def exact(values):
    return sum((decimal(value) for value in values), Fraction(0))


def notional(prices, sizes):
    return sum((decimal(price) * decimal(size) for price, size in zip(prices, sizes)), Fraction(0))
