"""Numbers and ISO dates are timestamps, and nothing else is guessed to be one."""

from decimal import Decimal

import polars as pl
import pytest

from prismrec.data import SplitSpec, load
from prismrec.data.readers.tabular import Table
from prismrec.data.readers.times import timestamp_column
from prismrec.errors import InputError

DAY = 86_400_000_000


def times_of(tmp_path, values):
    return timestamp_column(Table(tmp_path / "t.parquet", pl.DataFrame({"time": values})), "time").to_list()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([" 5", "7 "], [5, 7]),
        (["1e3", "7"], [1000.0, 7.0]),
        (["1970-01-02", "1970-01-01T12:00"], [DAY, DAY // 2]),
        (["1970-01-02 00:00:00.000001"], [DAY + 1]),
        (["1970-01-02T01:00:00+01:00", "1970-01-02T00:00:00Z", "1970-01-01T22:30-0130"], [DAY] * 3),
        (pl.Series([2**40], dtype=pl.UInt64), [2**40]),
        (pl.Series([3], dtype=pl.UInt8), [3]),
        (pl.Series([Decimal("1.5")]), [1.5]),
        (pl.Series([1.5], dtype=pl.Float32), [1.5]),
        (pl.Series(["1970-01-02"]).str.to_datetime(time_unit="ms", time_zone="UTC"), [DAY]),
    ],
)
def test_numbers_of_every_type_and_iso_dates_are_timestamps(values, expected, tmp_path):
    assert times_of(tmp_path, values) == expected


@pytest.mark.parametrize(
    "value",
    [
        "31/12/2009",
        "12/31/2009",
        "31-12-2009",
        "2009/12/31",
        "2009-31-12",
        "2009-02-30",
        "09 13, 2009",
        "Tue Apr 03 18:00:09 +0000 2012",
        "evening",
        "2009-12-31T25:00",
        "2009-12",
        "20:15",
        "nan",
        "inf",
        "",
        "١٢",
    ],
)
def test_other_dates_are_refused_and_not_guessed(value, tmp_path):
    for values in ([value], [value, value], ["1970-01-01", value], [value, "1970-01-01"]):
        with pytest.raises(InputError, match="expected a number or an ISO date"):
            times_of(tmp_path, values)


@pytest.mark.parametrize(
    "values",
    [
        ["1970-01-01T00:00:00", "1970-01-01T00:00:00Z"],
        ["1970-01-01", "5"],
        pl.Series([2**64 - 1], dtype=pl.UInt64),
        pl.Series([1, None]),
        pl.Series([True]),
        pl.Series([[1]]),
        pl.Series([b"1"]),
        pl.Series([None, None]),
    ],
    ids=str,
)
def test_mixed_and_impossible_timestamps_are_refused(values, tmp_path):
    with pytest.raises(InputError):
        times_of(tmp_path, values)


@pytest.mark.parametrize(
    ("times", "units"),
    [
        ([1700000000, 1700000001000, 1700000002000], "seconds (1 such as 1700000000) and milliseconds (2 such as 17"),
        ([1700000000.5, 1.7e18, 5], "seconds (1 such as 1700000000.5) and nanoseconds (1 such as 1.7"),
        ([1700000000, 631152001, 4102444799], None),
        ([1, 10**6, 10**9], None),
        (["2001-01-01", "1970-01-01", "2099-12-31"], None),
    ],
)
def test_timestamps_of_two_units_are_noted(times, units, folder):
    rows = "".join(f"a,{item},{time}\n" for item, time in zip("xyz", times, strict=True))
    notes = load(folder({"interactions.csv": "user,item,time\n" + rows}), split=SplitSpec(by="last")).notes
    found = [note for note in notes if "look like" in note]
    assert len(found) == (units is not None)
    assert not units or found[0].startswith(f"interactions.csv: timestamps that look like {units}")


@pytest.mark.parametrize("by", ["user", "overall", "cold-items", None])
def test_dates_matter_only_to_a_split_by_time(by, folder):
    source = folder({"interactions.csv": "user,item,time\na,x,evening\na,y,noon\na,z,noon\n"})
    dataset = load(source, split=None if by is None else SplitSpec(by=by))
    assert "interactions.csv: columns not used: time" in dataset.notes
    with pytest.raises(InputError, match="line 2, column 'time': found timestamp 'evening'"):
        load(source, split=SplitSpec(by="last"))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["2024-01-02T00:00:00Z", "2024-01-03T00:00:00"], "'2024-01-03T00:00:00' beside '2024-01-02T00:00:00Z'"),
        (["5", "2024-01-03"], "'2024-01-03' beside '5'"),
    ],
)
def test_two_kinds_of_timestamps_in_one_column_are_shown_side_by_side(values, found, tmp_path):
    with pytest.raises(InputError, match=f"{found}; expected numbers on all rows, or dates on all rows"):
        times_of(tmp_path, values)
