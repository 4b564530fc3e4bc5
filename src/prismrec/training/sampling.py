"""Which triplets a model sees: every step without a Python loop, on the model's device."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from prismrec.types import Interactions, Triplets

SamplerName = Literal["interaction", "user"]

_PAIRS_AHEAD = 1 << 16
"""Triplets drawn at once, where batches are smaller: what the drawing reads then stays within a core's cache."""


class Sampler:
    """Batches of (user, positive, negative) for one epoch after another.

    - `interaction`: every training pair once per epoch, shuffled; one negative per pair, uniform over the items that
      occur in training and are not the user's (the last batch may be short).
    - `user`: B users at a time, uniformly and without repetition as far as there are B; one of the user's items;
      one negative, uniform over all items that are not the user's. ⌊E / B⌋ + 1 batches per epoch.

    Users who have every candidate item have no negative and are left out.
    """

    def __init__(self, train: Interactions, name: SamplerName, batch_size: int, device: torch.device) -> None:
        self.name, self.batch_size, self.device = name, batch_size, device
        self._negatives = _Negatives(train, device, among_all=name == "user")
        has_negative = self._negatives.free_items > 0
        self._offsets = torch.as_tensor(train.offsets, device=device)
        self._degrees = self._offsets.diff()
        self._items = torch.as_tensor(train.items, device=device)
        pair_users = torch.as_tensor(train.users, device=device)
        self._pairs = has_negative[pair_users].nonzero().squeeze(1)  # positions of usable pairs
        self._pair_users = pair_users
        self._users = (has_negative & (self._degrees > 0)).nonzero().squeeze(1)

    @property
    def batches_per_epoch(self) -> int:
        """How many batches `epoch` yields."""
        pairs = len(self._pairs)
        if self.name == "interaction":
            return -(-pairs // self.batch_size)
        return pairs // self.batch_size + 1 if pairs else 0

    def epoch(self, generator: torch.Generator) -> Iterator[Triplets]:
        """The batches of one epoch; `generator` lives on the sampler's device and determines them all."""
        if self.name == "interaction":
            order = self._pairs[torch.randperm(len(self._pairs), generator=generator, device=self.device)]
            for pairs in order.split(self.batch_size * max(1, _PAIRS_AHEAD // self.batch_size)):
                yield from self._triplets(self._pair_users[pairs].long(), pairs, generator).split(self.batch_size)
            return
        for _ in range(self.batches_per_epoch):
            users = self._users[self._draw_users(generator)]
            steps = torch.rand(len(users), generator=generator, device=self.device, dtype=torch.float64)
            yield self._triplets(users, self._offsets[users] + (steps * self._degrees[users]).long(), generator)

    def _draw_users(self, generator: torch.Generator) -> Tensor:
        count = len(self._users)
        if self.batch_size > count:
            return torch.randint(count, (self.batch_size,), generator=generator, device=self.device)
        return torch.randperm(count, generator=generator, device=self.device)[: self.batch_size]

    def _triplets(self, users: Tensor, pairs: Tensor, generator: torch.Generator) -> Triplets:
        return Triplets(users, self._items[pairs].long(), self._negatives.draw(users, generator))


class _Negatives:
    """Uniform negatives without rejection: the r-th candidate that a user lacks is found by one binary search.

    Let p_0 < p_1 < ... be the places of the user's items among the C candidates. Exactly #{k: p_k - k <= r} of them
    precede the r-th missing candidate, so it stands at place r + that count. All users share one sorted array.
    """

    def __init__(self, train: Interactions, device: torch.device, *, among_all: bool) -> None:
        candidates = np.arange(train.num_items) if among_all else np.flatnonzero(train.item_degrees)
        place_of = np.zeros(train.num_items, dtype=np.int64)
        place_of[candidates] = np.arange(len(candidates))
        rank_in_user = np.arange(len(train)) - train.offsets[train.users]
        gaps = place_of[train.items] - rank_in_user  # non-decreasing within a user
        self._stride = len(candidates) + 1
        self._keys = torch.as_tensor(train.users * np.int64(self._stride) + gaps, device=device)
        self._candidates = torch.as_tensor(candidates, device=device)
        self._offsets = torch.as_tensor(train.offsets, device=device)
        self.free_items = len(candidates) - self._offsets.diff()
        """Candidates that each user lacks, `[U]`."""

    def draw(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """One negative for each of `users`, item numbers `[B]`."""
        uniform = torch.rand(len(users), generator=generator, device=users.device, dtype=torch.float64)
        missing = (uniform * self.free_items[users]).long()
        # In order, the searches read their way through the keys instead of jumping about in them.
        ascending, order = (users * self._stride + missing).sort()
        found = torch.searchsorted(self._keys, ascending, right=True)
        before = torch.empty_like(found).index_copy_(0, order, found) - self._offsets[users]
        return self._candidates[missing + before]
