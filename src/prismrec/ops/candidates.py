"""Sums over very many candidates, from which InfoNCE and its gradient are computed.

No matrix of anchors × candidates is stored, and no similarity is computed twice. Each block of similarities feeds all
three sums while it is in the cache. For narrow rows, the compiled kernel keeps each similarity in a register.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from prismrec.ops import _kernels
from prismrec.ops.device import block_entries

_BLOCK_ENTRIES = 1 << 19
"""Similarities held at once on a CPU, 2 MB in float32. Narrow products are limited by memory and fit a core's cache."""
_WIDE = 16
"""Rows of this width or wider: their products are limited by arithmetic, and larger blocks are faster."""
_WIDE_BLOCK = 2
"""Size of the blocks of wide rows, relative to those of narrow rows."""
_LEAST_ANCHORS = 16
"""The fewest anchors of a block: each block reads all candidates once."""
_LARGEST_EXPONENT = 40.0
"""Up to this exponent, neither exp(s) nor a sum of very many of them overflows float32."""


class CandidateSums(NamedTuple):
    """Sums for anchors x and candidates y, with e_ac = exp(<x_a, y_c>) and Z_a = exp(o_a) + Σ_c n_c e_ac."""

    log_partition: Tensor  # ln Z [A]
    mean_candidate: Tensor  # Σ_c n_c e_ac y_c / Z_a [A, d]
    grad_candidates: Tensor  # n_c Σ_a m_a e_ac x_a / Z_a [C, d]


def sum_over_candidates(
    anchors: Tensor,
    candidates: Tensor,
    masses: Tensor,
    *,
    may_overflow: bool,
    counts: Tensor | None = None,
    excluded: Tensor | None = None,
    log_others: Tensor | None = None,
) -> CandidateSums:
    """The sums over all candidates.

    Args:
        anchors: x `[A, d]`.
        candidates: y `[C, d]`.
        masses: m `[A]`.
        may_overflow: whether to subtract the maximum before exponentiating, from `exponent_may_overflow`.
        counts: n `[C]`; None means all ones.
        excluded: int64 `[A]`, the candidate that an anchor ignores, or -1.
        log_others: o `[A]`, the logarithm of a further term of Z; None means no further term.
    """
    narrow = anchors.shape[1] <= _kernels.WIDEST_CONTRAST
    if narrow and not may_overflow and _kernels.usable(anchors, candidates, masses):
        others = None if log_others is None else log_others.exp()
        partition, sums, grad = _kernels.contrast(
            anchors, candidates, masses, counts=counts, excluded=excluded, others=others
        )
        return CandidateSums(partition.log(), sums / partition[:, None], grad)
    return _sum_in_blocks(anchors, candidates, masses, may_overflow, counts, excluded, log_others)


def _sum_in_blocks(
    anchors: Tensor,
    candidates: Tensor,
    masses: Tensor,
    may_overflow: bool,
    counts: Tensor | None,
    excluded: Tensor | None,
    log_others: Tensor | None,
) -> CandidateSums:
    """`sum_over_candidates` in plain PyTorch."""
    count = len(anchors)
    columns = candidates.T.contiguous()  # [d, C]
    weighted_sums = _WeightedSums(candidates, counts)
    log_partition = anchors.new_empty(count)
    means = torch.empty_like(anchors)
    grad = torch.zeros_like(columns)  # [d, C]
    size = _block_size(anchors, len(candidates))
    # All blocks share one buffer, which stays in the cache; fresh memory would not.
    buffer = anchors.new_empty(size, len(candidates))
    for start in range(0, count, size):
        block = slice(start, start + size)
        exponentials = torch.mm(anchors[block], columns, out=buffer[: count - start])  # [b, C]
        if excluded is not None:
            _exclude(exponentials, excluded[block])
        shift = _exponentiate(exponentials, may_overflow, None if log_others is None else log_others[block])
        sums, partition = weighted_sums(exponentials)  # [b, d], [b]
        if log_others is not None:
            partition = partition + (log_others[block] - shift).exp()
        log_partition[block] = partition.log() + shift
        torch.div(sums, partition[:, None], out=means[block])
        weighted = anchors[block] * (masses[block] / partition)[:, None]  # m_a x_a / Z_a [b, d]
        grad.addmm_(weighted.T, exponentials)
    if counts is not None:
        grad = grad * counts
    return CandidateSums(log_partition, means, grad.T.contiguous())


def exponent_may_overflow(anchors: Tensor, candidates: Tensor, temperature: float, *, cosines: bool) -> bool:
    """Whether exp(<a, c> / τ) may overflow float32.

    The inner products are bounded by 1 for cosines, else by the Cauchy-Schwarz inequality. On a GPU, where computing
    the bound would make the host wait, the answer is yes.
    """
    largest = 1.0
    if not cosines and not anchors.is_cpu:
        return True
    if not cosines and len(anchors) and len(candidates):
        longest_anchor = torch.linalg.vector_norm(anchors.detach(), dim=1).max()
        longest_candidate = torch.linalg.vector_norm(candidates.detach(), dim=1).max()
        largest = float(longest_anchor * longest_candidate)
    return largest / temperature > _LARGEST_EXPONENT


class _WeightedSums:
    """From e `[b, C]` to Σ_c n_c e_c y_c `[b, d]` and Σ_c n_c e_c `[b]`."""

    def __init__(self, candidates: Tensor, counts: Tensor | None) -> None:
        self.counts = counts
        self.rows = candidates if counts is None else candidates * counts[:, None]  # [C, d]
        self.rows_and_counts = None
        if candidates.shape[1] < _WIDE:  # for narrow rows, one product that gives both sums is faster
            ones = torch.ones_like(candidates[:, 0]) if counts is None else counts
            self.rows_and_counts = torch.cat([self.rows, ones[:, None]], 1).T.contiguous()  # [d + 1, C]

    def __call__(self, exponentials: Tensor) -> tuple[Tensor, Tensor]:
        if self.rows_and_counts is not None:
            both = self.rows_and_counts @ exponentials.T  # [d + 1, b]
            return both[:-1].T, both[-1]
        return exponentials @ self.rows, exponentials.sum(1) if self.counts is None else exponentials @ self.counts


def _block_size(anchors: Tensor, candidates: int) -> int:
    """How many of the anchors `[A, d]` to compare with all candidates at once."""
    count, width = anchors.shape
    entries = block_entries(anchors, _BLOCK_ENTRIES * (_WIDE_BLOCK if width >= _WIDE else 1))
    return max(1, min(count, max(_LEAST_ANCHORS, entries // max(1, candidates))))


def _exponentiate(similarities: Tensor, may_overflow: bool, log_others: Tensor | None) -> Tensor:
    """Replace s by exp(s - shift) in place and return the shift: 0, or the largest exponent of each row."""
    if not may_overflow:
        similarities.exp_()
        return similarities.new_zeros(())
    shift = similarities.amax(1)
    if log_others is not None:
        shift = shift.maximum(log_others)
    similarities.sub_(shift[:, None]).exp_()
    return shift


def _exclude(similarities: Tensor, excluded: Tensor) -> None:
    """Write -inf at the excluded column of each row, in place; -1 excludes none."""
    column = excluded.clamp(min=0)[:, None]
    exists = (excluded >= 0)[:, None]
    similarities.scatter_(1, column, torch.where(exists, -torch.inf, similarities.gather(1, column)))
