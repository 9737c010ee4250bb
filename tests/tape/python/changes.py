"""Opens a day that another process changes meanwhile: KIND DIR OTHER PRODUCT DATE. OTHER holds the day as it is afterwards. Prints what is read.

replaced: after three columns, all files are replaced. finished: a replacement that had begun gives each new file its own name.
torn: the state and its spare are each being written while the page is read. given-up: after a crash another record lies in place of the last one."""

import os
import sys

import coltape

kind, directory, other, product, date = sys.argv[1:]
folder = os.path.join(directory, product, "TRADES")
map_one, open_one, read_one, times = coltape.Day._map, os.open, os.pread, []


def map_and_replace(self, column, records, is_replacing):
    mapped = map_one(self, column, records, is_replacing)
    times.append(column.name)
    if len(times) == 3:
        new = os.path.join(other, product, "TRADES")
        for name in os.listdir(folder):
            os.remove(os.path.join(folder, name))
        for name in os.listdir(new):
            os.rename(os.path.join(new, name), os.path.join(folder, name))
    return mapped


def open_and_finish(path, *rest):
    if path.endswith(".tmp") and not times:
        times.append(path)
        for name in os.listdir(folder):
            if name.endswith(".tmp"):
                os.rename(os.path.join(folder, name), os.path.join(folder, name[:-4]))
    return open_one(path, *rest)


def read_torn(file, length, at):
    data = bytearray(read_one(file, length, at))
    times.append(length)
    if length == 4096 and len(times) % 3 == 1:
        data[4 * 512] ^= 255
        data[5 * 512] ^= 255
    return bytes(data)


if kind == "replaced":
    coltape.Day._map = map_and_replace
elif kind == "finished":
    os.open = open_and_finish
elif kind == "torn":
    os.pread = read_torn
day = coltape.day(directory, product, "trades", date)
if kind == "given-up":
    before = day.time[-1]
    for name, add in (("trade_id", 1), ("trade_time", 60)):
        kept = day[name]
        with open(os.path.join(folder, f"{name}.{date}.bin"), "r+b") as file:
            file.seek(kept.nbytes - kept.itemsize)
            file.write((kept[-1] + kept.dtype.type(add)).tobytes())
is_new = day.refresh()
assert kind != "given-up" or str(day.time[-1] - before) == "60000000000 nanoseconds", "a time that was joined before is shown"
print(day.state, day.generation, is_new, *day["trade_id"])
