import polars as pl
import pytest

from prismrec.data.readers.columns import find_column, id_column, label_column, row_numbers
from prismrec.data.readers.tabular import Table
from prismrec.data.readers.times import timestamp_column


def table(tmp_path, **columns):
    return Table(tmp_path / "t.parquet", pl.DataFrame(columns))


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("user", "user_id"),
        ("user", "userID"),
        ("user", "UserId"),
        ("user", "uid"),
        ("item", "itemID"),
        ("item", "iid"),
        ("item", "movieId"),
        ("timestamp", "ts"),
        ("split", "x_label"),
    ],
)
def test_usual_names_are_found(role, name, tmp_path):
    assert find_column(table(tmp_path, other=[1], **{name: [2]}), role) == name


def test_whole_numbers_become_their_digits(tmp_path):
    big = pl.Series([2**63, 7], dtype=pl.UInt64)
    assert id_column(table(tmp_path, item=big), "item", "item").to_list() == [str(2**63), "7"]


def test_row_numbers_may_have_leading_zeros(tmp_path):
    assert row_numbers(table(tmp_path, item=["007", "0"]), "item", "item").to_list() == [7, 0]


@pytest.mark.parametrize("values", [["train", "valid", "test"], ["0", "1", "2"], [0, 1, 2]])
def test_labels_are_words_or_numbers(values, tmp_path):
    assert label_column(table(tmp_path, split=values), "split").to_list() == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1700000000000000001", "3"], [1700000000000000001, 3]),
        (["1.5", "3"], [1.5, 3.0]),
        (["1970-01-01 00:00:01", "1970-01-02 00:00:00"], [1_000_000, 86_400_000_000]),
        (["1970-01-01T00:00:01", "1970-01-02T00:00:00"], [1_000_000, 86_400_000_000]),
        (["1970-01-01", "1970-01-02"], [0, 86_400_000_000]),
        (pl.Series(["1970-01-02"]).str.to_date(), [86_400_000_000]),
        (pl.Series(["1970-01-02"]).str.to_datetime(time_unit="ns"), [86_400_000_000]),
    ],
)
def test_timestamps_are_numbers_or_dates(values, expected, tmp_path):
    assert timestamp_column(table(tmp_path, time=values), "time").to_list() == expected
