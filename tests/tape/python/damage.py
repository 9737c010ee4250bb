"""Damages copies of golden days at random and holds coltape.py against `coltape query --raw`: COLTAPE GOLDEN SEED COUNT.

Both read the same number of records with the same values, or both refuse the day. Nothing but coltape.Error is ever raised."""

import csv
import os
import random
import shutil
import struct
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
    chosen = draw.choice([one for one in names if one.startswith(name)] or names)
    path = os.path.join(folder, chosen)
    with open(path, "rb") as file:
        data = bytearray(file.read())
    kind = draw.choice(["flip", "flip", "cut", "grow", "remove", "noise", "reword", "reword", "reword"])
    if kind == "reword":
        if not chosen.startswith("commit"):
            kind = "flip"
        else:
            return reword(path, data, draw), False
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
    return f"{kind} {os.path.basename(path)} at {at}", not chosen.startswith(("commit", "late"))


def reword(path, data, draw):
    """Changes what a page says, with checksums that fit: of one of its slots, or of its state and the state's spare."""
    slot = {"sequence": "<Q 0", "generation": "<I 8", "late": "<I 12", "records": "<Q 16", "columns": "<I 32"}
    state = {"phase": "<I 0", "generation": "<I 4", "records": "<Q 8", "columns": "<I 24"}
    said = []
    for sectors, fields in draw.choice([[((2,), slot)], [((3,), slot)], [((4, 5), state)], [((2,), slot), ((3,), slot), ((4, 5), state)]]):
        field = draw.choice(list(fields))
        kind, at = fields[field].split()
        old = struct.unpack_from(kind, data, sectors[0] * 512 + int(at))[0]
        new = max(0, old + draw.choice([-3, -2, -1, 1, 2, 3, 12]))
        for sector in sectors:
            struct.pack_into(kind, data, sector * 512 + int(at), new)
            struct.pack_into("<I", data, sector * 512 + 508, coltape._crc32c(bytes(data[sector * 512 : sector * 512 + 508])))
        said.append(f"{field} {new} in sector {sectors[0]}")
    with open(path, "wb") as file:
        file.write(data)
    return "reworded: " + ", ".join(said)


def read_by_coltape_py(directory, product, dataset, date):
    try:
        day = coltape.day(directory, product, dataset, date)
        if day.state == "sealed":  # query holds those against their checksums
            day.check()
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
        what, is_column = damage(os.path.join(directory, name, folder), draw)
        what = f"seed {seed}, case {number}: {name}/{folder}, {what}"
        dataset = "trades" if folder == "TRADES" else "md"
        day, rows = read_by_coltape_py(directory, name, dataset, "2025-06-07"), read_by_query(directory, name, dataset)
        if isinstance(day, str) or isinstance(rows, str):
            # A day without records is none to query.
            is_refused = isinstance(day, str) or len(day) == 0
            assert is_refused and isinstance(rows, str), f"{what}: coltape.py says {day!r}, query {rows!r}"
            refused += 1
            continue
        read += 1
        names, rows = (rows[0], rows[1:]) if rows else (day.columns, [])
        assert names == day.columns and len(rows) == len(day), f"{what}: {len(day)} records, query has {len(rows)}"
        # A column that holds nonsense: query shows times and sides as it understands them, coltape.py as they are.
        for at, column in enumerate([] if is_column else names):
            values = day.raw(column)
            if values.dtype.kind in "uV":
                is_same = [bytes.fromhex(row[at]) == one.tobytes() if values.dtype.kind == "V" else int(row[at]) == one for row, one in zip(rows, values)]
                assert all(is_same), f"{what}: {column}"
print(read, "read,", refused, "refused")
# Threads of the libraries may abort the interpreter while it ends.
sys.stdout.flush()
os._exit(0)
