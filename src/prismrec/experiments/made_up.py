"""Made-up data of any size with the long tails of real shops, for measurements of speed and memory."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.types import FloatArray, Interactions, Vocabulary

Int64Array = npt.NDArray[np.int64]

_TAIL = 0.7
"""The r-th most active user and the r-th most popular item have weight (r + 10) ** -0.7: a Gini index of about 0.5."""
_HELD_OUT = 8
"""One validation and one test pair for so many training pairs."""


def made_up(users: int, items: int, pairs: int, widths: Mapping[str, int], seed: int = 0, *, alike: int = 1) -> Dataset:
    """Random pairs with power-law activity and popularity, and random features.

    Every user and every item has a training pair. There is nothing to be learned.

    Args:
        users: U.
        items: I.
        pairs: training pairs, exactly; validation and test get an eighth of that each.
        widths: modality to F_m.
        seed: of everything.
        alike: items per group of similar features, as a catalogue's pictures and texts have them; 1: none are similar.

    Raises:
        InputError: so many users, items and pairs do not go together.
    """
    total = pairs + 2 * (pairs // _HELD_OUT)
    if min(users, items) < 1 or max(users, items) > pairs or total > users * items // 4:
        found = f"{users} users, {items} items, {pairs} pairs"
        raise InputError("size", found, "a pair for each user and item, and at most a fifth of all pairs")
    rng = np.random.default_rng(seed)
    user_keys, item_keys = rng.permutation(users), rng.permutation(items)
    longest = np.arange(max(users, items))
    needed = user_keys[longest % users] * np.int64(items) + item_keys[longest % items]  # each user and item once
    others = _draw(total - len(needed), users, items, needed, rng)
    train, valid, test = np.split(np.concatenate([needed, others]), [pairs, pairs + pairs // _HELD_OUT])
    return Dataset(
        name=f"made-up-{pairs}",
        train=_interactions(train, users, items),
        valid=_interactions(valid, users, items),
        test=_interactions(test, users, items),
        features=random_features(items, widths, seed, alike=alike),
        present={name: np.ones(items, dtype=np.bool_) for name in widths},
        users=_numbers(users, "user"),
        items=_numbers(items, "item"),
        notes=("Made up at random.",),
    )


def random_features(items: int, widths: Mapping[str, int], seed: int = 0, *, alike: int = 1) -> dict[str, FloatArray]:
    """Normal numbers, float32 `[I, F_m]` for each modality; grouped around twice as large centres if `alike` > 1."""
    rng = np.random.default_rng([seed, items])
    features = {name: rng.standard_normal((items, width), dtype=np.float32) for name, width in widths.items()}
    if alike == 1:
        return features
    groups = -(-items // alike)
    of_item = rng.integers(0, groups, items)
    centres = {name: rng.standard_normal((groups, width), dtype=np.float32) for name, width in widths.items()}
    return {name: np.float32(0.5) * matrix + centres[name][of_item] for name, matrix in features.items()}


def _draw(count: int, users: int, items: int, taken: Int64Array, rng: np.random.Generator) -> Int64Array:
    """So many distinct pairs, as user * I + item, none of them taken, in random order."""
    bounds = [np.cumsum((np.arange(size) + 10.0) ** -_TAIL) for size in (users, items)]
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < count:
        more = (count - len(drawn)) * 5 // 4 + 16
        some_users, some_items = (np.searchsorted(each, rng.random(more) * each[-1], side="right") for each in bounds)
        drawn = np.setdiff1d(np.concatenate([drawn, some_users * np.int64(items) + some_items]), taken)
    return rng.permutation(drawn)[:count]


def _interactions(keys: Int64Array, users: int, items: int) -> Interactions:
    return Interactions.from_pairs(*np.divmod(keys, items), users, items)


def _numbers(count: int, kind: str) -> Vocabulary:
    return Vocabulary(pl.Series(np.arange(count)).cast(pl.String), kind)
