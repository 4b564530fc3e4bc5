"""Random data of any size with the long tails of real shops, for measurements of speed and memory."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.types import FloatArray, Interactions, Vocabulary

Int64Array = npt.NDArray[np.int64]

_TAIL = 0.7
"""The r-th most active user and the r-th most popular item are drawn with weight (r + 10) ** -0.7. The Gini index of
their degrees is about 0.5."""
_TRAIN_PER_HELD_OUT = 8
"""Training pairs per validation pair, and per test pair."""


def random_dataset(
    users: int, items: int, pairs: int, widths: Mapping[str, int], seed: int = 0, *, duplicates: int = 1
) -> Dataset:
    """Random pairs with power-law activity and popularity, and random features. There is nothing to learn.

    Args:
        users: U.
        items: I.
        pairs: number of training pairs. The validation and test splits have an eighth of it each. Every user and every
            item has a training pair.
        widths: modality to F_m.
        seed: seed of all random numbers.
        duplicates: items per group of similar features; 1 means no similar items.

    Raises:
        InputError: the numbers of users, items and pairs do not fit together.
    """
    held_out = pairs // _TRAIN_PER_HELD_OUT
    total = pairs + 2 * held_out
    if min(users, items) < 1 or max(users, items) > pairs or total > users * items // 4:
        found = f"{users} users, {items} items, {pairs} pairs"
        expected = "at least as many pairs as users and as items, and at most a fifth of users × items"
        raise InputError("size", found, expected)
    rng = np.random.default_rng(seed)
    user_order = rng.permutation(users)
    item_order = rng.permutation(items)
    positions = np.arange(max(users, items))
    # Every user and every item occurs in a required pair.
    required = user_order[positions % users] * np.int64(items) + item_order[positions % items]
    others = _draw(total - len(required), users, items, required, rng)
    train, valid, test = np.split(np.concatenate([required, others]), [pairs, pairs + held_out])
    return Dataset(
        name=f"random-{pairs}",
        train=_interactions(train, users, items),
        valid=_interactions(valid, users, items),
        test=_interactions(test, users, items),
        features=random_features(items, widths, seed, duplicates=duplicates),
        present={name: np.ones(items, dtype=np.bool_) for name in widths},
        users=_numbers(users, "user"),
        items=_numbers(items, "item"),
        notes=("Random data.",),
    )


def random_features(
    items: int, widths: Mapping[str, int], seed: int = 0, *, duplicates: int = 1
) -> dict[str, FloatArray]:
    """Normal features, float32 `[I, F_m]` per modality.

    With `duplicates` above 1, items form groups. The features of an item are a normal centre of its group plus half of
    its own normal features.
    """
    rng = np.random.default_rng([seed, items])
    features = {name: rng.standard_normal((items, width), dtype=np.float32) for name, width in widths.items()}
    if duplicates == 1:
        return features
    groups = -(-items // duplicates)
    group_of_item = rng.integers(0, groups, items)
    centres = {name: rng.standard_normal((groups, width), dtype=np.float32) for name, width in widths.items()}
    return {name: np.float32(0.5) * matrix + centres[name][group_of_item] for name, matrix in features.items()}


def _draw(count: int, users: int, items: int, taken: Int64Array, rng: np.random.Generator) -> Int64Array:
    """`count` distinct pairs in random order, as user * I + item, none of them in `taken`."""
    user_bounds = np.cumsum((np.arange(users) + 10.0) ** -_TAIL)
    item_bounds = np.cumsum((np.arange(items) + 10.0) ** -_TAIL)
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < count:
        more = (count - len(drawn)) * 5 // 4 + 16
        some_users = np.searchsorted(user_bounds, rng.random(more) * user_bounds[-1], side="right")
        some_items = np.searchsorted(item_bounds, rng.random(more) * item_bounds[-1], side="right")
        drawn = np.setdiff1d(np.concatenate([drawn, some_users * np.int64(items) + some_items]), taken)
    return rng.permutation(drawn)[:count]


def _interactions(keys: Int64Array, users: int, items: int) -> Interactions:
    user_numbers, item_numbers = np.divmod(keys, items)
    return Interactions.from_pairs(user_numbers, item_numbers, users, items)


def _numbers(count: int, kind: str) -> Vocabulary:
    return Vocabulary(pl.Series(np.arange(count)).cast(pl.String), kind)
