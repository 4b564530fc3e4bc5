from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from prismrec.errors import InputError
from prismrec.records import Settings
from prismrec.runs import Manifest, Run
from prismrec.types import Embeddings, Interactions, Vocabulary

USERS, ITEMS = 30, 12


def vocabulary(letter: str, count: int, kind: str) -> Vocabulary:
    return Vocabulary(pl.Series([f"{letter}{number:02d}" for number in range(count)]), kind)


@pytest.fixture(scope="module")
def run() -> Run:
    """Random embeddings; every user has two training items, one validation item and one test item."""
    rng = np.random.default_rng(0)
    items = rng.permuted(np.tile(np.arange(ITEMS), (USERS, 1)), axis=1)  # [U, I]
    users = np.arange(USERS)
    manifest = Manifest(
        model="none",
        config={},
        settings=Settings(),
        data="random",
        fingerprint="",
        notes=(),
        modalities={},
        versions={},
    )
    return Run(
        folder=None,
        manifest=manifest,
        embeddings=Embeddings(
            torch.from_numpy(rng.standard_normal((USERS, 4), dtype=np.float32)),
            torch.from_numpy(rng.standard_normal((ITEMS, 4), dtype=np.float32)),
        ),
        users=vocabulary("u", USERS, "user"),
        items=vocabulary("i", ITEMS, "item"),
        train=Interactions.from_pairs(np.repeat(users, 2), items[:, :2].ravel(), USERS, ITEMS),
        valid=Interactions.from_pairs(users, items[:, 2], USERS, ITEMS),
        test=Interactions.from_pairs(users, items[:, 3], USERS, ITEMS),
        catalog=pl.DataFrame({"title": [f"Item {number}" for number in range(ITEMS)], "rank": [0] * ITEMS}),
        history=(),
    )


def test_recommendations_are_new_to_the_user_and_sorted_and_have_the_columns_of_the_catalog(run: Run) -> None:
    table = run.recommend("u05", k=7)
    seen = {run.items.id(item) for part in (run.train, run.valid, run.test) for item in part.items_of(5)}
    assert len(seen) == 4
    assert not seen & set(table["item"])
    assert table.columns == ["rank", "item", "score", "title", "item_rank"]  # rank is that of the list
    assert table["rank"].to_list() == list(range(1, 8))
    assert table["score"].is_sorted(descending=True)
    assert table["title"].to_list() == [f"Item {int(item[1:])}" for item in table["item"]]


def test_the_lists_of_all_users_contain_those_of_each_user(run: Run) -> None:
    table = run.recommend(k=7)
    assert table["user"].n_unique() == USERS
    listed, single = table.filter(pl.col("user") == "u05"), run.recommend("u05", k=7)
    assert listed["item"].to_list() == single["item"].to_list()
    assert listed["score"].to_list() == pytest.approx(single["score"].to_list(), rel=1e-5)  # products round by shape


def test_a_list_ends_when_no_new_item_is_left(run: Run) -> None:
    assert len(run.recommend("u00", k=10_000)) == ITEMS - 4


def test_an_unknown_user_is_refused_with_an_example(run: Run) -> None:
    with pytest.raises(InputError, match=r"user id: found 'nobody'; expected one of 30 known ids, such as"):
        run.recommend("nobody")


def test_an_impossible_list_length_is_refused(run: Run) -> None:
    with pytest.raises(InputError, match="k: found 0"):
        run.recommend("u00", k=0)


def test_an_evaluation_masks_training_items_and_on_request_validation_items(run: Run) -> None:
    found = run.evaluate("test", cutoffs=[1])["recall@1"]
    masked = run.evaluate("test", cutoffs=[1], mask_valid=True)["recall@1"]
    hits = hits_without_validation = 0
    for user in range(USERS):
        scores = run.embeddings.scores()[user].clone()
        scores[run.train.items_of(user).astype(np.int64)] = -torch.inf
        hits += int(scores.argmax()) in run.test.items_of(user)
        scores[run.valid.items_of(user).astype(np.int64)] = -torch.inf
        hits_without_validation += int(scores.argmax()) in run.test.items_of(user)
    assert found == pytest.approx(hits / USERS)
    assert masked == pytest.approx(hits_without_validation / USERS)
    assert hits < hits_without_validation


def test_a_notebook_shows_one_line(run: Run) -> None:
    """The values of a data set or a run would fill many pages."""
    lines = [repr(each) for each in (run, run.train, run.embeddings, run.evaluate("test"))]
    assert [line for line in lines if "\n" in line or len(line) > 1000] == []
    recall = run.evaluate("test")["recall@20"]
    assert run.manifest.model in lines[0]
    assert f"{len(run.train):,} pairs" in lines[1]
    assert f"'recall@20': {recall:.4f}" in lines[3]


def test_an_unknown_or_empty_split_is_refused(run: Run) -> None:
    with pytest.raises(InputError, match="split: found 'train'"):
        run.evaluate("train")
    none = Interactions.from_pairs([], [], USERS, ITEMS)
    without_test = replace(run, test=none)
    with pytest.raises(InputError, match="no interactions"):
        without_test.evaluate("test")
