"""Arguments of the wrong type are refused by name, before anything is written."""

import contextlib
import datetime
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array

import prismrec
from prismrec import Callback, Dataset, InputError, Run, Settings
from prismrec.data import ColumnNames
from prismrec.demo import ShopConfig
from prismrec.experiments.refit import refit
from prismrec.experiments.update import update
from prismrec.runs import compare_runs
from prismrec.runs.bulk import BulkRequest, write_recommendations

TWO = Settings(epochs=2)


@pytest.fixture(autouse=True)
def _folder_for_odd_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths among odd arguments, such as "x", belong to the test."""
    monkeypatch.chdir(tmp_path)


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
        ({"loss_terms": {1: print}}, "loss_terms: found an object of type int; expected names that are texts"),
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
        (lambda run: run.recommend(1, newest=("price", "yesterday", 1)), "newest: found .*expected a column, a date"),
        (lambda run: run.recommend(1, newest=("price", datetime.date(2024, 1, 1), "1")), "newest: .*type str"),
        (lambda run: run.recommend(1, diversity="0.5"), "diversity: found an object of type str"),
        (lambda run: run.recommend(1, diversity=None), "diversity: found an object of type NoneType"),
        (lambda run: run.recommend(1, columns="price"), "columns: found 'price'; expected a list of names"),
        (lambda run: run.recommend(1, columns=3), "columns: found 3; expected a list of names"),
        (lambda run: run.recommend(1, unknown="Popular"), "unknown: found 'Popular'; expected one of: popular, refuse"),
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


ODD = [
    None, True, -1, 0, 2.5, math.nan, math.inf, 10**30, "", "x", "7", "x\0y", "\ud800", b"x", [], {}, (), [1], ["x"],
    [None], {"x": 1}, {1: 2}, {"x"}, object(), int, print, 1j, datetime.date(2024, 1, 1), Path("/dev/null"),
    np.array(3.5), np.array([]), np.zeros((2, 2)), pd.Series([1]), pd.NA, pl.Series(["x"]), torch.ones(2),
    torch.tensor(3),
]  # fmt: skip
CLICKS = {"user": [0, 0, 1, 1, 1], "item": [3, 4, 3, 4, 5], "rating": [1, 2, 3, 4, 5]}
MATRIX = csr_array(np.eye(5))
LOAD = ["source", "format", "split", "fill", "k_core", "columns", "modalities", "npy_order", "memory_limit",
        "ignore_columns", "where", "min_rating", "unknown_items"]  # fmt: skip
MEMORY = ["interactions", "items", "features", "users", "split", "name", "fill", "k_core", "columns", "ignore_columns",
          "where", "min_rating", "unknown_items"]  # fmt: skip
MAKERS: dict[str, tuple[Callable[..., object], Sequence[str]]] = {
    "SplitSpec": (prismrec.SplitSpec, ["by", "ratios", "seed"]),
    "ColumnNames": (ColumnNames, ["user", "item", "timestamp", "split", "rating"]),
    "Settings": (Settings, list(Settings.model_fields)),
    "Config": (prismrec.MODELS["Prism"].Config, list(prismrec.MODELS["Prism"].Config.model_fields)),
    "load": (lambda source="shop", **others: prismrec.load(source, **others), LOAD),
    "dataset": (lambda interactions=CLICKS, **others: prismrec.dataset(interactions, **others), MEMORY),
    "from_csr": (
        lambda matrix=MATRIX, **others: prismrec.from_csr(matrix, **others),
        ["matrix", *MEMORY[1:]],
    ),
}


@pytest.mark.parametrize(
    ("maker", "parameter"), [(name, parameter) for name, (_, parameters) in MAKERS.items() for parameter in parameters]
)
def test_an_odd_argument_is_taken_or_refused_in_one_line(maker: str, parameter: str, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    pl.DataFrame(CLICKS).write_csv(tmp_path / "shop" / "interactions.csv")
    make = MAKERS[maker][0]
    make()
    refuse_or_take(lambda value: make(**{parameter: value}))


def refuse_or_take(ask: Callable[[object], object]) -> None:
    for value in ODD:
        try:
            ask(value)
        except InputError as error:
            assert "\n" not in str(error)


TUNE = ["model", "dataset", "space", "folder", "config", "settings", "metric", "seed", "trials", "engine", "workers",
        "time_limit", "report"]  # fmt: skip


class _StopError(Exception):
    """Ends a search that would begin."""


@pytest.mark.parametrize("parameter", TUNE)
def test_an_odd_argument_of_tune_is_taken_or_refused_in_one_line(
    parameter: str, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No trial runs: what matters is what happens before the first one."""

    def stop(*_args: object, **_kwargs: object) -> None:
        raise _StopError

    monkeypatch.setattr("prismrec.experiments.search.Search.open", stop)
    usual: dict[str, Any] = {"model": "MF-BPR", "dataset": data, "folder": "search", "settings": TWO, "trials": 1}

    def ask(value: object) -> None:
        with contextlib.suppress(_StopError):
            prismrec.tune(**(usual | {parameter: value}))

    refuse_or_take(ask)


TRAIN = ["dataset", "config", "settings", "out", "resume", "overwrite", "init", "callbacks", "sampler", "loss_terms"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("parameter", TRAIN)
def test_an_odd_argument_of_train_is_taken_or_refused_in_one_line(parameter: str, data: Dataset) -> None:
    usual: dict[str, Any] = {"model": "MF-BPR", "dataset": data, "settings": Settings(epochs=1)}
    refuse_or_take(lambda value: prismrec.train(**(usual | {parameter: value})))


BULK = {"k": 10, "seen": False, "unknown": None, "columns": ()}


@pytest.mark.parametrize("parameter", [*BULK, "out", "shard", "engine"])
def test_an_odd_argument_of_bulk_lists_is_taken_or_refused_in_one_line(
    run: Run, parameter: str, tmp_path: Path
) -> None:
    usual: dict[str, Any] = {"run": run, "out": tmp_path / "lists.parquet", "request": BulkRequest()}

    def ask(value: Any) -> None:
        given = {"request": BulkRequest(**{parameter: value})} if parameter in BULK else {parameter: value}
        write_recommendations(**(usual | given))

    refuse_or_take(ask)


FILTERS = ["exclude", "candidates", "where", "at_most", "newest", "diversity", "columns"]
QUESTIONS: dict[str, tuple[dict[str, object], Sequence[str]]] = {
    "recommend": ({"users": 1}, ["users", "k", "histories", "unknown", "seen", *FILTERS]),
    "similar": ({"items": 1}, ["items", "k", "by", *FILTERS]),
    "similar_users": ({"users": 1}, ["users", "k"]),
    "score": ({"users": 1, "items": 1}, ["users", "items"]),
    "explain": ({"user": 1, "items": 1}, ["user", "items", "history"]),
    "evaluate": ({"split": "valid"}, ["split", "cutoffs", "mask_valid", "groups"]),
    "save": ({"folder": "/dev/null"}, ["folder"]),
    "load": ({"folder": "/dev/null"}, ["folder"]),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("question", "parameter"), [(name, each) for name, (_, parameters) in QUESTIONS.items() for each in parameters]
)
def test_an_odd_argument_of_a_run_is_taken_or_refused_in_one_line(run: Run, question: str, parameter: str) -> None:
    usual = QUESTIONS[question][0]
    refuse_or_take(lambda value: getattr(run, question)(**(usual | {parameter: value})))


@pytest.mark.parametrize("parameter", ["run", "out", "items", "clicks", "epochs", "dataset"])
def test_an_odd_argument_of_update_is_taken_or_refused_in_one_line(run: Run, tmp_path: Path, parameter: str) -> None:
    usual = {
        "run": run.save(tmp_path / "run"),
        "out": tmp_path / "new",
        "clicks": pl.DataFrame({"user": [0], "item": [1]}),
    }
    refuse_or_take(lambda value: update(**{**usual, parameter: value}))


def test_ids_of_clicks_may_be_numbers(run: Run, tmp_path: Path) -> None:
    saved = run.save(tmp_path / "run")
    numbers = update(saved, tmp_path / "numbers", clicks=pl.DataFrame({"user": [0, 99], "item": [1, 2]}))
    texts = update(saved, tmp_path / "texts", clicks=pl.DataFrame({"user": ["0", "99"], "item": ["1", "2"]}))
    assert numbers.users.ids.to_list() == texts.users.ids.to_list()
    assert torch.equal(numbers.embeddings.users, texts.embeddings.users)


@pytest.mark.parametrize(
    ("clicks", "message"),
    [
        ({"user": [0]}, "columns user; expected columns user and item"),
        ({"user": [0.5], "item": [1]}, "column 'user' of type Float64; expected ids as text or whole numbers"),
        ({"user": ["0", None], "item": ["1", "2"]}, "no user in row 1; expected an id in each row"),
    ],
)
def test_clicks_without_ids_are_refused(
    run: Run, tmp_path: Path, clicks: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        update(run.save(tmp_path / "run"), tmp_path / "new", clicks=pl.DataFrame(clicks))


@pytest.mark.parametrize("parameter", ["run", "dataset", "out"])
def test_an_odd_argument_of_refit_is_taken_or_refused_in_one_line(
    run: Run, data: Dataset, tmp_path: Path, parameter: str
) -> None:
    refuse_or_take(lambda value: refit(**{"run": run, "dataset": data, "out": tmp_path / "new", parameter: value}))


@pytest.mark.parametrize("parameter", ["runs", "metrics", "split"])
def test_an_odd_argument_of_compare_runs_is_taken_or_refused_in_one_line(run: Run, parameter: str) -> None:
    refuse_or_take(lambda value: compare_runs(**{"runs": [run, run], parameter: value}))


ENCODE = ["source", "text", "image", "encoders", "name", "normalise", "file_format", "device", "workers", "item_column"]


@pytest.mark.parametrize("parameter", ENCODE)
def test_an_odd_argument_of_encode_is_taken_or_refused_in_one_line(parameter: str, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    pl.DataFrame({"item_id": ["a", "b"], "title": ["red mug", "blue lamp"]}).write_csv(tmp_path / "shop" / "items.csv")
    usual: dict[str, Any] = {"source": "shop", "text": ["title"], "encoders": {"text": "tfidf"}}
    refuse_or_take(lambda value: prismrec.encode(**(usual | {parameter: value})))


@pytest.mark.parametrize("ids", [torch.tensor([1, 2, 1]), [torch.tensor(1), torch.tensor(2), torch.tensor(1)]])
def test_scalars_of_pytorch_are_ids(ids: object) -> None:
    assert len(prismrec.dataset({"user": ids, "item": ["a", "b", "a"]}).users) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Settings(seed=2**64), "seed: found 18446744073709551616; expected less than 18446744073709551616"),
        (lambda: Settings(epochs=2.5), "epochs: found 2.5; expected a valid integer"),
        (lambda: Settings(patience="never"), "^patience: found 'never'; expected a valid integer.* or 'auto'$"),
        (lambda: Settings(epoch=3), "epoch: found no such parameter; expected one of seed, epochs, patience"),
        (lambda: prismrec.MODELS["LGMRec"].Config(layers=-1), "layers|item_layers: found -1"),
        (lambda: prismrec.MODELS["MF-BPR"].Config(depth=1), "depth: found no such hyperparameter; expected one of"),
        (
            lambda: prismrec.MODELS["SHT"].Config(embedding_size=6, heads=4),
            "SHTConfig: found embedding_size 6 is not a multiple of heads 4; expected hyperparameters that fit",
        ),
        (lambda: ShopConfig(users=100, interactions=499), r"interactions: found 499; expected 500\.\.22500"),
    ],
)
def test_typed_parameters_are_refused_in_one_line_when_they_are_made(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
