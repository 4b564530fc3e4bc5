"""Sampling of training triplets on the device of the model, without a Python loop over pairs."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.models.base import SamplerName
from prismrec.types import Interactions, Triplets

_TRIPLETS_AT_ONCE = 1 << 16
"""Smaller batches are drawn together, about this number of triplets at once. Drawing then stays in a core's cache."""


class Sampler:
    """Batches of (user, positive, negative), one epoch after another.

    - `interaction`: every training pair once per epoch, shuffled. Each pair gets one negative, uniform over the items
      that occur in training and are not the user's. The last batch may be short.
    - `user`: B uniform users at a time, distinct unless there are fewer than B. Each gets one of its items, and one
      negative, uniform over all items that are not the user's. An epoch has ⌊E / B⌋ + 1 batches.

    Users without a possible negative are left out, and E counts the pairs of the other users.
    """

    def __init__(self, train: Interactions, name: SamplerName, batch_size: int, device: torch.device) -> None:
        """Prepare the arrays from which batches are drawn.

        Args:
            train: the training interactions.
            name: which of the two samplers.
            batch_size: B.
            device: where the arrays and the batches are.

        Raises:
            InputError: no user has both a training item and a possible negative.
        """
        self.name = name
        self.batch_size = batch_size
        self.device = device
        self._negatives = _Negatives(train, device, among_all=name == "user")
        has_negative = self._negatives.free_items > 0
        self._offsets = torch.as_tensor(train.offsets, device=device)
        self._degrees = self._offsets.diff()
        self._items = torch.as_tensor(train.items, device=device)
        self._pair_users = torch.as_tensor(train.users, device=device)
        self._pairs = has_negative[self._pair_users].nonzero().squeeze(1)  # positions of the pairs to use
        self._users = (has_negative & (self._degrees > 0)).nonzero().squeeze(1)
        if not len(self._pairs):
            found = f"{len(train)} interactions of {train.num_users} users with {train.num_items} items"
            expected = "a user who has interacted with some of the items, but not with all"
            raise InputError("training interactions", found, expected)

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches of `epoch`."""
        if self.name == "interaction":
            return -(-len(self._pairs) // self.batch_size)
        return len(self._pairs) // self.batch_size + 1

    def epoch(self, generator: torch.Generator) -> Iterator[Triplets]:
        """The batches of one epoch, a function of `generator`, which is on the sampler's device."""
        if self.name == "interaction":
            order = self._pairs[torch.randperm(len(self._pairs), generator=generator, device=self.device)]
            for pairs in order.split(self.batch_size * max(1, _TRIPLETS_AT_ONCE // self.batch_size)):
                yield from self._triplets(self._pair_users[pairs].long(), pairs, generator).split(self.batch_size)
            return
        for _ in range(self.batches_per_epoch):
            users = self._users[self._draw_users(generator)]  # [B]
            uniform = torch.rand(len(users), generator=generator, device=self.device, dtype=torch.float64)
            pairs = self._offsets[users] + (uniform * self._degrees[users]).long()  # one pair of each user [B]
            yield self._triplets(users, pairs, generator)

    def _draw_users(self, generator: torch.Generator) -> Tensor:
        """Positions in `_users`, int64 `[B]`."""
        count = len(self._users)
        if self.batch_size > count:
            return torch.randint(count, (self.batch_size,), generator=generator, device=self.device)
        return torch.randperm(count, generator=generator, device=self.device)[: self.batch_size]

    def _triplets(self, users: Tensor, pairs: Tensor, generator: torch.Generator) -> Triplets:
        """Triplets of users `[B]` and positions of their pairs `[B]`."""
        return Triplets(users, self._items[pairs].long(), self._negatives.draw(users, generator))


class _Negatives:
    """Uniform negatives without rejection: a binary search finds the r-th candidate (from 0) that a user lacks.

    Let p_0 < p_1 < … be the positions of the user's items among the C candidates. Exactly #{k: p_k - k <= r} of them
    precede the r-th missing candidate, so its position is r plus that number. All users share one sorted array.
    """

    def __init__(self, train: Interactions, device: torch.device, *, among_all: bool) -> None:
        candidates = np.arange(train.num_items) if among_all else np.flatnonzero(train.item_degrees)
        position_of = np.zeros(train.num_items, dtype=np.int64)
        position_of[candidates] = np.arange(len(candidates))
        rank_in_user = np.arange(len(train)) - train.offsets[train.users]
        gaps = position_of[train.items] - rank_in_user  # ascending within a user
        self._stride = len(candidates) + 1
        self._keys = torch.as_tensor(train.users * np.int64(self._stride) + gaps, device=device)
        self._candidates = torch.as_tensor(candidates, device=device)
        self._offsets = torch.as_tensor(train.offsets, device=device)
        self.free_items = len(candidates) - self._offsets.diff()
        """Number of candidates that each user lacks, `[U]`."""

    def draw(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """One negative for each of `users`, item numbers `[B]`."""
        uniform = torch.rand(len(users), generator=generator, device=users.device, dtype=torch.float64)
        missing = (uniform * self.free_items[users]).long()
        # Searches in ascending order read the keys in order instead of jumping between them.
        ascending, order = (users * self._stride + missing).sort()
        found = torch.searchsorted(self._keys, ascending, right=True)  # [B], in ascending order
        before = torch.empty_like(found).index_copy_(0, order, found) - self._offsets[users]  # #{k: p_k - k <= r}
        return self._candidates[missing + before]
