"""Damages copies of golden days at random and holds coltape.py against `coltape query --raw`: COLTAPE GOLDEN SEED COUNT.

Both read the same number of records with the same values, or both refuse the day. Nothing but coltape.Error is ever raised."""

import csv
import os
import random
import shutil
import subprocess
import sys
import tempfile

import coltape
import numpy as np

binary, golden, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
days = [(name, folder) for name in sorted(os.listdir(golden)) for folder in ("MD", "TRADES") if os.path.isdir(os.path.join(golden, name, folder))]


def damage(folder, draw):
    """Does one thing to one file. Gives what it was."""
    names = sorted(os.listdir(folder))
    name = draw.choice(["commit", "commit", "late", ""])
    chosen = [one for one in names if one.startswith(name)] or names
    path = os.path.join(folder, draw.choice(chosen))
    with open(path, "rb") as file:
        data = bytearray(file.read())
    kind = draw.choice(["flip", "flip", "cut", "grow", "remove", "noise"])
    at = draw.randrange(len(data)) if data else 0
    if kind == "flip" and data:
        data[at] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "grow":
        data += draw.randbytes(draw.randrange(1, 300))
    elif kind == "noise":
        data[at : at + 64] = draw.randbytes(len(data[at : at + 64]))
    if kind == "remove":
        os.remove(path)
    else:
        with open(path, "wb") as file:
            file.write(data)
    return f"{kind} {os.path.basename(path)} at {at}"


def read_by_coltape_py(directory, product, dataset, date):
    try:
        day = coltape.day(directory, product, dataset, date)
    except coltape.Error as error:
        return str(error)
    for make in (day.arrays, day.to_pandas, day.to_arrow, day.to_polars):
        try:
            make()
        except coltape.Error as error:
            assert "a side has the code" in str(error), error
    return day


def read_by_query(directory, product, dataset):
    command = [binary, "query", product, "--dataset", dataset, "--raw", "--format", "csv", "--data-dir", directory]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RUST_LOG": "error"})
    assert done.returncode in (0, 1), done.stderr
    return list(csv.reader(done.stdout.splitlines())) if done.returncode == 0 else done.stderr


read = refused = 0
for number in range(count):
    draw = random.Random(f"{seed}/{number}")
    name, folder = draw.choice(days)
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(os.path.join(golden, name, folder), os.path.join(directory, name, folder))
        what = f"seed {seed}, case {number}: {name}/{folder}, {damage(os.path.join(directory, name, folder), draw)}"
        dataset = "trades" if folder == "TRADES" else "md"
        day, rows = read_by_coltape_py(directory, name, dataset, "2025-06-07"), read_by_query(directory, name, dataset)
        if isinstance(day, str) or isinstance(rows, str):
            assert isinstance(day, str) and isinstance(rows, str), f"{what}: coltape.py says {day!r}, query {rows!r}"
            refused += 1
            continue
        read += 1
        names, rows = (rows[0], rows[1:]) if rows else (day.columns, [])
        assert names == day.columns and len(rows) == len(day), f"{what}: {len(day)} records, query has {len(rows)}"
        for at, column in enumerate(names):
            values = day.raw(column)
            if values.dtype.kind in "uV":
                is_same = [bytes.fromhex(row[at]) == one.tobytes() if values.dtype.kind == "V" else int(row[at]) == one for row, one in zip(rows, values)]
                assert all(is_same), f"{what}: {column}"
print(read, "read,", refused, "refused")
