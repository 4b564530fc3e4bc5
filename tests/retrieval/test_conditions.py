import datetime

import numpy as np
import polars as pl
import pytest

from prismrec.errors import ParameterError
from prismrec.retrieval.conditions import group_numbers, newer_mask, where_mask

TABLE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "price": [5.0, 25.0, None, 10.0],
        "in_stock": [True, True, True, False],
        "brand": ["x", "y", None, "x"],
        "a name": [1, 2, 3, 4],
        "tags": [["p"], ["q"], [], None],
        "day": [datetime.date(2026, 1, day) for day in (1, 2, 3, 4)],
        "text": ["2026-01-01", "2026-01-02T12:00:00", None, "2026-01-04"],
    }
)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("price < 20 and in_stock", "a"),
        ("price < 20", "ad"),
        ("price is null", "c"),
        ("not in_stock or brand = 'y'", "bd"),
        ("brand in ('x', 'z')", "ad"),
        ("brand like 'Y%' or \"a name\" = 3", "c"),
        ("item_id = 'b'", "b"),
        ("day >= date '2026-01-03'", "cd"),
        ("day >= '2026-01-03'", "cd"),
        ("day between '2026-01-02' and '2026-01-03' and price is null", "c"),
        ("not day > '2026-01-01' -- a comment", "a"),
        ("text > '2026-01-02 11:00'", "bd"),
        ("price > avg(price)", "b"),
        ("true", "abcd"),
        ("in_stock", "abc"),
        ("price between 6 and 30", "bd"),
    ],
)
def test_a_condition_selects_the_rows_where_it_is_true(condition, rows):
    found = where_mask(TABLE, condition)
    assert found.dtype == np.bool_
    assert "".join(TABLE["item_id"].filter(pl.Series(found))) == rows


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("price < 20 and in_stock", "a"),
        ("price in (5, 25)", "ab"),
        ("price * 2 > 40", "b"),
        ("price = '25'", "b"),
        ("price is null", "c"),
        ("not in_stock", "d"),
        ("added > date '2026-01-02'", "cd"),
        ("added > '2026-01-02'", "cd"),
        ("added like '%-03'", "c"),
        ("zoned > '2026-01-01 08:30'", "bd"),
        ("code like '0%'", "ad"),
        ("code = 7", "a"),
        ("item_id = '1'", ""),
        ("brand < 'y'", "ad"),
    ],
)
def test_text_from_csv_files_is_compared_as_what_it_holds(condition, rows):
    table = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "price": ["5", "25", None, "10.5"],
            "in_stock": ["true", "True", "TRUE", "false"],
            "added": ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"],
            "zoned": ["2026-01-01T10:00+02:00", "2026-01-01T08:00-05:00", None, "2026-01-01T08:45Z"],
            "code": ["007", "12", "13", "014"],
            "brand": ["x", "y", "z", "x"],
        }
    )
    assert "".join(table["item_id"].filter(pl.Series(where_mask(table, condition)))) == rows


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("cost < 20", r"where: found column 'cost' in 'cost < 20'; expected columns of the item table: item_id, price"),
        ("select * from items", "where: found 'select"),
        ("drop table items", "where: found 'drop"),
        ("price < 20; drop table items", "where: found 'price"),
        ("price < 20 from items", "where: found"),
        ("price < 20 limit 1", "where: found"),
        ("brand in (select brand from items)", "where: found"),
        ("day > (select '2026-01-01')", "where: found"),
        ("day > '2026-01-01' and exists (select 1)", "where: found"),
        ("max(day) > '2026-01-01'", "where: found"),
        ("day > 'soon'", "where: found"),
        ("price <", "where: found"),
        ("", "where: found"),
        ("*", "where: found"),
        ("brand like 'x", "where: found"),
        ("price", "which is Float64"),
        ("1", "which is"),
        ("price > 'cheap'", "where: found"),
        ("read_csv('/etc/passwd') = 1", "where: found"),
        ("tags > 3", "where: found"),
        ("price < 20" + " and price > 1" * 5000, "where: found 5,000 operators; expected at most 300"),
        ("1" + "&1" * 990 + " > 0", "where: found 990 operators; expected at most 300"),
    ],
)
def test_what_is_no_condition_on_the_table_is_refused_in_one_line(condition, message):
    with pytest.raises(ParameterError, match=message) as caught:
        where_mask(TABLE, condition)
    assert "\n" not in str(caught.value)


def test_a_condition_may_name_many_values_and_texts_with_signs():
    values = ", ".join(f"'and-{number}'" for number in range(2000))
    assert where_mask(TABLE, f"brand in ('x', {values})").tolist() == (TABLE["brand"] == "x").fill_null(False).to_list()


@pytest.mark.parametrize("column", ["brand", "price", "in_stock", "day"])
def test_items_with_equal_values_are_a_group_and_items_without_a_value_are_not(column):
    groups = group_numbers(TABLE, column)
    values = TABLE[column].to_list()
    for row, value in enumerate(values):
        assert (groups[row] == -1) == (value is None)
        if value is not None:
            assert [other == value for other in values] == (groups == groups[row]).tolist()


def test_groups_of_lists_and_of_unknown_columns_are_refused():
    with pytest.raises(ParameterError, match="at_most: found column 'tags' of List"):
        group_numbers(TABLE, "tags")
    with pytest.raises(ParameterError, match="at_most: found column 'maker'; expected columns of the item table"):
        group_numbers(TABLE, "maker")


@pytest.mark.parametrize("column", ["day", "text", "time", "zoned"])
def test_dates_times_and_iso_text_are_compared_with_a_date(column):
    time = pl.col("day").cast(pl.Datetime("ms"))
    table = TABLE.with_columns(time=time, zoned=time.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"))
    newer = newer_mask(table, column, datetime.date(2026, 1, 2))
    assert newer.tolist() == [False, column == "text", column != "text", True]
    assert not newer_mask(table, column, datetime.datetime(2026, 1, 4)).any()
    before = datetime.datetime(2026, 1, 4, tzinfo=datetime.timezone(datetime.timedelta(hours=9)))
    assert newer_mask(table, column, before)[3]


def test_columns_without_dates_are_refused():
    with pytest.raises(ParameterError, match="newest: found column 'price' of Float64; expected a column of dates"):
        newer_mask(TABLE, "price", datetime.date(2026, 1, 1))
    with pytest.raises(ParameterError, match=r"newest: found 0001-01-01.*expected a time within the years 1 to 9999"):
        newer_mask(TABLE, "day", datetime.datetime.fromisoformat("0001-01-01T00:00+14:00"))
    with pytest.raises(ParameterError, match="newest: found column 'brand' with values such as 'x'"):
        newer_mask(TABLE, "brand", datetime.date(2026, 1, 1))
    with pytest.raises(ParameterError, match="newest: found column 'added'"):
        newer_mask(TABLE, "added", datetime.date(2026, 1, 1))
