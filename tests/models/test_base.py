"""Limits of hyperparameters that hold for every model."""

import math

import pytest
from pydantic import ValidationError

from prismrec.models import REGISTRY


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -1])
def test_no_hyperparameter_is_negative_or_infinite(name: str, value: float) -> None:
    for field, info in REGISTRY[name].Config.model_fields.items():
        if isinstance(info.default, int | float) and not isinstance(info.default, bool):
            with pytest.raises(ValidationError):
                REGISTRY[name].Config.model_validate({field: value})


@pytest.mark.parametrize("name", REGISTRY)
def test_no_whole_number_is_absurdly_large(name: str) -> None:
    for field, info in REGISTRY[name].Config.model_fields.items():
        if isinstance(info.default, int) and not isinstance(info.default, bool):
            with pytest.raises(ValidationError):
                REGISTRY[name].Config.model_validate({field: 2**63})


@pytest.mark.parametrize("name", REGISTRY)
def test_a_million_layers_are_refused(name: str) -> None:
    config = REGISTRY[name].Config
    for field in [field for field in config.model_fields if "layers" in field]:
        with pytest.raises(ValidationError):
            config.model_validate({field: 1_000_000})
