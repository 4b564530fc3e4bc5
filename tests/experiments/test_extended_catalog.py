"""New items get the columns of the run, in its types."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from prismrec.data import NewItems
from prismrec.errors import InputError
from prismrec.experiments.extended_catalog import extended_catalog
from prismrec.types import Vocabulary

RUN = pl.DataFrame(
    {
        "sold": [True],
        "day": [date(2026, 1, 1)],
        "time": [datetime(2026, 1, 1, tzinfo=UTC)],
        "count": [1],
        "price": [1.5],
        "code": ["007"],
    }
)


def extended(**texts: str | None) -> dict[str, object]:
    """The row of a new item, whose values come from a text file."""
    rows = pl.DataFrame({"item_id": ["new"], **{name: [text] for name, text in texts.items()}})
    new = NewItems(Path("new"), Vocabulary(pl.Series(["new"]), "item"), {}, rows, ())
    return extended_catalog(RUN, new).row(1, named=True)


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("sold", "False", False),
        ("day", "2026-02-03", date(2026, 2, 3)),
        ("time", "2026-02-03T10:00:00+02:00", datetime(2026, 2, 3, 8, tzinfo=UTC)),
        ("count", "-5", -5),
        ("count", "2.5", 2.5),
        ("price", "3", 3.0),
        ("price", "0.5", 0.5),
        ("price", "1e-05", 1e-05),
        ("code", "1.50", "1.50"),
        ("count", None, None),
        ("sold", None, None),
    ],
)
def test_a_text_has_the_type_of_the_run(column: str, text: str | None, value: object) -> None:
    row = extended(**{column: text})
    assert row == {name: value if name == column else None for name in RUN.columns}


@pytest.mark.parametrize(
    ("column", "text"),
    [("sold", "maybe"), ("day", "3 Feb"), ("time", "noon"), ("count", "005"), ("price", "-01"), ("price", "ask us")],
)
def test_a_text_of_another_type_is_refused(column: str, text: str) -> None:
    with pytest.raises(InputError, match=f"new, item table, column '{column}': found .*; expected values of type"):
        extended(**{column: text})
