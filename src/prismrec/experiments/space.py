"""What `tune` searches: values or a range for each hyperparameter, checked against the config of the model."""

import difflib
import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, UnionType
from typing import Annotated, Union, cast, get_args, get_origin

from pydantic import ValidationError

from prismrec.errors import ParameterError, check_type
from prismrec.models import Grid, GridValue, ModelConfig, Recommender, find_model
from prismrec.parameters import wanted

_SCALARS = (bool, int, float, str, type(None))
Point = dict[str, GridValue]
"""One value for each hyperparameter of a space."""
_RANGE_KEYS = {"low", "high", "scale"}


@dataclass(frozen=True)
class Choices:
    """A list of values."""

    values: tuple[GridValue, ...]


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`.

    Attributes:
        low: the smallest.
        high: the largest.
        log: whether to draw uniformly on a logarithmic scale.
        whole: whether the hyperparameter takes whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Space:
    """The combinations of hyperparameters to search; built by `Space.of`.

    Attributes:
        settings: name of the hyperparameter → its values.
    """

    settings: Mapping[str, Choices | Range]

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def __getstate__(self) -> dict[str, object]:
        return {"settings": dict(self.settings)}

    def __setstate__(self, state: dict[str, Mapping[str, Choices | Range]]) -> None:
        object.__setattr__(self, "settings", MappingProxyType(state["settings"]))

    @classmethod
    def of(
        cls,
        model: str | type[Recommender],
        space: "Space | Mapping[str, object] | None" = None,
        fixed: Mapping[str, object] | None = None,
    ) -> "Space":
        """The space of a model, with every value checked.

        Args:
            model: its name or class.
            space: name → a list of values, one value, or a mapping with the keys `low`, `high` and perhaps `scale`
                ("linear" or "log"); None means the grid of the model.
            fixed: hyperparameters that have the same value in all trials. They leave the grid of the model.

        Raises:
            ParameterError: a hyperparameter is unknown or fixed, a value has the wrong type or is outside its limits, a
                list or range is empty, or the model has no grid.
        """
        kind, fixed = find_model(model), fixed or {}
        if space is None:
            grids = {name: values for name, values in grid_of(kind.Config).items() if name not in fixed}
            if not grids:
                raise ParameterError("space", f"none, and {kind.name} has no grid", "hyperparameters with their values")
            return cls({name: _checked_choices(kind.Config, name, values) for name, values in grids.items()})
        given = space.settings if isinstance(space, Space) else space
        if not given:
            raise ParameterError("space", "no hyperparameters", "one or more with their values")
        for name in given:
            check_type("space", name, str, "names that are texts")
            if name in fixed:
                raise ParameterError(f"space.{name}", f"the fixed value {fixed[name]!r} too", "one of them")
        return cls({name: _parse(kind.Config, name, values) for name, values in given.items()})

    @property
    def size(self) -> int | None:
        """The number of combinations; None if a range has infinitely many numbers."""
        counts = [_count(each) for each in self.settings.values()]
        return None if None in counts else math.prod(cast(list[int], counts))

    def points(self) -> Iterator[Point]:
        """All combinations of a finite space."""
        values = [_values(each) for each in self.settings.values()]
        for combination in itertools.product(*values):
            yield dict(zip(self.settings, combination, strict=True))

    def draw(self, draws: random.Random) -> Point:
        """A random combination."""
        return {name: _draw(values, draws) for name, values in self.settings.items()}

    def __contains__(self, point: Mapping[str, object]) -> bool:
        return point.keys() == self.settings.keys() and all(
            _contains(values, point[name]) for name, values in self.settings.items()
        )

    def to_json(self) -> dict[str, object]:
        """The space as `Space.of` takes it, for JSON and YAML."""
        return {name: _to_json(each) for name, each in self.settings.items()}


def grid_of(config: type[ModelConfig]) -> dict[str, tuple[GridValue, ...]]:
    """The grid of a model: the values of each hyperparameter whose field has a `Grid`."""
    return {
        name: part.values
        for name, field in config.model_fields.items()
        for part in field.metadata
        if isinstance(part, Grid)
    }


def _parse(config: type[ModelConfig], name: str, values: object) -> Choices | Range:
    if name not in config.model_fields:
        near = difflib.get_close_matches(name, config.model_fields, n=1)
        expected = f"{near[0]!r}?" if near else f"one of {', '.join(config.model_fields)}"
        raise ParameterError(f"space.{name}", "no such hyperparameter", expected)
    if isinstance(values, Range):
        return _checked_range(config, name, values.low, values.high, log=values.log)
    if isinstance(values, Choices):
        return _checked_choices(config, name, values.values)
    if isinstance(values, Mapping):
        if not {"low", "high"} <= values.keys() <= _RANGE_KEYS or values.get("scale", "log") not in ("linear", "log"):
            raise ParameterError(f"space.{name}", str(dict(values)), "low, high and perhaps scale: linear or log")
        return _checked_range(config, name, values["low"], values["high"], log=values.get("scale") == "log")
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return _checked_choices(config, name, values)
    return _checked_choices(config, name, [values])


def _checked_choices(config: type[ModelConfig], name: str, values: Sequence[object]) -> Choices:
    checked: list[GridValue] = []
    for value in values:
        typed = _checked_value(config, name, value)
        if typed in checked:
            raise ParameterError(f"space.{name}", f"{typed!r} twice", "distinct values")
        checked.append(typed)
    if not checked:
        raise ParameterError(f"space.{name}", "no values", "one or more")
    return Choices(tuple(checked))


def _checked_range(config: type[ModelConfig], name: str, low: object, high: object, *, log: bool) -> Range:
    kinds = _kinds(config.model_fields[name].annotation)
    if not kinds & {int, float}:
        raise ParameterError(f"space.{name}", "a range", "a list, because its values are not numbers")
    ends = _checked_value(config, name, low), _checked_value(config, name, high)
    found = f"{low} to {high}"
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
        raise ParameterError(f"space.{name}", found, "numbers")
    first, last = cast(tuple[float, float], ends)
    if first >= last:
        raise ParameterError(f"space.{name}", f"the empty range {found}", "low below high")
    if log and first <= 0:
        raise ParameterError(f"space.{name}", f"{found} on a logarithmic scale", "low above 0")
    return Range(first, last, log=log, whole=float not in kinds)


def _kinds(annotation: object) -> set[object]:
    """The types in a union, without what `Annotated` adds to them."""
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _kinds(inner[0])
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*[_kinds(each) for each in inner])
    return {annotation}


def _checked_value(config: type[ModelConfig], name: str, value: object) -> GridValue:
    """The value as the type of the field; what it does together with other fields is not checked.

    Raises:
        ParameterError: it is not of this type, or outside the limits.
    """
    if not isinstance(value, _SCALARS):
        raise ParameterError(f"space.{name}", repr(value), "a number, a text, true, false or null")
    try:
        return cast(GridValue, getattr(config.model_validate({name: value}), name))
    except ValidationError as error:
        for each in error.errors():
            if each["loc"] and each["loc"][0] == name:
                raise ParameterError(f"space.{name}", repr(value), wanted(each)) from error
    return value


def _count(values: Choices | Range) -> int | None:
    if isinstance(values, Choices):
        return len(values.values)
    return int(values.high) - int(values.low) + 1 if values.whole else None


def _values(values: Choices | Range) -> Sequence[GridValue]:
    if isinstance(values, Choices):
        return values.values
    if not values.whole:
        raise ValueError(f"the range {values.low} to {values.high} has no list of its numbers")
    return range(int(values.low), int(values.high) + 1)


def _draw(values: Choices | Range, draws: random.Random) -> GridValue:
    if isinstance(values, Choices):
        return draws.choice(values.values)
    if values.whole:
        return draws.randint(int(values.low), int(values.high))
    if values.log:
        return math.exp(draws.uniform(math.log(values.low), math.log(values.high)))
    return draws.uniform(values.low, values.high)


def _contains(values: Choices | Range, value: object) -> bool:
    if isinstance(values, Choices):
        return value in values.values
    return isinstance(value, int | float) and values.low <= value <= values.high


def _to_json(values: Choices | Range) -> object:
    if isinstance(values, Choices):
        return list(values.values)
    return {"low": values.low, "high": values.high, "scale": "log" if values.log else "linear"}
