"""Holds a day, value by value, against what `coltape query --raw --format csv` printed: DIR PRODUCT DATASET DATE CSV."""

import csv
import sys

import coltape
import numpy as np

directory, product, dataset, date, path = sys.argv[1:]
day = coltape.day(directory, product, dataset, date)
with open(path, newline="") as file:
    names, *rows = csv.reader(file)
assert names == day.columns, (names, day.columns)
assert len(rows) == len(day), f"query printed {len(rows)} records, coltape.py has {len(day)}"


def is_same(text, value):
    if value.dtype.kind == "V":
        return bytes.fromhex(text) == value.tobytes()
    if value.dtype.kind == "u":
        return int(text) == int(value)
    return np.isnan(value) if text == "" else value.dtype.type(text) == value


for at, name in enumerate(names):
    values = day.raw(name)
    assert len(values) == len(day) and not values.flags.writeable, name
    for number, row in enumerate(rows):
        assert is_same(row[at], values[number]), f"record {number}: {name} is {values[number]!r}, query printed {row[at]!r}"
seconds, nanos = coltape._TIME[dataset]
for row, time in zip(rows, day.time):
    assert int(row[names.index(seconds)]) * 1_000_000_000 + int(row[names.index(nanos)]) == time.astype(np.int64)
assert day.refresh() is False and len(day) == len(rows), "nothing has come since"
print(len(rows))
