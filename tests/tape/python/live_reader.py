"""Looks at a live day as fast as it can and holds every new record against what it must be: DIR PRODUCT DATE PAUSE_SECONDS.

Ends when DIR/stop is there and nothing is new; prints its looks and records. Exit 43: it has seen something that never was."""

import os
import sys
import time

import coltape
import numpy as np

directory, product, date, pause = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
START = int(np.datetime64(date, "ns").astype(np.int64)) + 1_000_000_000
DEADLINE = time.monotonic() + 120


def torn(what):
    sys.stderr.write(f"{what}\n")
    sys.exit(43)


def check(day, first):
    """Every column follows from the id, and none of it is zero."""
    one = {name: day.raw(name)[first:] for name in day.columns}
    ids = one["trade_id"]
    mixed = ids * np.uint64(0x9E3779B97F4A7C15)
    want_time = START + ids.astype(np.int64) * 300_001
    order = lambda name, salt: (one[name].view(">u8").reshape(-1, 2) == ((mixed ^ np.uint64(salt)) | np.uint64(1))[:, None]).all(axis=1)
    is_right = {
        "trade_id": ids > 0,
        "time": day.time[first:].astype(np.int64) == want_time,
        "trade_price": one["trade_price"] == ids.astype(np.float32) + np.float32(0.25),
        "trade_size": one["trade_size"] == ids.astype(np.float32) + np.float32(0.5),
        "trade_side": one["trade_side"] == 1,
        "maker_order_id": order("maker_order_id", 0x1234),
        "taker_order_id": order("taker_order_id", 0xABCD),
        "trade_price_f64": one["trade_price_f64"] == ids + 0.25,
        "trade_size_f64": one["trade_size_f64"] == ids + 0.5,
        "trade_sequence": one["trade_sequence"] == ids * np.uint64(3),
        "trade_recv_nanos": one["trade_recv_nanos"] == ids * np.uint64(5),
    }
    for name, right in is_right.items():
        if not right.all():
            number = int(np.argmin(right))
            torn(f"record {first + number} of {len(day)}: {name} is {one.get(name, day.time)[number]!r}, id {ids[number]}")
    if (np.diff(day.raw("trade_id")[first:].astype(np.int64)) <= 0).any():
        torn(f"ids do not rise behind record {first}")


while True:
    try:
        day = coltape.day(directory, product, "trades", date)
        break
    except coltape.Error:
        if time.monotonic() > DEADLINE:
            raise
open(os.path.join(directory, "python.began"), "w").close()
checked, looks, generations, given_out = 0, 0, set(), []
while True:
    is_over = os.path.exists(os.path.join(directory, "stop"))
    is_new = day.refresh()
    looks += 1
    generations.add((day.state, day.generation))
    if time.monotonic() > DEADLINE:
        sys.exit("nobody says stop")
    if len(day) < checked:
        torn(f"{len(day)} records after {checked}")
    # The last thousand again each time: a late record may have come among them.
    check(day, max(checked - 1000, 0))
    checked = len(day)
    if looks % 50 == 0:
        given_out.append([(array, array.copy()) for array in (day.time, day.raw("trade_id"), day.raw("maker_order_id"))])
        del given_out[:-20]
    if is_over and not is_new:
        break
    if pause and not is_new:
        time.sleep(pause)
check(day, 0)
for arrays in given_out:
    if any((array != copy).any() for array, copy in arrays):
        torn("an array that was given out has changed")
print(looks, len(day), len(generations))
