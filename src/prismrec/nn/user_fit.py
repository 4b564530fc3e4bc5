"""User vectors that explain the histories best, for given item vectors: a convex problem for each user."""

import torch
from torch import Tensor

from prismrec.ops.eigen import Operator
from prismrec.types import Embeddings

STEPS = 6
"""Newton steps along the preconditioned gradient; further steps change recall by less than 1 %."""
_MOST_SCORES = 2**29
"""Largest number of scores in a step. Above it, the softmax is estimated from a sample of the items."""
_LEAST_ITEMS = 1024
_SCORES_AT_A_TIME = 2**22


def fit_users(items: Tensor, offset: Tensor, counts: Tensor, sum_histories: Operator, steps: int = STEPS) -> Embeddings:
    """The users [z_u, 1] `[U, d + 1]` and the items [a_i, b_i] `[I, d + 1]`.

    z_u minimises n_u ln Σ_j exp(b_j + <z_u, a_j>) - Σ_{i ∈ h_u} <z_u, a_i> + ½ ‖z_u‖²: docs/prism.md, equation (9).
    This is the negative logarithm of the posterior of z_u, if the n_u items of the history h_u are draws from the
    softmax of b + A z_u, and z_u has a standard normal prior. The steps are taken in the eigenbasis of the covariance
    of the items at z = 0, whose Hessian is the preconditioner.

    Args:
        items: the item vectors a, `[I, d]`.
        offset: b, the score of each item for a user without a history, `[I]`.
        counts: n, the number of items in each history, `[U]`.
        sum_histories: maps x `[I, c]` to the sums of its rows over the histories, `[U, c]`.
        steps: number of steps.
    """
    weights = torch.softmax(offset, 0).unsqueeze(1)  # [I, 1]
    centred = items - (weights * items).sum(0)  # [I, d]; the softmax does not change
    variances, basis = torch.linalg.eigh(centred.T @ (weights * centred))  # [d], [d, d]
    rotated = centred @ basis  # [I, d]
    sums = sum_histories(rotated)  # [U, d]
    rows = _sample(len(items), len(sums), items.device)
    among = rotated[rows]  # [S, d]
    offset_among = offset[rows]  # [S]
    counts = counts.to(sums).unsqueeze(1)  # [U, 1]
    found = torch.ones(len(sums), items.shape[1] + 1).to(sums)  # [U, d + 1]
    size = max(1, _SCORES_AT_A_TIME // len(rows))
    for start in range(0, len(sums), size):
        block = slice(start, start + size)
        users = _minimise(among, offset_among, counts[block], sums[block], variances, steps)
        found[block, :-1] = users @ basis.T
    return Embeddings(found, torch.cat([items, offset.unsqueeze(1)], 1))


def _minimise(items: Tensor, offset: Tensor, counts: Tensor, sums: Tensor, variances: Tensor, steps: int) -> Tensor:
    """The vectors of a block of n users `[n, d]`: each step ends where the second-order expansion along it is least."""
    users = torch.zeros_like(sums)  # [n, d]
    scores = offset.expand(len(sums), -1)  # [n, S]
    hessian = counts * variances.clamp(min=0) + 1  # [n, d], at the start
    for _ in range(steps):
        chances = torch.softmax(scores, 1)  # [n, S]
        gradient = counts * (chances @ items) - sums + users  # [n, d]
        direction = -gradient / hessian  # [n, d]
        change = direction @ items.T  # [n, S]
        mean = (chances * change).sum(1, keepdim=True)  # [n, 1], as the following
        variance = (chances * change.square()).sum(1, keepdim=True) - mean.square()
        curvature = counts * variance.clamp(min=0) + direction.square().sum(1, keepdim=True)
        slope = (gradient * direction).sum(1, keepdim=True)
        length = torch.where(curvature > 0, -slope / curvature, 0.0)
        users = users + length * direction
        scores = scores + length * change
    return users


def _sample(num_items: int, num_users: int, device: torch.device) -> Tensor:
    """The items over which the softmax is taken: all, or as many as the limit of scores allows, int64 `[S]`."""
    size = max(_LEAST_ITEMS, _MOST_SCORES // max(1, num_users))
    if size >= num_items:
        return torch.arange(num_items, device=device)
    order = torch.randperm(num_items, generator=torch.Generator().manual_seed(0))
    return order[:size].sort().values.to(device)
