"""The base of typed parameters that callers set by name: settings, and the hyperparameters of models."""

from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from prismrec.errors import InputError, ParameterError


class StrictNumbers(BaseModel):
    """A model of pydantic in which true is no number. Pydantic itself would take it for 1."""

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_values(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and info.field_name is not None:
            kinds = _kinds(cls.model_fields[info.field_name].annotation)
            if bool not in kinds and kinds & {int, float}:
                raise PydanticCustomError("truth_value", "Input should be a number, not a truth value")
        return value


def _kinds(annotation: object) -> set[type]:
    """The types in an annotation, such as int and str in `Annotated[int, Field(ge=1)] | str`."""
    parts = get_args(annotation)
    if not parts:
        return {annotation} if isinstance(annotation, type) else set()
    kinds: set[type] = set()
    return kinds.union(*map(_kinds, parts))


class Parameters(StrictNumbers):
    """Values that are checked when an object is made.

    Attributes:
        noun: what messages call one value.

    Raises:
        ParameterError: a name is unknown, or a value has another type or is outside its limits.
        InputError: the values do not fit together.
    """

    noun: ClassVar[str] = "parameter"

    def __init__(self, /, **values: Any) -> None:
        """Check the values."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise refusal(error, type(self)) from None

    # A part of a larger object is not made by this constructor, so that the error of the larger one names the place.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


def refusal(error: ValidationError, kind: type[Parameters], prefix: str = "", whole: str | None = None) -> InputError:
    """The first error of pydantic in one line.

    Args:
        error: from pydantic.
        kind: whose values are wrong.
        prefix: what to write before the name of a value, such as "config.".
        whole: what to call all values together; the name of the class if not given.
    """
    errors = error.errors()
    first = errors[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return cause
    name = ".".join([str(part) for part in first["loc"]])
    if not name:
        found = first["msg"].removeprefix("Value error, ")
        return InputError(whole or kind.__name__, found, f"{kind.noun}s that fit together")
    if first["type"] == "extra_forbidden":
        return ParameterError(f"{prefix}{name}", f"no such {kind.noun}", f"one of {', '.join(kind.model_fields)}")
    if first["type"] == "missing":
        return ParameterError(f"{prefix}{name}", "nothing", "a value")
    kinds = [each for each in errors if each["loc"][0] == first["loc"][0] and each["input"] is first["input"]]
    if len(kinds) > 1:  # the field has several types, which pydantic adds to the name
        name = str(first["loc"][0])
    return ParameterError(f"{prefix}{name}", repr(first["input"]), " or ".join([wanted(each) for each in kinds]))


def wanted(error: ErrorDetails) -> str:
    """What pydantic expected, to follow the word "expected"."""
    return error["msg"].removeprefix("Input should be ")
