"""Tables and matrices of other libraries as polars tables and NumPy arrays. None of these libraries is imported."""

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import issparse
from torch import Tensor

from prismrec.data import check
from prismrec.data.readers.boundary import foreign_errors, quiet_panics
from prismrec.data.readers.npy import to_array
from prismrec.data.readers.tabular import Table
from prismrec.errors import InputError

_TABLE = "a table: of polars, pandas or Arrow, or a dict of columns"
_BASIC = {str, int, float, bool}


def is_table(value: object) -> bool:
    """Whether the value has named columns."""
    if isinstance(value, pl.Series) or is_sparse(value) or (_is_pandas(value) and not hasattr(value, "columns")):
        return False
    if isinstance(value, pl.DataFrame | pl.LazyFrame | Mapping) or hasattr(value, "columns") or _has_fields(value):
        return True
    return hasattr(value, "__arrow_c_stream__") and not hasattr(value, "chunks")  # chunks: one column of Arrow


def _has_fields(value: object) -> bool:
    """Whether the value is a structured array of NumPy."""
    return isinstance(value, np.ndarray) and value.dtype.names is not None


def is_sparse(value: object) -> bool:
    """Whether the value is a sparse matrix or array of SciPy."""
    return bool(issparse(value))


def to_table(value: Any, where: str) -> Table:
    """A table of any library.

    Args:
        value: a data frame of polars or pandas, an object with the Arrow PyCapsule interface, or a mapping of columns.
        where: the name of the parameter, for messages.

    Raises:
        InputError: no table, columns of unequal length or with one name, no column, or no row.
    """
    with foreign_errors(where, _TABLE), quiet_panics():
        frame = _to_frame(value, where)
    if not frame.width:
        found = "no column, only a row index" if _is_pandas(value) else "no column"
        raise InputError(where, found, f"{_TABLE}; reset_index() of pandas makes its row index a column")
    if frame.is_empty():
        raise InputError(where, "no row", "at least one row")
    return Table(Path(where), frame, in_memory=True)


def _to_frame(value: Any, where: str) -> pl.DataFrame:
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    if isinstance(value, pl.DataFrame):
        return value
    if _is_pandas(value):
        names = list(value.columns)
        columns = [value.iloc[:, position] for position in range(len(names))]
    elif _has_fields(value):
        names = list(value.dtype.names)
        columns = [value[name] for name in names]
    elif isinstance(value, Mapping):
        names = list(value)
        columns = list(value.values())
    elif hasattr(value, "__arrow_c_stream__"):
        return pl.DataFrame(value)
    else:
        raise InputError(where, f"an object of type {type(value).__name__}", _TABLE)
    series: dict[str, pl.Series] = {}
    for name, column in zip(names, columns, strict=True):
        place = f"{where}[{name!r}]"
        text = str(name)
        if text in series:
            raise InputError(where, f"column {name!r} twice", "each column once")
        series[text] = to_series(column, place)
        length = len(next(iter(series.values())))
        if len(series[text]) != length:
            raise InputError(place, f"{len(series[text]):,} values", f"{length:,}, as in {names[0]!r}")
    return pl.DataFrame(series)


def to_series(values: Any, where: str) -> pl.Series:
    """A column of any library. Values that polars has no type for stay Python objects; missing ones become null.

    Raises:
        InputError: no column.
    """
    with foreign_errors(where, "a column: an array, a series or a list"):
        if isinstance(values, pl.Series):
            return values
        if isinstance(values, Tensor):
            return pl.Series(to_matrix(values, where))
        if _is_pandas(values):
            values = values.to_numpy()
        if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
            return pl.Series(values)
        if isinstance(values, np.ndarray):
            if values.ndim and values.dtype.kind in "mM":
                values = _with_known_unit(values)
            if values.ndim and values.dtype.kind != "O" and not isinstance(values, np.ma.MaskedArray):
                return pl.Series(values)
            values = values.tolist()
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise InputError(where, f"an object of type {type(values).__name__}", "a column: an array or a list")
        objects = [None if _is_missing(value) else value for value in values]
        enums = {type(value) for value in objects if isinstance(value, Enum) and not isinstance(value, int | str)}
        if enums:  # polars would take their values
            raise InputError(where, f"members of {check.listed(kind.__name__ for kind in enums)}", "values of no Enum")
        return _from_objects(objects)


def _with_known_unit(times: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Dates or durations in a unit that polars has: days, milliseconds, microseconds or nanoseconds."""
    unit = np.datetime_data(times.dtype)[0]
    if unit in ("D", "ms", "us", "ns") or (unit == "generic" and not times.size):
        return times
    kind = "datetime64" if times.dtype.kind == "M" else "timedelta64"
    known = "D" if unit in ("Y", "M", "W") else "ms" if unit in ("h", "m", "s") else "ns"
    return times.astype(f"{kind}[{known}]")


def _from_objects(values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) > 1 and not kinds <= {int, float}:
        return pl.Series(values, dtype=pl.Object)
    if kinds <= _BASIC or not any(map(_stays_an_object, kinds)):
        try:
            return pl.Series(values)
        except UnicodeError:
            raise
        except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
            pass
    return pl.Series(values, dtype=pl.Object)


def _stays_an_object(kind: type) -> bool:
    """Whether polars would turn objects of this type into others, so that an id would not come back as it was given."""
    return issubclass(kind, tuple | frozenset) or is_dataclass(kind) or hasattr(kind, "model_fields")


def to_matrix(values: Any, where: str) -> npt.NDArray[Any]:
    """An array of NumPy, PyTorch or SciPy (sparse), or nested lists, as a NumPy array.

    Raises:
        InputError: something else, masked entries, or rows of unequal length.
    """
    with foreign_errors(where, "a matrix of NumPy, PyTorch or SciPy, with rows of equal length"):
        if isinstance(values, Tensor):
            return to_array(values)
        if is_sparse(values):
            return checked_sparse(values).toarray()
        if np.ma.is_masked(values):
            raise InputError(where, "masked entries", "a number in each; leave an item's row out to have it filled")
        return np.asarray(values)


def checked_sparse(matrix: Any) -> Any:
    """A sparse matrix whose row and column numbers are within its shape.

    SciPy trusts them: wrong ones would read and write beyond its arrays.

    Raises:
        ValueError: they are not.
    """
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)
    return matrix


def refuse_objects(table: Table) -> None:
    """Refuse columns of Python objects, which no file of a run can hold.

    Raises:
        InputError: there is one.
    """
    for name, dtype in table.frame.schema.items():
        if dtype == pl.Object:
            expected = "text, numbers, dates or lists of one type; leave the column out with ignore_columns"
            raise InputError(f"{table.path}[{name!r}]", "values of several types, or Python objects", expected)


def _is_missing(value: object) -> bool:
    """Whether a value is None, NaN, or a missing value of pandas."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return True
    return type(value).__name__ in ("NAType", "NaTType")


def _is_pandas(value: object) -> bool:
    return any(kind.__module__.partition(".")[0] == "pandas" for kind in type(value).__mro__)
