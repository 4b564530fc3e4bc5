"""Values of parameters are what they look like."""

from typing import Annotated

import pytest
from pydantic import Field

from prismrec.errors import ParameterError
from prismrec.parameters import Parameters
from prismrec.records import Settings


class Numbers(Parameters):
    """Fields of many types."""

    whole: Annotated[int, Field(ge=0)] = 0
    real: float = 0.0
    maybe: int | None = None
    word_or_number: int | str = 0
    flag: bool = False
    flag_or_number: bool | float = 0.0


@pytest.mark.parametrize("name", ["whole", "real", "maybe", "word_or_number"])
@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_is_no_number(name: str, value: bool) -> None:
    with pytest.raises(ParameterError, match=f"{name}: found {value}; expected a number, not a truth value"):
        Numbers(**{name: value})


def test_a_truth_value_is_one_where_it_is_meant() -> None:
    values = Numbers(flag=True, flag_or_number=True)
    assert values.flag is values.flag_or_number is True
    assert Numbers(whole=1, real=1, maybe=1).model_dump()["maybe"] == 1


def test_settings_take_numbers_and_no_truth_values() -> None:
    with pytest.raises(ParameterError, match="seed: found True"):
        Settings(seed=True)
