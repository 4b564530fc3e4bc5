"""Spaces of hyperparameters: what they contain, and what is refused before anything runs."""

import pickle
import random

import pytest

from prismrec.errors import ParameterError
from prismrec.experiments.space import Choices, Range, Space, grid_of
from prismrec.experiments.train import make_config
from prismrec.models import REGISTRY
from prismrec.models.sht import SHTConfig


def test_values_get_the_type_of_their_field() -> None:
    space = Space.of("LightGCN", {"layers": ["2", 3.0], "regulariser": 1, "initialiser": ["xavier"]})
    assert space.settings["layers"] == Choices((2, 3))
    assert isinstance(space.settings["layers"].values[1], int)
    assert isinstance(space.settings["regulariser"].values[0], float)
    assert space.size == 2
    assert list(space.points()) == [
        {"layers": 2, "regulariser": 1.0, "initialiser": "xavier"},
        {"layers": 3, "regulariser": 1.0, "initialiser": "xavier"},
    ]


def test_ranges_are_whole_where_the_field_is() -> None:
    space = Space.of("Spectral", {"neighbours": {"low": 5, "high": 7}, "exponent": {"low": 0, "high": 2}})
    assert space.settings["neighbours"] == Range(5, 7, whole=True)
    assert space.settings["exponent"] == Range(0, 2)
    assert space.size is None
    assert [point["neighbours"] for point in Space.of("Spectral", {"neighbours": Range(5, 7)}).points()] == [5, 6, 7]


def test_drawn_points_are_inside_and_others_are_not() -> None:
    space = Space.of(
        "LightGCN",
        {
            "learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
            "layers": {"low": 1, "high": 3},
            "regulariser": [0.0, 0.1],
        },
    )
    draws = random.Random(0)
    points = [space.draw(draws) for _ in range(200)]
    assert all(point in space for point in points)
    assert {point["layers"] for point in points} == {1, 2, 3}
    assert 60 < sum(point["learning_rate"] < 1e-4**0.5 * 1e-1**0.5 for point in points) < 140  # half of them, by scale
    assert {**points[0], "layers": 4} not in space
    assert {**points[0], "regulariser": 0.05} not in space
    assert {"layers": 2} not in space


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"learning_rte": [1e-3]}, "space.learning_rte: found no such hyperparameter; expected 'learning_rate'?"),
        ({"xyzzy": [1]}, "space.xyzzy: found no such hyperparameter; expected one of embedding_size, "),
        ({"layers": ["two"]}, "space.layers: found 'two'; expected a valid integer"),
        ({"layers": [1.5]}, "space.layers: found 1.5; expected a valid integer"),
        ({"layers": [-1]}, "space.layers: found -1; expected greater than or equal to 0"),
        ({"layers": [[1], [2]]}, r"space.layers: found \[1\]; expected a number, a text, true, false or null"),
        ({"layers": []}, "space.layers: found no values; expected one or more"),
        ({"layers": [1, "1"]}, "space.layers: found 1 twice; expected distinct values"),
        ({"layers": {"low": 3, "high": 3}}, "space.layers: found the empty range 3 to 3; expected low below high"),
        ({"layers": {"low": 1.5, "high": 3}}, "space.layers: found 1.5; expected a valid integer"),
        ({"layers": {"low": 1}}, "space.layers: found {'low': 1}; expected low, high and perhaps scale"),
        ({"layers": {"low": 1, "high": 2, "scale": "cubic"}}, "expected low, high and perhaps scale: linear or log"),
        ({"regulariser": {"low": 0, "high": 1, "scale": "log"}}, "0 to 1 on a logarithmic scale; expected low above 0"),
        ({"regulariser": {"low": 0, "high": float("inf")}}, "space.regulariser: found inf; expected a"),
        ({"initialiser": {"low": 0, "high": 1}}, "space.initialiser: found a range; expected a list"),
        ({}, "space: found no hyperparameters"),
        ({"embedding_size": [8, 16]}, "space.embedding_size: found the fixed value 8 too; expected one of them"),
    ],
)
def test_what_cannot_be_searched_is_refused(space: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Space.of("LightGCN", space, {"embedding_size": 8})


def test_a_value_that_only_some_other_values_allow_is_part_of_the_space() -> None:
    """Three heads need a width that is a multiple of 3; the trials with other widths fail."""
    assert Space.of("SHT", {"heads": [2, 3], "embedding_size": [64, 66]}).size == 4


@pytest.mark.parametrize("name", REGISTRY)
def test_the_grid_of_a_model_is_valid_and_contains_its_defaults(name: str) -> None:
    grid = grid_of(REGISTRY[name].Config)
    if not grid:
        assert name == "most-popular"
        return
    space = Space.of(name)
    defaults = make_config(name, {})
    for field, values in grid.items():
        assert space.settings[field] == Choices(values)  # nothing was converted: the values have the right type
        assert getattr(defaults, field) in values, field


def test_fixed_hyperparameters_leave_the_grid() -> None:
    assert Space.of("LightGCN", None, {"layers": 2}).settings.keys() == grid_of(REGISTRY["LightGCN"].Config).keys() - {
        "layers"
    }


def test_a_model_without_a_grid_needs_a_space() -> None:
    with pytest.raises(ParameterError, match="space: found none, and most-popular has no grid"):
        Space.of("most-popular")


def test_spaces_can_be_written_and_sent() -> None:
    space = Space.of("SHT", {"regulariser": {"low": 1e-4, "high": 1e-1, "scale": "log"}, "heads": [1, 2]})
    assert pickle.loads(pickle.dumps(space)).settings == space.settings
    assert Space.of("SHT", space.to_json()).settings == space.settings
    assert Space.of("SHT", space).settings == space.settings
    assert issubclass(SHTConfig, REGISTRY["SHT"].Config)
