"""The sums over very many candidates that InfoNCE and its gradient are made of.

Nothing of size anchors x candidates is kept or computed twice: whatever a similarity goes into is formed while a block
of them is at hand, or, where rows are narrow and the compiled kernels are there, while it is in a register.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from prismrec import kernels
from prismrec.blocks import block_entries

_BLOCK_ENTRIES = 1 << 19
"""Similarities held at once on a CPU, 2 MB in float32: narrow products wait for memory and want a core's own cache."""
_WIDE = 16
"""From this d on products wait for arithmetic, and larger blocks are faster."""
_WIDE_BLOCK = 2
"""How many times as large."""
_LEAST_ROWS = 16
"""Anchors of a block however many candidates there are: all of these are read once per block."""
_LARGEST_EXPONENT = 40.0
"""Up to here neither exp(s) nor a sum of very many of them leaves float32, and no maximum need be subtracted."""


class Sums(NamedTuple):
    """Of anchors x and candidates y, with e_ac = exp(<x_a, y_c>) and Z_a = exp(o_a) + Σ_c n_c e_ac."""

    totals: Tensor  # ln Z [A]
    means: Tensor  # Σ_c n_c e_ac y_c / Z_a [A, d]
    pulls: Tensor  # n_c Σ_a m_a e_ac x_a / Z_a [C, d]


def sums_over_candidates(
    anchors: Tensor,
    candidates: Tensor,
    masses: Tensor,
    *,
    shifted: bool,
    counts: Tensor | None = None,
    excluded: Tensor | None = None,
    others: Tensor | None = None,
) -> Sums:
    """`Sums` of all candidates.

    Args:
        anchors: x `[A, d]`.
        candidates: y `[C, d]`.
        masses: m `[A]`.
        shifted: whether exponents may be too large as they are, as `needs_shift` says.
        counts: n `[C]`; None: all ones.
        excluded: int64 `[A]`, for each anchor a candidate that does not count for it, or -1.
        others: o `[A]`, the logarithm of what else belongs to Z; None: nothing does.
    """
    if not shifted and anchors.shape[1] <= kernels.WIDEST_CONTRAST and kernels.usable(anchors, candidates, masses):
        more = None if others is None else others.exp()
        partitions, sums, pulls = kernels.contrast(
            anchors, candidates, masses, counts=counts, excluded=excluded, others=more
        )
        return Sums(partitions.log(), sums / partitions[:, None], pulls)
    count, columns = len(anchors), candidates.T.contiguous()  # [d, C]
    weigh = _Weighing(candidates, counts)
    totals, means, pulls = anchors.new_empty(count), torch.empty_like(anchors), torch.zeros_like(columns)
    block = _block_rows(anchors, len(candidates))
    # One buffer for all blocks stays within a core's cache, which fresh memory for each would not be in.
    buffer = anchors.new_empty(block, len(candidates))
    for rows in (slice(start, start + block) for start in range(0, count, block)):
        exponentials = torch.mm(anchors[rows], columns, out=buffer[: count - rows.start])  # [b, C]
        if excluded is not None:
            _mark(exponentials, excluded[rows])
        shift = _exponentiate(exponentials, shifted, None if others is None else others[rows])
        sums, partitions = weigh(exponentials)  # [b, d], [b]
        if others is not None:
            partitions = partitions + (others[rows] - shift).exp()
        totals[rows] = partitions.log() + shift
        torch.div(sums, partitions[:, None], out=means[rows])
        pulls.addmm_((anchors[rows] * (masses[rows] / partitions)[:, None]).T, exponentials)
    return Sums(totals, means, (pulls if counts is None else pulls * counts).T.contiguous())


def needs_shift(anchors: Tensor, candidates: Tensor, temperature: float, *, cosines: bool) -> bool:
    """Whether exp(<a, c> / τ) might leave float32, the inner products bounded by 1 or by Cauchy and Schwarz.

    Where the host would have to wait for a GPU to tell, it might.
    """
    largest = 1.0
    if not cosines and not anchors.is_cpu:
        return True
    if not cosines and len(anchors) and len(candidates):
        lengths = [torch.linalg.vector_norm(rows.detach(), dim=1).max() for rows in (anchors, candidates)]
        largest = float(lengths[0] * lengths[1])
    return largest / temperature > _LARGEST_EXPONENT


class _Weighing:
    """e `[b, C]` to Σ_c n_c e_c y_c `[b, d]` and Σ_c n_c e_c `[b]`."""

    def __init__(self, candidates: Tensor, counts: Tensor | None) -> None:
        ones = torch.ones_like(candidates[:, 0]) if counts is None else counts
        rows = candidates if counts is None else candidates * counts[:, None]
        self.counts, self.rows = counts, rows
        # Where rows are narrow, a product that gives both is faster.
        self.both = None if candidates.shape[1] >= _WIDE else torch.cat([rows, ones[:, None]], 1).T.contiguous()

    def __call__(self, exponentials: Tensor) -> tuple[Tensor, Tensor]:
        if self.both is not None:
            both = self.both @ exponentials.T  # [d + 1, b]
            return both[:-1].T, both[-1]
        return exponentials @ self.rows, exponentials.sum(1) if self.counts is None else exponentials @ self.counts


def _block_rows(anchors: Tensor, candidates: int) -> int:
    """How many of the anchors `[A, d]` to compare with all candidates at once."""
    count, width = anchors.shape
    entries = block_entries(anchors, _BLOCK_ENTRIES * (_WIDE_BLOCK if width >= _WIDE else 1))
    return max(1, min(count, max(_LEAST_ROWS, entries // max(1, candidates))))


def _exponentiate(similarities: Tensor, shifted: bool, least: Tensor | None) -> Tensor:
    """exp(s - shift) in place, and the shift: 0, or the largest of a row, where given not below `least`."""
    if not shifted:
        similarities.exp_()
        return similarities.new_zeros(())
    shift = similarities.amax(1)
    if least is not None:
        shift = shift.maximum(least)
    similarities.sub_(shift[:, None]).exp_()
    return shift


def _mark(similarities: Tensor, excluded: Tensor) -> None:
    """-inf where a row has an excluded column; -1 is none."""
    at, there = excluded.clamp(min=0)[:, None], (excluded >= 0)[:, None]
    similarities.scatter_(1, at, torch.where(there, -torch.inf, similarities.gather(1, at)))
