"""Compiled loops, each of which takes PyTorch several passes over memory. They are built if pip finds a C++ compiler.

Every caller in `prismrec.ops` has the same operation in plain PyTorch, for other devices and types and for
installations without a compiler. PRISMREC_KERNELS=off in the environment switches the kernels off; the path of another
build selects that build. Every function checks the shapes of its arguments and the ranges of row numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops._kernels.library import available, call, usable, without_kernels

__all__ = [
    "WIDEST_CONTRAST",
    "adam",
    "available",
    "contrast",
    "sparse_product",
    "top_k_keys",
    "triplet_gradient",
    "triplet_margins",
    "usable",
    "without_kernels",
]

WIDEST_CONTRAST = 16
"""The widest rows that `contrast` supports. Wider products are limited by arithmetic, and PyTorch is faster."""
_CONTRAST_WIDTHS = (4, 8, WIDEST_CONTRAST)
"""contrast.cpp is compiled for these widths. Narrower rows are padded."""
_CONTRAST_ANCHORS = 4
"""The number of anchors is padded to a multiple of this, TOGETHER in contrast.cpp."""
_CONTRAST_CANDIDATES = 16
"""The number of candidates is padded to a multiple of this, LANES in contrast.cpp."""
_CONTRAST_PARTS = 8
"""Parts of the anchors that threads share. The sums over them do not depend on the number of threads."""


def sparse_product(
    stored: tuple[Tensor, Tensor, Tensor],
    columns: int,
    x: Tensor,
    *,
    rows: Tensor | None = None,
    positions: Tensor | None = None,
    base: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """scale (base + A x), or some of its rows.

    Args:
        stored: A by rows: offsets int32 `[n + 1]`, column numbers int32 `[E]`, values `[E]`. The caller must ensure
            that offsets ascend to E and column numbers are within 0..columns-1. `SparseMatrix` checks it when it is
            built.
        columns: number of columns of A.
        x: `[columns, d]`, or with `positions` only its nonzero rows.
        rows: rows of the result to compute, int64 `[r]`; None computes all.
        positions: int32 `[columns]`, the row of x for each column, or -1 for a zero row.
        base: `[n, d]`; None means zero.
        scale: a factor.

    Returns:
        `[r, d]` or `[n, d]`.

    Raises:
        ValueError: the shapes do not match.
        IndexError: a number in `rows` or `positions` is out of range.
    """
    offsets, indices, values = stored
    values = values.contiguous()
    n = len(offsets) - 1
    d = x.shape[1]
    _check(usable(x, values, x if base is None else base), "operand, values and base of one type", x, values, base)
    _check(len(indices) == len(values), "as many column numbers as values", indices, values)
    _check(len(x if positions is None else positions) == columns, "an operand with a row for each column", x, positions)
    _check(base is None or base.shape == (n, d), "a base with the shape of the result", base)
    x = x.contiguous()
    base = None if base is None else base.contiguous()
    rows = None if rows is None else rows.long().contiguous()
    positions = None if positions is None else positions.int().contiguous()
    out = x.new_empty(n if rows is None else len(rows), d)
    operand = positions, columns, x, len(x), base, scale, d
    call("product", x.dtype, offsets, indices, values, n, rows, len(out), *operand, out)
    return out


def triplet_margins(users: Tensor, items: Tensor, rows: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """Margins and squared norms of B triplets.

    Args:
        users: `[U, d]`, or `[B, d]` without `rows`.
        items: `[I, d]`, or `[2 B, d]` without `rows`; positives before negatives.
        rows: rows of users, int64 `[B]`, and of items, int64 `[2 B]`.

    Returns:
        u·(n - p) `[B]`, and the sums of ‖u‖², ‖p‖² and ‖n‖² `[3]`.

    Raises:
        ValueError: the shapes do not match.
        IndexError: a row is out of range.
    """
    users, items = users.contiguous(), items.contiguous()
    user_rows, item_rows, batch = _checked_triplets(users, items, rows)
    margins, squares = users.new_empty(batch), users.new_empty(3, batch)
    matrices = users, user_rows, len(users), items, item_rows, len(items)
    call("triplet_margins", users.dtype, *matrices, batch, users.shape[1], margins, squares)
    return margins, squares.sum(1)


def triplet_gradient(
    users: Tensor,
    items: Tensor,
    rows: tuple[Tensor, Tensor] | None,
    weights: Tensor,
    scales: Tensor,
    *,
    of_items: bool,
    dense: bool,
) -> Tensor:
    """The gradient of Σ weights · margins + ½ Σ scales · squares, with the results of `triplet_margins`.

    Args:
        users: as in `triplet_margins`.
        items: as in `triplet_margins`.
        rows: as in `triplet_margins`.
        weights: `[B]`.
        scales: for the squares of users, positives and negatives, `[3]`.
        of_items: whether to return the gradient with respect to the items, else to the users.
        dense: whether to return the gradient of the whole matrix, else one row for each row read.

    Returns:
        `[U, d]` or `[I, d]` if dense, else `[B, d]` or `[2 B, d]`.

    Raises:
        ValueError: the shapes do not match.
        IndexError: a row is out of range.
    """
    users, items = users.contiguous(), items.contiguous()
    user_rows, item_rows, batch = _checked_triplets(users, items, rows)
    matches = weights.shape == (batch,) and scales.shape == (3,) and usable(users, weights, scales)
    _check(matches, "a weight for each triplet and 3 scales, of the type of the users", weights, scales)
    weights, scales = weights.contiguous(), scales.contiguous()
    table_rows = len(items if of_items else users) if dense and rows is not None else 0
    out = users.new_empty(table_rows or (2 * batch if of_items else batch), users.shape[1])
    matrices = users, user_rows, len(users), items, item_rows, len(items)
    terms = weights, scales, int(of_items), table_rows
    call("triplet_gradient", users.dtype, *matrices, batch, users.shape[1], *terms, out)
    return out


def _checked_triplets(
    users: Tensor, items: Tensor, rows: tuple[Tensor, Tensor] | None
) -> tuple[Tensor | None, Tensor | None, int]:
    """Rows of users and of items, contiguous int64, and B."""
    _check(
        users.shape[1] == items.shape[1] and usable(users, items), "users and items of one width and type", users, items
    )
    if rows is None:
        _check(len(items) == 2 * len(users), "users and twice as many items", users, items)
        return None, None, len(users)
    user_rows, item_rows = rows[0].long().contiguous(), rows[1].long().contiguous()
    _check(len(item_rows) == 2 * len(user_rows), "rows of users and twice as many rows of items", user_rows, item_rows)
    return user_rows, item_rows, len(user_rows)


def contrast(
    anchors: Tensor,
    candidates: Tensor,
    masses: Tensor,
    *,
    counts: Tensor | None = None,
    excluded: Tensor | None = None,
    others: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The sums of InfoNCE and of its gradient for narrow rows, with e_ac = exp(<x_a, y_c>).

    Args:
        anchors: x `[A, d]` with d ≤ `WIDEST_CONTRAST`; all inner products with candidates must lie within ±80.
        candidates: y `[C, d]`.
        masses: m `[A]`.
        counts: n `[C]`; None means all ones.
        excluded: int64 `[A]`, the candidate that an anchor ignores, or -1; None means none.
        others: o `[A]`; None means zero.

    Returns:
        Z_a = o_a + Σ_c n_c e_ac `[A]`, Σ_c n_c e_ac y_c `[A, d]`, and n_c Σ_a m_a e_ac x_a / Z_a `[C, d]`.

    Raises:
        ValueError: the shapes do not match, or the rows are too wide.
    """
    A, d = anchors.shape
    C = len(candidates)
    _check(d <= WIDEST_CONTRAST, f"rows of at most {WIDEST_CONTRAST} columns", anchors)
    _check(candidates.shape[1] == d, "anchors and candidates of one width", anchors, candidates)
    numbers = [x for x in (anchors, candidates, masses, counts, others) if x is not None]
    _check(usable(*numbers), "anchors, candidates and weights of one type", *numbers)
    for x, count in ((masses, A), (counts, C), (excluded, A), (others, A)):
        _check(x is None or x.shape == (count,), "one number for each row", x)
    width = next(width for width in _CONTRAST_WIDTHS if width >= d)
    more_anchors = -A % _CONTRAST_ANCHORS
    more_candidates = -C % _CONTRAST_CANDIDATES
    x = F.pad(anchors, (0, width - d, 0, more_anchors)).contiguous()
    columns = F.pad(candidates.T, (0, more_candidates, 0, width - d)).contiguous()
    n = F.pad(candidates.new_ones(C) if counts is None else counts, (0, more_candidates)).contiguous()
    m = F.pad(masses, (0, more_anchors)).contiguous()
    o = F.pad(anchors.new_zeros(A) if others is None else others, (0, more_anchors)).contiguous()
    ignored = torch.full((len(x),), -1, dtype=torch.int32)
    if excluded is not None:
        ignored[:A] = excluded
    partitions, sums = x.new_empty(len(x)), torch.empty_like(x)
    parts = max(1, min(_CONTRAST_PARTS, len(x) // _CONTRAST_ANCHORS))
    pulls = x.new_zeros(parts, *columns.shape)
    sizes = len(x), width, columns.shape[1], parts
    call("contrast", x.dtype, x, columns, n, m, ignored, o, *sizes, partitions, sums, pulls)
    return partitions[:A], sums[:A, :d], pulls.sum(0)[:d, :C].T.contiguous()


def adam(
    weight: Tensor,
    mean: Tensor,
    square: Tensor,
    rows: Tensor,
    gradients: Tensor,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
) -> None:
    """Adam's step for a table in which few rows have a gradient, in place and in one pass.

    Args:
        weight: θ `[n, d]`.
        mean: m `[n, d]`.
        square: v `[n, d]`.
        rows: int64 `[r]`; gradients of repeated rows add up.
        gradients: `[r, d]`; all other rows have a gradient of 0.
        step: t, from 1.
        lr: η.
        betas: β₁, β₂.
        epsilon: ε.
        weight_decay: an L2 penalty, added to the gradient of all rows.

    Raises:
        ValueError: the shapes do not match, or a tensor is not contiguous.
        IndexError: a row is out of range.
    """
    n, d = weight.shape
    _check(mean.shape == square.shape == weight.shape, "weights and moments of one shape", weight, mean, square)
    _check(gradients.shape == (len(rows), d), "a gradient for each row, as wide as the table", rows, gradients)
    contiguous = weight.is_contiguous() and mean.is_contiguous() and square.is_contiguous()
    _check(contiguous and usable(weight, mean, square, gradients), "contiguous tensors of one type", weight, gradients)
    rows, gradients = rows.long().contiguous(), gradients.contiguous()
    step_size, inverse_root = lr / (1 - betas[0] ** step), (1 - betas[1] ** step) ** -0.5
    constants = *betas, epsilon, weight_decay, step_size, inverse_root
    call("adam", weight.dtype, weight, mean, square, n, d, rows, gradients, len(rows), *constants)
    torch.autograd.graph.increment_version(weight)  # PyTorch does not see writes of compiled code


def top_k_keys(scores: Tensor, first: int, keys: Tensor) -> None:
    """`prismrec.ops.topk.top_k_keys` in place, on the calling thread.

    Args:
        scores: float32 `[b, n]`.
        first: the number of the first item.
        keys: contiguous int64 `[b, k]` in ascending order: on entry the keys found before, on return the best keys.

    Raises:
        ValueError: the shapes or types do not match.
    """
    scores = scores.contiguous()
    _check(scores.dtype == torch.float32, "float32 scores", scores)
    _check(len(scores) == len(keys), "as many rows of keys as of scores", scores, keys)
    _check(keys.dtype == torch.int64 and keys.is_contiguous(), "contiguous int64 keys", keys)
    call("top_k_keys", scores.dtype, scores, *scores.shape, first, keys.shape[1], keys)


def _check(holds: bool, expected: str, *found: Tensor | None) -> None:
    if not holds:
        shapes = ", ".join(f"{x.dtype} {list(x.shape)}" for x in found if x is not None)
        raise ValueError(f"expected {expected}; found {shapes}")
