from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from prismrec.data import Dataset
from prismrec.types import Interactions, Vocabulary


def dataset(**changes):
    def pairs(*pairs):
        return Interactions.from_pairs(*zip(*pairs, strict=True), 2, 3)

    parts = {
        "name": "shop",
        "train": pairs((0, 0), (1, 1)),
        "valid": pairs((0, 1)),
        "test": pairs((1, 2)),
        "features": {"image": np.arange(6, dtype=np.float32).reshape(3, 2)},
        "present": {"image": np.ones(3, dtype=bool)},
        "users": Vocabulary(["a", "b"], "user"),
        "items": Vocabulary(["x", "y", "z"], "item"),
    }
    return Dataset(**parts | changes)


def test_the_fingerprint_follows_content_and_not_names():
    first = dataset().fingerprint
    assert len(first) == 64
    assert dataset(name="other", notes=("read twice",)).fingerprint == first
    one = dataset()
    changes = [
        {"train": one.valid, "valid": one.train},
        {"users": Vocabulary(["a", "c"], "user")},
        {"items": Vocabulary(["x", "y", "w"], "item")},
        {"features": {"image": np.zeros((3, 2), np.float32)}},
        {"features": {"text": one.features["image"]}, "present": {"text": one.present["image"]}},
        {"present": {"image": np.array([True, False, True])}},
        {"features": {}, "present": {}},
    ]
    prints = [dataset(**change).fingerprint for change in changes]
    assert len({first, *prints}) == len(changes) + 1


def test_ids_that_differ_only_in_where_they_are_cut_differ_in_fingerprint():
    one = dataset(users=Vocabulary(["ab", "c"], "user"))
    other = dataset(users=Vocabulary(["a", "bc"], "user"))
    assert one.fingerprint != other.fingerprint


def test_a_notebook_shows_one_line():
    assert repr(dataset()) == "<Dataset shop: 2 users, 3 items, 2 + 1 + 1 interactions, image [2]>"


def test_features_cannot_be_exchanged():
    with pytest.raises(TypeError):
        dataset().features["image"] = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": {"image": np.zeros((4, 2), np.float32)}}, "for 3 items"),
        ({"present": {}}, "beside presence of"),
        ({"users": Vocabulary(["a"], "user")}, "a split of 2 × 3"),
        ({"catalog": pl.DataFrame({"item_id": ["x"]})}, "a catalog of 1 rows"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(dataset(), **changes)
