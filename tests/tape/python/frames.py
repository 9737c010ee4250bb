"""Holds the frames that coltape.py makes of a day against its arrays: DIR PRODUCT DATASET DATE. Prints how many values of each column are null."""

import os
import sys
import uuid

import coltape
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

day = coltape.day(*sys.argv[1:])
arrays = day.arrays()
arrow, text, frame, named, polar = day.to_arrow(), day.to_arrow(order_ids="text"), day.to_pandas(), day.to_pandas(order_ids="text"), day.to_polars()
assert arrow.column_names == list(frame.columns) == polar.columns == list(arrays)
assert arrays["time"].dtype == frame["time"].dtype == np.dtype("datetime64[ns]")
assert arrow.schema.field("time").type == pa.timestamp("ns") and polar["time"].dtype == pl.Datetime("ns")
nulls = {}

for name, values in arrays.items():
    column = arrow.column(name).chunk(0)
    in_pandas, in_polars, in_arrow = list(frame[name]), polar[name].to_list(), column.to_pylist()
    nulls[name] = column.null_count
    assert polar[name].null_count() == column.null_count == int(frame[name].isna().sum()), name

    # No copy: the buffer of the column is the array, and where nothing had to be merged or joined the array is the mapped file.
    buffers = column.indices.buffers() if pa.types.is_dictionary(column.type) else column.buffers()
    assert buffers[-1].address == values.ctypes.data, name
    is_mapped = name != "time" and not day.late_count and len(values)
    assert not is_mapped or values.base is not None and not values.flags.owndata, name
    assert not values.flags.writeable, name

    for number, value in enumerate(values):
        one = (in_pandas[number], in_polars[number], in_arrow[number])
        if name == "time":
            stamp = pd.Timestamp(value)
            assert one[0] == stamp and one[2] == stamp and polar[name].cast(pl.Int64)[number] == stamp.value, (name, number)
        elif name in ("side", "trade_side"):
            assert one == (coltape.SIDES[value],) * 3, (name, number)
        elif values.dtype.kind == "V":
            plain = value.tobytes()
            want = None if plain == bytes(16) else plain
            assert one == (want,) * 3, (name, number)
            want = None if want is None else str(uuid.UUID(bytes=plain))
            assert (named[name][number], text.column(name)[number].as_py()) == (want, want), (name, number)
        elif one[2] is None:
            is_none = np.isnan(value) if values.dtype.kind == "f" else value == 0
            assert is_none and one[1] is None and pd.isna(one[0]), (name, number)
        else:
            assert one[0] == one[1] == one[2] == value, (name, number, one, value)

zoned = [day.to_pandas("time", tz="UTC")["time"].dtype.tz, day.to_arrow(["time"], tz="UTC").schema.field(0).type.tz, day.to_polars("time", tz="UTC")["time"].dtype.time_zone]
assert [str(zone) for zone in zoned] == ["UTC"] * 3
assert list(day.side_names()) == polar[[name for name in polar.columns if name in ("side", "trade_side")][0]].to_list()
print(" ".join(f"{name}:{count}" for name, count in nulls.items() if count))
# Threads of the libraries may abort the interpreter while it ends.
sys.stdout.flush()
os._exit(0)
