"""Arguments of the wrong type are refused by name, before anything is written."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prismrec
from prismrec import Callback, Dataset, InputError, Run, Settings

TWO = Settings(epochs=2)


@pytest.fixture(scope="module")
def data() -> Dataset:
    draw = np.random.default_rng(0)
    clicks = {"user_id": draw.integers(0, 30, 400), "item_id": draw.integers(0, 20, 400)}
    prices = {"item_id": list(range(20)), "price": [1.5 * item for item in range(20)]}
    return prismrec.dataset(clicks, items=prices)


@pytest.fixture(scope="module")
def run(data: Dataset) -> Run:
    return prismrec.train("MF-BPR", data, {"embedding_size": 8}, TWO)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "shop"}, "dataset: found an object of type str; expected a Dataset"),
        ({"config": [1]}, "config: found an object of type list; expected hyperparameters by name"),
        ({"config": prismrec.MODELS["LightGCN"].Config()}, "config: found a LightGCNConfig; expected a .*for MF-BPR"),
        ({"settings": {"epochs": 2}}, r"settings: found an object of type dict; expected prismrec\.Settings"),
        ({"out": 3}, "out: found an object of type int; expected a path"),
        ({"out": "a\0b"}, "found embedded null byte; expected a folder that can be written"),
        ({"init": 3}, "init: found an object of type int; expected a run or its folder"),
        ({"callbacks": None}, "callbacks: found an object of type NoneType; expected a list"),
        ({"callbacks": Callback()}, "callbacks: found an object of type Callback; expected a list"),
        ({"callbacks": [print]}, r"callbacks: .*expected subclasses of prismrec\.Callback"),
        ({"metric": "recall@20"}, r"metric: found 'recall@20'; expected a function; Settings\.metric takes"),
        ({"sampler": "user"}, "sampler: found 'user'; expected an object with a method epoch; config takes"),
        ({"loss_terms": [print]}, "loss_terms: found an object of type list; expected loss terms by name"),
    ],
)
def test_train_refuses_arguments_of_the_wrong_type(
    data: Dataset, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    given = {"dataset": data, "settings": TWO, "out": tmp_path / "run", **arguments}
    with pytest.raises(InputError, match=message):
        prismrec.train("MF-BPR", **given)
    assert list(tmp_path.iterdir()) == []


def test_loading_a_path_with_a_nul_character_is_one_line() -> None:
    with pytest.raises(InputError, match="no run"):
        Run.load("a\0b")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.recommend(1, k=1.5), "k: found an object of type float; expected a whole number, 1 or more"),
        (lambda run: run.recommend(1, k="3"), "k: found an object of type str"),
        (lambda run: run.similar(1, k=None), "k: found an object of type NoneType"),
        (lambda run: run.similar_users(1, k=True), "k: found an object of type bool"),
        (lambda run: run.recommend(1, where=3), "where: found an object of type int; expected an SQL expression"),
        (lambda run: run.recommend(1, exclude=5), "exclude: found 5; expected a list of item ids"),
        (lambda run: run.recommend(1, candidates=5), "candidates: found 5; expected a list of item ids"),
        (lambda run: run.recommend(1, at_most="price=1"), "at_most: found an object of type str; expected a mapping"),
        (lambda run: run.recommend(1, at_most={"price": 1.5}), "at_most: .*whole number for column 'price'"),
        (
            lambda run: run.recommend(1, newest="price"),
            "newest: found an object of type str; expected a column, a date",
        ),
        (lambda run: run.recommend(1, newest=("price",)), "newest: found .*expected a column, a date"),
        (lambda run: run.recommend(1, newest=("price", "2024-01-01", 1)), "newest: found .*expected a column, a date"),
        (lambda run: run.recommend(1, newest=("price", datetime.date(2024, 1, 1), "1")), "newest: .*type str"),
        (lambda run: run.recommend(1, diversity="0.5"), "diversity: found an object of type str"),
        (lambda run: run.recommend(1, diversity=None), "diversity: found an object of type NoneType"),
        (lambda run: run.recommend(1, columns="price"), "columns: found 'price'; expected a list of names"),
        (lambda run: run.recommend(1, columns=3), "columns: found 3; expected a list of names"),
        (lambda run: run.recommend(1, unknown="Popular"), "unknown: found 'Popular'; expected 'popular' or 'refuse'"),
        (lambda run: run.score(1, [1, 2]), "found .*1"),
        (lambda run: run.evaluate("test", cutoffs="5"), "cutoffs: found '5'; expected a list of whole numbers"),
        (lambda run: run.evaluate("test", cutoffs=[5.0]), r"cutoffs: found \[5\.0\]; expected a list of whole numbers"),
    ],
)
def test_a_run_refuses_arguments_of_the_wrong_type(run: Run, ask: Callable[[Run], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(run)


@pytest.mark.filterwarnings("ignore:.*fewer than 10 items")
@pytest.mark.parametrize("user", [np.int64(3), np.array(3), torch.tensor(3)])
def test_a_scalar_of_an_array_library_is_one_id(run: Run, user: object) -> None:
    assert run.recommend(user)["item"].to_list() == run.recommend(3)["item"].to_list()


@pytest.mark.filterwarnings("ignore:.*fewer than 10 items")
def test_a_column_that_is_named_twice_is_given_once(run: Run) -> None:
    assert run.recommend(1, columns=["price", "price"]).columns == ["rank", "item", "score", "price"]


def test_numbers_of_an_array_library_are_numbers(run: Run) -> None:
    assert run.recommend(1, k=np.int64(2), diversity=np.float32(0.5)).height == 2
    assert run.score(1, 2)["score"].to_list() == run.score([1], [2])["score"].to_list()
