"""Holds a served tape against clients that others wrote. Run by scripts/clients.sh.

usage: clients.py http://HOST:PORT TRADES.jsonl PRODUCT FROM
TRADES.jsonl holds the trades of the tape, as `coltape query --format jsonl` prints them. Prints one line a check; exit 1 where one differs.
"""

import asyncio
import json
import sys
from datetime import datetime
from decimal import Decimal

URL, FILE, PRODUCT, FROM = sys.argv[1:]
WEBSOCKET = URL.replace("http://", "ws://")
TRADES = [json.loads(line) for line in open(FILE)]
LAST = TRADES[-1]["trade_id"]
failures = []


def check(what, got, wanted):
    """Prints a line. Two lists are compared element by element."""
    good = got == wanted
    if not good:
        failures.append(what)
        pairs = list(zip(got, wanted)) if isinstance(got, list) else [(got, wanted)]
        first = next((pair for pair in pairs if pair[0] != pair[1]), (len(got), len(wanted)))
        print(f"{what}: DIFFERS: {first[0]} instead of {first[1]}")
    else:
        print(f"{what}: {len(got) if isinstance(got, list) else got} as on the tape")


def as_stored(trade, side="taker"):
    turned = {"buy": "sell", "sell": "buy"}
    taker = trade["trade_side"]
    return (trade["trade_id"], Decimal(str(trade["trade_price_f64"])), Decimal(str(trade["trade_size_f64"])), taker if side == "taker" else turned[taker])


def exchange(library):
    """An exchange of ccxt whose URLs are those of the served tape."""
    made = library.coinbaseexchange({"enableRateLimit": False, "newUpdates": True})
    made.urls["api"] = {"public": URL, "private": URL, "ws": f"{WEBSOCKET}/ws?from={FROM}"}
    made.options["tradesLimit"] = 10_000_000
    return made


def ccxt_rest():
    import ccxt

    made = exchange(ccxt)
    market = next(market["symbol"] for market in made.load_markets().values() if market["id"] == PRODUCT)
    newest, found = LAST + 1, []
    while True:
        page = made.fetch_trades(market, limit=1000, params={"after": newest})
        if not page:
            break
        found.extend((int(trade["id"]), Decimal(str(trade["price"])), Decimal(str(trade["amount"])), trade["side"]) for trade in page)
        newest = min(int(trade["id"]) for trade in page)
    check("ccxt, REST trades", sorted(found), [as_stored(trade) for trade in TRADES])
    candles = made.fetch_ohlcv(market, "1m")
    wanted = {}
    for trade in TRADES:
        start = int(datetime.fromisoformat(trade["event_time"][:26] + "+00:00").timestamp()) // 60 * 60_000
        row = wanted.setdefault(start, [start, *[trade["trade_price_f64"]] * 4, Decimal(0)])
        price, size = trade["trade_price_f64"], Decimal(str(trade["trade_size_f64"]))
        row[2], row[3], row[4], row[5] = max(row[2], price), min(row[3], price), price, row[5] + size
    rounded = lambda rows: [[*row[:5], round(float(row[5]), 6)] for row in rows]
    check("ccxt, REST candles", rounded(candles), rounded(list(wanted.values())[-300:]))
    check("ccxt, REST ticker", int(made.fetch_ticker(market)["info"]["trade_id"]), LAST)


async def ccxt_websocket():
    import ccxt.pro

    made = exchange(ccxt.pro)
    market = next(market["symbol"] for market in (await made.load_markets()).values() if market["id"] == PRODUCT)

    async def watch():
        while True:
            await made.watch_trades(market)

    watching = asyncio.ensure_future(watch())
    found = {}
    for _ in range(600):
        found = {int(trade["id"]): trade for trade in made.trades.get(market, [])}
        if LAST in found or watching.done():
            break
        await asyncio.sleep(0.1)
    if watching.done():
        watching.result()
    watching.cancel()
    await made.close()
    as_got = lambda trade: (int(trade["id"]), Decimal(str(trade["price"])), Decimal(str(trade["amount"])), trade["info"]["side"])
    check("ccxt, WebSocket trades", [as_got(found[id]) for id in sorted(found)], [as_stored(trade, "maker") for trade in TRADES])


def cryptofeed():
    from cryptofeed import FeedHandler
    from cryptofeed.connection import WebsocketEndpoint
    from cryptofeed.defines import TRADES as CHANNEL
    from cryptofeed.exchanges import Coinbase
    from cryptofeed.symbols import Symbols

    Symbols.set(Coinbase.id, {PRODUCT: PRODUCT}, {"instrument_type": {PRODUCT: "spot"}, "tick_size": {PRODUCT: "0.01"}})
    class Plain(str):
        """An address without TLS, which cryptofeed would refuse."""

        def startswith(self, prefix, *bounds):
            return prefix == "wss://" or str.startswith(self, prefix, *bounds)

    Coinbase.websocket_endpoints = [WebsocketEndpoint(Plain(f"{WEBSOCKET}/ws-advanced?from={FROM}"), options={"compression": None})]
    found, loop = [], asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def take(trade, _receipt):
        found.append((int(trade.id), trade.price, trade.amount, trade.side))
        if int(trade.id) == LAST:
            loop.stop()

    handler = FeedHandler(config={"log": {"disabled": True}, "coinbase": {"key_id": "none", "key_secret": "none"}})
    handler.add_feed(Coinbase(symbols=[PRODUCT], channels=[CHANNEL], callbacks={CHANNEL: take}, config=handler.config))
    loop.call_later(120, loop.stop)
    handler.run(start_loop=True, install_signal_handlers=False)
    # It gives the trades of a batch as they come: newest first.
    check("cryptofeed, WebSocket trades", sorted(found), [as_stored(trade, "maker") for trade in TRADES])


ccxt_rest()
asyncio.run(ccxt_websocket())
cryptofeed()
sys.exit(1 if failures else 0)
