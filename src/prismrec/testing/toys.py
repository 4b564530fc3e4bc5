"""Small data with known properties."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from prismrec.types import Interactions, Triplets

NUM_USERS, NUM_ITEMS = 23, 17
"""No two of U, I, U + I, the feature widths and the embedding size are equal, so that a swapped axis fails."""
ISOLATED_USER, ISOLATED_ITEM = 5, 11
_WIDTHS = {"visual": 9, "text": 7, "sound": 5}


class Taste(NamedTuple):
    """Data in which users have a taste that can be learned."""

    train: Interactions
    test: Interactions
    features: dict[str, Tensor]


def toy_interactions(seed: int = 0, users: int = NUM_USERS, items: int = NUM_ITEMS) -> Interactions:
    """About four items per user; one user and one item have none."""
    rng = np.random.default_rng(seed)
    pairs = rng.random((users, items)) < 4 / items
    pairs[ISOLATED_USER] = False
    pairs[:, ISOLATED_ITEM] = False
    pairs[0, 0] = True
    user_numbers, item_numbers = np.nonzero(pairs)
    return Interactions.from_pairs(user_numbers, item_numbers, users, items)


def toy_features(modalities: int, items: int = NUM_ITEMS) -> dict[str, Tensor]:
    """Normal features of up to three modalities, `[I, F_m]` each."""
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(items, _WIDTHS[name], generator=generator) for name in list(_WIDTHS)[:modalities]}


def toy_batch(train: Interactions, size: int = 8) -> Triplets:
    """Random triplets, with repeated users and items."""
    rng = np.random.default_rng(2)
    pairs = rng.integers(0, len(train), size)
    users = train.users[pairs].astype(np.int64)
    items = train.items[pairs].astype(np.int64)
    everything = np.arange(train.num_items)
    negatives = [rng.choice(np.setdiff1d(everything, train.items_of(user))) for user in users]
    return Triplets(torch.from_numpy(users), torch.from_numpy(items), torch.tensor(negatives, dtype=torch.int64))


def grouped_taste(seed: int) -> Taste:
    """120 users and 90 items of 6 kinds. Each user likes one kind: 4 of its items are for training, 4 for test.

    The features reveal the kind of an item.
    """
    rng = np.random.default_rng(seed)
    kinds, tastes = np.arange(90) % 6, np.arange(120) % 6
    train, test = [], []
    for user, taste in enumerate(tastes):
        liked = rng.permutation(np.flatnonzero(kinds == taste))
        train += [(user, item) for item in liked[:4]]
        test += [(user, item) for item in liked[4:8]]
    features = {
        name: torch.from_numpy((np.eye(6)[kinds] + 0.3 * rng.standard_normal((90, 6))).astype(np.float32))
        for name in ("visual", "text")
    }
    return Taste(_interactions(train), _interactions(test), features)


def _interactions(pairs: list[tuple[int, int]]) -> Interactions:
    columns = np.array(pairs)
    return Interactions.from_pairs(columns[:, 0], columns[:, 1], 120, 90)


def vector_taste(seed: int, *, informative: bool) -> Taste:
    """80 users, each with a direction, who like the 12 nearest of 100 items: 4 are for training, 8 for test.

    The clicks alone reveal little. The features reveal nearly everything if `informative`; otherwise they are shuffled.
    """
    rng = np.random.default_rng(seed)
    items, tastes = rng.standard_normal((100, 6)), rng.standard_normal((80, 6))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    liked = rng.permuted(np.argsort(-tastes @ items.T, axis=1)[:, :12], axis=1)  # [80, 12]
    shown = items if informative else rng.permutation(items)
    features = {
        name: torch.from_numpy((shown + 0.1 * rng.standard_normal(shown.shape)).astype(np.float32))
        for name in ("visual", "text")
    }
    train = Interactions.from_pairs(np.repeat(np.arange(80), 4), liked[:, :4].ravel(), 80, 100)
    test = Interactions.from_pairs(np.repeat(np.arange(80), 8), liked[:, 4:].ravel(), 80, 100)
    return Taste(train, test, features)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Build everything inside the block in this floating-point type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
