"""Loops that PyTorch can only do in several passes over memory, compiled where that was possible.

Nothing needs them: whoever calls one says the same in PyTorch for other devices and types, and for an installation
without a compiler. `PRISMREC_KERNELS=off` does without them where they are.
"""

import ctypes
import os
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

_TYPES = {torch.float32: "float", torch.float64: "double"}
_P, _N, _R = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_ARGUMENTS = {
    "product": [_P, _P, _P, _P, _N, _P, _P, _P, _R, _N, _P],
    "rank": [_P, _P, _N, _P, _P, _N, _N, _N, _P, _P],
    "rank_gradient": [_P, _P, _P, _P, _N, _N, _P, _P, ctypes.c_int, _N, _P],
    "contrast": [_P, _P, _P, _P, _P, _P, _N, _N, _N, _N, _P, _P, _P],
    "best_keys": [_P, _N, _N, _N, _N, _P],
    "adam": [_P, _P, _P, _N, _N, _P, _P, _N, _R, _R, _R, _R, _R, _R],
}
WIDEST_CONTRAST = 16
"""Columns that `contrast` can take. Wider products wait for arithmetic, and PyTorch's are faster."""
_CONTRAST_WIDTHS, _CONTRAST_ANCHORS, _CONTRAST_CANDIDATES = (4, 8, WIDEST_CONTRAST), 4, 16
"""What contrast.cpp is compiled for: these widths, and numbers of rows that are multiples of these."""


def _load() -> ctypes.CDLL | None:
    """The library, once PyTorch with its threads is loaded; None where it was not built or does not fit PyTorch."""
    found = find_spec("prismrec.kernels._kernels")
    if os.environ.get("PRISMREC_KERNELS") == "off" or found is None or found.origin is None:
        return None
    try:
        library = ctypes.CDLL(found.origin)
    except OSError:  # a PyTorch with an OpenMP runtime of another kind
        return None
    for name, arguments in _ARGUMENTS.items():
        for of_type in ("float",) if name == "best_keys" else _TYPES.values():
            function = getattr(library, f"{name}_{of_type}")
            function.argtypes, function.restype = arguments, ctypes.c_int if name == "rank" else None
    return library


_library = _load()


def available() -> bool:
    """Whether the kernels are there."""
    return _library is not None


def usable(*tensors: Tensor) -> bool:
    """Whether the kernels are there and can compute with these: on the CPU, of one type, float32 or float64."""
    first = tensors[0].dtype
    return available() and first in _TYPES and all(x.is_cpu and x.dtype == first for x in tensors)


def sparse_product(
    stored: tuple[Tensor, Tensor, Tensor],
    x: Tensor,
    *,
    rows: Tensor | None = None,
    places: Tensor | None = None,
    base: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """scale (base + A x), or some rows of it, or all from an operand most of whose rows are zero.

    Args:
        stored: A row by row: offsets int32 `[n + 1]`, columns int32 `[E]`, values `[E]`.
        x: `[columns, d]`, or with places the rows that are not zero.
        rows: those wanted, int64 `[r]`; None: all.
        places: for each column of A its row of x, -1 for zero, int32 `[columns]`.
        base: `[n, d]`; None: zero.
        scale: a factor.

    Returns:
        `[r, d]` or `[n, d]`.
    """
    offsets, indices, values = stored[0], stored[1], stored[2].contiguous()
    x, base = x.contiguous(), None if base is None else base.contiguous()
    out = x.new_empty(len(offsets) - 1 if rows is None else len(rows), x.shape[1])
    _call("product", x, offsets, indices, values, rows, len(out), places, x, base, scale, x.shape[1], out)
    return out


def rank(users: Tensor, items: Tensor, rows: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """What a ranking loss and a penalty need to know of B triplets.

    Args:
        users: `[U, d]`, or without rows `[B, d]`.
        items: `[I, d]`, or without rows `[2 B, d]`, positives before negatives.
        rows: of users, int64 `[B]`, and of items, int64 `[2 B]`.

    Returns:
        u·(n - p) `[B]`, and the sums of ‖u‖², ‖p‖², ‖n‖² `[3]`.

    Raises:
        ValueError: the shapes do not go together.
        IndexError: there is no such row.
    """
    users, items, (user_rows, item_rows) = users.contiguous(), items.contiguous(), _as_read(rows)
    batch, places = (len(users), len(items)) if rows is None else (len(rows[0]), len(rows[1]))
    if places != 2 * batch or users.shape[1] != items.shape[1]:
        raise ValueError(f"{batch} users and {places} items, {users.shape[1]} and {items.shape[1]} wide")
    margins, squares = users.new_empty(batch), users.new_empty(3, batch)
    sides = users, user_rows, len(users), items, item_rows, len(items)
    if not _call("rank", users, *sides, batch, users.shape[1], margins, squares):
        raise IndexError(f"a row outside of {len(users)} users and {len(items)} items")
    return margins, squares.sum(1)


def rank_gradient(
    users: Tensor,
    items: Tensor,
    rows: tuple[Tensor, Tensor] | None,
    weights: Tensor,
    scales: Tensor,
    *,
    of_items: bool,
    in_table: bool,
) -> Tensor:
    """The gradient of Σ weights · margins + ½ Σ scales · squares, both those of `rank`.

    Args:
        users: as in `rank`.
        items: as in `rank`.
        rows: as in `rank`, which has looked at them.
        weights: `[B]`.
        scales: of the squares of users, positives and negatives, `[3]`.
        of_items: with respect to the items, else to the users.
        in_table: as large as the matrix that `rows` refer to; else one row for each row read.

    Returns:
        `[U, d]` or `[I, d]` in the table, else `[B, d]` or `[2 B, d]`.
    """
    users, items, (user_rows, item_rows) = users.contiguous(), items.contiguous(), _as_read(rows)
    weights, scales = weights.contiguous(), scales.contiguous()
    batch, read = len(weights), 2 * len(weights) if of_items else len(weights)
    table_rows = len(items if of_items else users) if in_table and rows is not None else 0
    out = users.new_empty(table_rows or read, users.shape[1])
    matrices = users, user_rows, items, item_rows
    _call("rank_gradient", users, *matrices, batch, users.shape[1], weights, scales, int(of_items), table_rows, out)
    return out


def _as_read(rows: tuple[Tensor, Tensor] | None) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if rows is None else (rows[0].long().contiguous(), rows[1].long().contiguous())


def contrast(
    anchors: Tensor,
    candidates: Tensor,
    masses: Tensor,
    *,
    counts: Tensor | None = None,
    excluded: Tensor | None = None,
    others: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """What InfoNCE and its gradient need to know of narrow rows, with e_ac = exp(<x_a, y_c>).

    Args:
        anchors: x `[A, d]`, d up to `WIDEST_CONTRAST`; all inner products with candidates lie within ±80.
        candidates: y `[C, d]`.
        masses: m `[A]`.
        counts: n `[C]`; None: all ones.
        excluded: int64 `[A]`, a candidate that does not count for an anchor, -1 for none; None: for none of them.
        others: o `[A]`; None: zero.

    Returns:
        Z_a = o_a + Σ_c n_c e_ac `[A]`, Σ_c n_c e_ac y_c `[A, d]`, and n_c Σ_a m_a e_ac x_a / Z_a `[C, d]`.

    Raises:
        ValueError: the rows are wider.
    """
    (A, d), C = anchors.shape, len(candidates)
    if d > WIDEST_CONTRAST:
        raise ValueError(f"rows {d} wide: at most {WIDEST_CONTRAST} are possible")
    width = next(width for width in _CONTRAST_WIDTHS if width >= d)
    more_anchors, more_candidates = -A % _CONTRAST_ANCHORS, -C % _CONTRAST_CANDIDATES
    x = F.pad(anchors, (0, width - d, 0, more_anchors)).contiguous()
    columns = F.pad(candidates.T, (0, more_candidates, 0, width - d)).contiguous()
    n = F.pad(candidates.new_ones(C) if counts is None else counts, (0, more_candidates))
    m, o = (F.pad(anchors.new_zeros(A) if given is None else given, (0, more_anchors)) for given in (masses, others))
    none = torch.full((len(x),), -1, dtype=torch.int32)
    if excluded is not None:
        none[:A] = excluded
    partitions, sums = x.new_empty(len(x)), torch.empty_like(x)
    parts = max(1, min(torch.get_num_threads(), len(x) // _CONTRAST_ANCHORS))
    pulls = x.new_zeros(parts, *columns.shape)
    rows = x, columns, n.contiguous(), m.contiguous(), none, o.contiguous()
    _call("contrast", x, *rows, len(x), width, columns.shape[1], parts, partitions, sums, pulls)
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
    """Adam's step for a table of which few rows have a gradient, in place and in one pass.

    Args:
        weight: θ `[n, d]`.
        mean: m `[n, d]`.
        square: v `[n, d]`.
        rows: int64 `[r]`; gradients of repeated ones are added up.
        gradients: `[r, d]`; of all other rows 0.
        step: t, from 1.
        lr: η.
        betas: β₁, β₂.
        epsilon: ε.
        weight_decay: of θ, added to the gradient.
    """
    gradients = gradients.contiguous()
    n, (r, d) = len(weight), gradients.shape
    step_size, inverse_root = lr / (1 - betas[0] ** step), (1 - betas[1] ** step) ** -0.5
    constants = *betas, epsilon, weight_decay, step_size, inverse_root
    _call("adam", weight, weight, mean, square, n, d, rows, gradients, r, *constants)
    torch.autograd.graph.increment_version(weight)  # PyTorch does not see what is written here


def best_keys(scores: Tensor, first: int, keys: Tensor) -> None:
    """`prismrec.selection.best_keys` in place, on the thread that calls.

    Args:
        scores: float32 `[b, n]`.
        first: the number of item 0.
        keys: contiguous int64 `[b, k]`, ascending; those before and then the best.
    """
    scores = scores.contiguous()
    _call("best_keys", scores, scores, *scores.shape, first, keys.shape[1], keys)


def _call(name: str, like: Tensor, *arguments: Tensor | float | None) -> int | None:
    """Tensors go as addresses; whoever calls holds them, so that they stay."""
    function = getattr(_library, f"{name}_{_TYPES[like.dtype]}")
    return function(*(x.data_ptr() if isinstance(x, Tensor) else x for x in arguments))
