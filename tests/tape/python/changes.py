"""Opens a day whose files are replaced while they are opened: DIR OTHER PRODUCT DATE. OTHER holds the day as it is afterwards. Prints what is read."""

import os
import sys

import coltape

directory, other, product, date = sys.argv[1:]
map_one, left = coltape.Day._map, [3]


def map_and_replace(self, column, records, is_replacing):
    """Maps as ever; after the third column another process replaces the day."""
    mapped = map_one(self, column, records, is_replacing)
    left[0] -= 1
    if left[0] == 0:
        mine, new = (os.path.join(one, product, "TRADES") for one in (directory, other))
        for name in os.listdir(mine):
            os.remove(os.path.join(mine, name))
        for name in os.listdir(new):
            os.rename(os.path.join(new, name), os.path.join(mine, name))
    return mapped


coltape.Day._map = map_and_replace
day = coltape.day(directory, product, "trades", date)
print(day.state, day.generation, *day["trade_id"])
