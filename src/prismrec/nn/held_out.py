"""How well embeddings rank training interactions that were held out: a model's own validation split."""

import numpy as np
import torch
from torch import Tensor

from prismrec.ops import block_entries
from prismrec.types import Interactions

_CUTOFF = 20
"""Length of the lists."""
_MOST_USERS = 8192
"""The largest number of users who are scored."""
_BLOCK_ENTRIES = 1 << 22
"""Scores held at once on a CPU, 16 MB in float32."""


def hold_out(train: Interactions, share: float) -> tuple[Interactions, Interactions]:
    """Split training interactions at random, with a fixed seed: those to learn from, and those to rank.

    Args:
        train: the training interactions.
        share: the share of interactions that are held out.
    """
    held = np.random.default_rng(0).random(len(train)) < share
    return _subset(train, ~held), _subset(train, held)


def _subset(train: Interactions, chosen: np.ndarray) -> Interactions:
    return Interactions(train.users[chosen], train.items[chosen], train.num_users, train.num_items)


class HeldOutRanking:
    """NDCG@20 of held-out interactions, over all items that a user has not seen.

    Only users with other interactions are scored, and at most 8,192 of them.
    """

    def __init__(self, kept: Interactions, held: Interactions) -> None:
        """Prepare the lists.

        Args:
            kept: the interactions that the embeddings were computed from.
            held: the interactions to rank.
        """
        users = np.flatnonzero((held.user_degrees > 0) & (kept.user_degrees > 0))
        if len(users) > _MOST_USERS:
            users = np.sort(np.random.default_rng(0).choice(users, _MOST_USERS, replace=False))
        self.users = torch.from_numpy(users)
        self._seen = kept.csr[users]
        self._wanted = held.csr[users]
        discounts = 1 / np.log2(np.arange(2, _CUTOFF + 2))
        lengths = np.minimum(held.user_degrees[users], _CUTOFF)
        self._ideal = torch.from_numpy(np.concatenate([[0.0], discounts.cumsum()])[lengths])  # [n]
        self._discounts = torch.from_numpy(discounts)

    def __call__(self, users: Tensor, items: Tensor) -> float:
        """The mean over users; 0 without held-out interactions.

        Args:
            users: `[U, d]`.
            items: `[I, d]`.
        """
        if not len(self.users):
            return 0.0
        rows = max(1, block_entries(items, _BLOCK_ENTRIES) // len(items))
        gains = [
            self._gains(users, items, slice(start, start + rows)) for start in range(0, len(self.users), rows)
        ]
        return float((torch.cat(gains) / self._ideal).mean())

    def _gains(self, users: Tensor, items: Tensor, block: slice) -> Tensor:
        """DCG@20 of some of the users `[n]`."""
        scores = users[self.users[block].to(users.device)] @ items.T  # [n, I]
        scores[_positions(self._seen[block], scores)] = -torch.inf
        best = scores.topk(min(_CUTOFF, len(items)), 1).indices  # [n, 20]
        wanted = torch.zeros_like(scores)
        wanted[_positions(self._wanted[block], scores)] = 1
        hits = wanted.gather(1, best).double().cpu()
        return hits @ self._discounts[: hits.shape[1]]


def _positions(matrix, like: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = matrix.nonzero()
    return torch.from_numpy(rows).long().to(like.device), torch.from_numpy(columns).long().to(like.device)
