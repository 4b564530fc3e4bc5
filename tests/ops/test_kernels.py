"""The compiled kernels against PyTorch. The operations that use them are tested with and without them elsewhere."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prismrec.ops import _kernels as kernels

import plain

built = pytest.mark.skipif(not kernels.available(), reason="the kernels are not built here")


def test_kernels_are_built_if_there_is_a_compiler() -> None:
    assert kernels.available() or shutil.which("c++") is None


def test_an_environment_variable_switches_the_kernels_off() -> None:
    program = "from prismrec.ops import kernels_available; print(kernels_available())"
    environment = os.environ | {"PRISMREC_KERNELS": "off"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@built
def test_without_kernels_switches_them_off_inside_the_block_only() -> None:
    with kernels.without_kernels():
        assert not kernels.available()
        assert not kernels.usable(torch.ones(1))
        with kernels.without_kernels():
            pass
        assert not kernels.available()
    assert kernels.usable(torch.ones(1))


def test_kernels_support_float32_or_float64_on_the_cpu_but_no_mixture() -> None:
    assert not kernels.usable(torch.ones(1, dtype=torch.bfloat16))
    assert not kernels.usable(torch.ones(1), torch.ones(1, dtype=torch.float64))
    assert not kernels.usable(torch.ones(1, device="meta"))


@built
@pytest.mark.parametrize("threads", [1, 2])
@given(
    batch=st.integers(1, 40),
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 9)),
    width=st.sampled_from([1, 3, 16, 70]),
    dtype=plain.DTYPES,
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_margins_squares_and_gradients_of_triplets_equal_those_of_pytorch(
    threads: int, batch: int, sizes: tuple[int, int], width: int, dtype: torch.dtype, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    users = torch.randn(sizes[0], width, dtype=dtype, generator=generator, requires_grad=True)
    items = torch.randn(sizes[1], width, dtype=dtype, generator=generator, requires_grad=True)
    rows = (
        torch.randint(sizes[0], (batch,), generator=generator),
        torch.randint(sizes[1], (2 * batch,), generator=generator),
    )
    weights = torch.randn(batch, dtype=dtype, generator=generator)
    scales = torch.randn(3, dtype=dtype, generator=generator)
    u, (p, n) = users[rows[0]], items[rows[1]].split(batch)
    expected_margins = (u * (n - p)).sum(1)
    expected_squares = torch.stack([u.square().sum(), p.square().sum(), n.square().sum()])
    (expected_margins @ weights + expected_squares @ scales / 2).backward()
    table_users, table_items = users.detach(), items.detach()
    # Up to 80 products of several terms are added in another order.
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-10}
    with plain.threads(threads):
        margins, squares = kernels.triplet_margins(table_users, table_items, rows)
        torch.testing.assert_close(margins, expected_margins.detach(), **tolerance)
        torch.testing.assert_close(squares, expected_squares.detach(), **tolerance)
        for of_items, matrix in ((False, users), (True, items)):
            arguments = table_users, table_items, rows, weights, scales
            dense = kernels.triplet_gradient(*arguments, of_items=of_items, dense=True)
            torch.testing.assert_close(dense, matrix.grad, **tolerance)
            by_row = kernels.triplet_gradient(*arguments, of_items=of_items, dense=False)
            torch.testing.assert_close(
                torch.zeros_like(matrix).index_add_(0, rows[of_items], by_row), matrix.grad, **tolerance
            )


@built
def test_triplets_without_rows_use_all_rows_in_order() -> None:
    users, items = torch.randn(4, 3), torch.randn(8, 3)
    all_rows = torch.arange(4), torch.arange(8)
    margins, squares = kernels.triplet_margins(users, items, None)
    expected_margins, expected_squares = kernels.triplet_margins(users, items, all_rows)
    assert torch.equal(margins, expected_margins)
    assert torch.equal(squares, expected_squares)
    terms = torch.randn(4), torch.randn(3)
    for of_items in (False, True):
        found = kernels.triplet_gradient(users, items, None, *terms, of_items=of_items, dense=True)
        expected = kernels.triplet_gradient(users, items, all_rows, *terms, of_items=of_items, dense=True)
        assert torch.equal(found, expected)


BAD_ROWS = [([0, 4], [0, 0, 0, 0]), ([0, -1], [0, 0, 0, 0]), ([0, 0], [0, 0, 0, 5]), ([0, 0], [-1, 0, 0, 0])]


@built
@pytest.mark.parametrize(("user_rows", "item_rows"), BAD_ROWS)
def test_triplets_refuse_rows_out_of_range(user_rows: list[int], item_rows: list[int]) -> None:
    users, items, rows = torch.ones(4, 2), torch.ones(5, 2), (torch.tensor(user_rows), torch.tensor(item_rows))
    with pytest.raises(IndexError, match="row number is out of range"):
        kernels.triplet_margins(users, items, rows)
    for of_items in (False, True):
        for dense in (False, True):
            with pytest.raises(IndexError, match="row number is out of range"):
                kernels.triplet_gradient(
                    users, items, rows, torch.ones(2), torch.ones(3), of_items=of_items, dense=dense
                )


@built
@pytest.mark.parametrize(
    ("users", "items", "rows"),
    [
        (torch.ones(2, 3), torch.ones(3, 3), None),
        (torch.ones(2, 3), torch.ones(4, 2), None),
        (torch.ones(2, 3), torch.ones(4, 3), (torch.tensor([0, 1]), torch.tensor([0]))),
    ],
)
def test_triplets_refuse_shapes_that_do_not_match(
    users: Tensor, items: Tensor, rows: tuple[Tensor, Tensor] | None
) -> None:
    with pytest.raises(ValueError, match="users and"):
        kernels.triplet_margins(users, items, rows)
    with pytest.raises(ValueError, match="users and"):
        kernels.triplet_gradient(users, items, rows, torch.ones(2), torch.ones(3), of_items=False, dense=True)


@built
@pytest.mark.parametrize(("weights", "scales"), [(torch.ones(3), torch.ones(3)), (torch.ones(2), torch.ones(2))])
def test_the_gradient_of_triplets_refuses_weights_that_do_not_match(weights: Tensor, scales: Tensor) -> None:
    with pytest.raises(ValueError, match="each triplet and 3 scales"):
        kernels.triplet_gradient(torch.ones(2, 3), torch.ones(4, 3), None, weights, scales, of_items=False, dense=True)


@built
def test_rows_of_triplets_may_have_any_integer_type() -> None:
    users, items, rows = torch.randn(4, 3), torch.randn(5, 3), (torch.tensor([3, 0]), torch.tensor([1, 4, 4, 2]))
    expected, _ = kernels.triplet_margins(users, items, rows)
    found, _ = kernels.triplet_margins(users, items, (rows[0].int(), rows[1].int()))
    assert torch.equal(found, expected)


@built
def test_tables_of_triplets_may_be_transposed() -> None:
    users, items, rows = torch.randn(5, 4).T, torch.randn(8, 5), (torch.tensor([2, 0]), torch.tensor([1, 7, 7, 3]))
    found, _ = kernels.triplet_margins(users, items, rows)
    expected, _ = kernels.triplet_margins(users.contiguous(), items, rows)
    assert torch.equal(found, expected)


@built
@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_of_triplets_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    torch.manual_seed(0)
    users, items = torch.randn(300, 64), torch.randn(400, 64)
    rows = torch.randint(300, (2000,)), torch.randint(400, (4000,))
    arguments = users, items, rows, torch.randn(2000), torch.randn(3)
    of_users = kernels.triplet_gradient(*arguments, of_items=False, dense=True)
    of_items = kernels.triplet_gradient(*arguments, of_items=True, dense=True)
    with plain.threads(threads):
        assert torch.equal(kernels.triplet_gradient(*arguments, of_items=False, dense=True), of_users)
        assert torch.equal(kernels.triplet_gradient(*arguments, of_items=True, dense=True), of_items)


@built
@pytest.mark.parametrize("threads", [2, 3])
def test_sparse_products_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    torch.manual_seed(0)
    lengths = torch.cat([torch.tensor([3000, 0, 0]), torch.randint(9, (2000,))])  # most entries are in one row
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]).int()
    stored = offsets, torch.randint(70, (int(offsets[-1]),), dtype=torch.int32), torch.randn(int(offsets[-1]))
    x, base = torch.randn(70, 100), torch.randn(len(lengths), 100)
    rows, positions = torch.tensor([2002, 0, 1, 5]), torch.randint(-1, 70, (70,), dtype=torch.int32)

    def products() -> list[Tensor]:
        return [
            kernels.sparse_product(stored, 70, x),
            kernels.sparse_product(stored, 70, x, base=base, scale=0.5),
            kernels.sparse_product(stored, 70, x, rows=rows, base=base),
            kernels.sparse_product(stored, 70, x, positions=positions),
        ]

    expected = products()
    with plain.threads(threads):
        assert all(torch.equal(found, wanted) for found, wanted in zip(products(), expected, strict=True))
    entries = stored[2][:, None] * x[stored[1].long()]
    dense = torch.zeros(len(lengths), 100).index_add_(0, torch.repeat_interleave(lengths), entries)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(expected[0], dense, **tolerance)
    torch.testing.assert_close(expected[1], 0.5 * (base + dense), **tolerance)
    torch.testing.assert_close(expected[2], (base + dense)[rows], **tolerance)
    absent = (positions < 0)[stored[1].long()]
    moved = x[positions.clamp(min=0).long()][stored[1].long()] * stored[2][:, None]
    moved = torch.zeros(len(lengths), 100).index_add_(
        0, torch.repeat_interleave(lengths), moved.masked_fill(absent[:, None], 0)
    )
    torch.testing.assert_close(expected[3], moved, **tolerance)


STORED = torch.tensor([0, 2, 3], dtype=torch.int32), torch.tensor([0, 2, 1], dtype=torch.int32), torch.ones(3)
"""A matrix of 2 rows and 3 columns with 3 entries."""


@built
@pytest.mark.parametrize(
    ("x", "arguments"),
    [
        (torch.ones(2, 4), {}),
        (torch.ones(4, 4), {}),
        (torch.ones(3, 4), {"base": torch.ones(3, 4)}),
        (torch.ones(3, 4), {"base": torch.ones(2, 5)}),
        (torch.ones(3, 4), {"positions": torch.zeros(2, dtype=torch.int32)}),
    ],
)
def test_a_sparse_product_refuses_shapes_that_do_not_match(x: Tensor, arguments: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="expected"):
        kernels.sparse_product(STORED, 3, x, **arguments)


@built
def test_kernels_refuse_tensors_of_different_types() -> None:
    narrow, wide = torch.ones(3, 4), torch.ones(3, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="one type"):
        kernels.sparse_product(STORED, 3, wide)
    with pytest.raises(ValueError, match="one type"):
        kernels.sparse_product(STORED, 3, narrow, base=torch.ones(2, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="users and items"):
        kernels.triplet_margins(narrow[:1], wide[:2], None)
    with pytest.raises(ValueError, match="each triplet and 3 scales"):
        kernels.triplet_gradient(narrow[:1], narrow[:2], None, wide[0, :1], narrow[0, :3], of_items=False, dense=True)
    with pytest.raises(ValueError, match="anchors, candidates and weights"):
        kernels.contrast(narrow, wide, narrow[:, 0])
    with pytest.raises(ValueError, match="anchors, candidates and weights"):
        kernels.contrast(narrow, narrow, narrow[:, 0], counts=torch.ones(3, dtype=torch.int64))


@built
def test_rows_of_a_sparse_product_may_have_any_integer_type() -> None:
    x, rows = torch.randn(3, 4), torch.tensor([1, 0, 1])
    expected = kernels.sparse_product(STORED, 3, x, rows=rows)
    assert torch.equal(kernels.sparse_product(STORED, 3, x, rows=rows.int()), expected)


@built
def test_a_sparse_product_refuses_values_that_do_not_match_the_columns() -> None:
    with pytest.raises(ValueError, match="column numbers as values"):
        kernels.sparse_product((STORED[0], STORED[1], torch.ones(2)), 3, torch.ones(3, 4))


@built
@pytest.mark.parametrize(
    "arguments",
    [
        {"rows": torch.tensor([0, 2])},
        {"rows": torch.tensor([-1])},
        {"positions": torch.tensor([0, 3, 1], dtype=torch.int32)},
        {"positions": torch.tensor([0, -2, 1], dtype=torch.int32)},
    ],
)
def test_a_sparse_product_refuses_rows_and_positions_out_of_range(arguments: dict[str, Tensor]) -> None:
    with pytest.raises(IndexError, match="row number is out of range"):
        kernels.sparse_product(STORED, 3, torch.ones(3, 4), **arguments)


@built
@pytest.mark.parametrize("threads", [1, 2])
@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 70)),
    width=st.integers(1, 16),
    dtype=plain.DTYPES,
    scale=st.sampled_from([1.0, 15.0]),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_the_sums_of_a_contrast_equal_those_of_the_whole_matrix_of_similarities(
    threads: int, sizes: tuple[int, int], width: int, dtype: torch.dtype, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    anchors = scale * F.normalize(torch.randn(sizes[0], width, generator=generator)).to(dtype)
    candidates = F.normalize(torch.randn(sizes[1], width, generator=generator)).to(dtype)
    masses = torch.rand(sizes[0], generator=generator).to(dtype)
    counts = torch.rand(sizes[1], generator=generator).to(dtype)
    excluded, others = torch.randint(-1, sizes[1], sizes[:1], generator=generator), 0.1 + masses
    x, y, m = anchors.double(), candidates.double(), masses.double()
    exponentials = (x @ y.T).exp() * counts.double() * (excluded[:, None] != torch.arange(sizes[1]))
    partitions = others.double() + exponentials.sum(1)
    expected = partitions, exponentials @ y, exponentials.T @ ((m / partitions)[:, None] * x)
    with plain.threads(threads):
        found = kernels.contrast(anchors, candidates, masses, counts=counts, excluded=excluded, others=others)
    for ours, theirs in zip(found, expected, strict=True):
        # Sums may cancel: the rounding error is that of their largest terms.
        largest = float(theirs.abs().max())
        tolerance = largest * (1e-5 if dtype == torch.float32 else 1e-12)
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=tolerance)


@built
@pytest.mark.parametrize("threads", [2, 3])
def test_the_sums_of_a_large_contrast_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    torch.manual_seed(0)
    arguments = torch.randn(301, 4), torch.randn(403, 4), torch.rand(301)
    with plain.threads(1):
        expected = kernels.contrast(*arguments)
    with plain.threads(threads):
        found = kernels.contrast(*arguments)
    assert all(torch.equal(ours, wanted) for ours, wanted in zip(found, expected, strict=True))


@built
def test_the_exponentials_of_a_contrast_are_exact_to_rounding() -> None:
    x = torch.linspace(-80, 80, 10**6)
    found = kernels.contrast(x[:, None], torch.ones(1, 1), torch.ones(len(x)))[0]
    exact = x.double().exp()
    assert float(((found.double() - exact) / exact).abs().max()) < torch.finfo(torch.float32).eps


@built
def test_nan_in_an_anchor_reaches_its_sums() -> None:
    anchors, candidates = torch.ones(5, 4), torch.ones(7, 4)
    anchors[1, 2] = torch.nan
    partitions, sums, gradient = kernels.contrast(anchors, candidates, torch.ones(5))
    assert partitions.isnan().tolist() == [False, True, False, False, False]
    assert sums[1].isnan().all()
    assert gradient.isnan().all()


@built
@pytest.mark.parametrize(
    ("shapes", "arguments"),
    [
        (((2, 17), (3, 17), (2,)), {}),
        (((2, 4), (3, 5), (2,)), {}),
        (((2, 4), (3, 4), (3,)), {}),
        (((2, 4), (3, 4), (2,)), {"counts": torch.ones(2)}),
        (((2, 4), (3, 4), (2,)), {"excluded": torch.zeros(3, dtype=torch.int64)}),
        (((2, 4), (3, 4), (2,)), {"others": torch.ones(2, 1)}),
    ],
)
def test_a_contrast_refuses_rows_that_are_too_wide_and_shapes_that_do_not_match(
    shapes: tuple[tuple[int, ...], ...], arguments: dict[str, Tensor]
) -> None:
    anchors, candidates, masses = torch.ones(shapes[0]), torch.ones(shapes[1]), torch.ones(shapes[2])
    with pytest.raises(ValueError, match="expected"):
        kernels.contrast(anchors, candidates, masses, **arguments)


SETTINGS = {"step": 1, "lr": 0.01, "betas": (0.9, 0.999), "epsilon": 1e-8, "weight_decay": 0.0}


@built
@pytest.mark.parametrize("row", [-1, 4])
def test_adam_refuses_rows_out_of_range_and_changes_nothing(row: int) -> None:
    weight, mean, square = torch.ones(4, 2), torch.zeros(4, 2), torch.zeros(4, 2)
    with pytest.raises(IndexError, match="row number is out of range"):
        kernels.adam(weight, mean, square, torch.tensor([0, row]), torch.ones(2, 2), **SETTINGS)
    assert torch.equal(weight, torch.ones(4, 2))
    assert not mean.any()
    assert not square.any()


@built
@pytest.mark.parametrize(
    ("weight", "mean", "square", "gradients"),
    [
        (torch.ones(4, 2), torch.zeros(4, 3), torch.zeros(4, 2), torch.ones(2, 2)),
        (torch.ones(4, 2), torch.zeros(4, 2), torch.zeros(3, 2), torch.ones(2, 2)),
        (torch.ones(4, 2), torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(3, 2)),
        (torch.ones(4, 2), torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(2, 3)),
        (torch.ones(2, 4).T, torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(2, 2)),
        (torch.ones(4, 2), torch.zeros(4, 2).double(), torch.zeros(4, 2), torch.ones(2, 2)),
    ],
)
def test_adam_refuses_tensors_that_do_not_match_and_changes_nothing(
    weight: Tensor, mean: Tensor, square: Tensor, gradients: Tensor
) -> None:
    before = weight.clone()
    with pytest.raises(ValueError, match="expected"):
        kernels.adam(weight, mean, square, torch.tensor([0, 1]), gradients, **SETTINGS)
    assert torch.equal(weight, before)


@built
def test_a_step_of_adam_invalidates_graphs_that_saved_the_weight() -> None:
    weight = torch.ones(4, 2, requires_grad=True)
    loss = weight.square().sum()
    with torch.no_grad():
        kernels.adam(weight, torch.zeros(4, 2), torch.zeros(4, 2), torch.tensor([0]), torch.ones(1, 2), **SETTINGS)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@built
@pytest.mark.parametrize(
    ("scores", "keys"),
    [
        (torch.ones(3, 5, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.int64)),
        (torch.ones(3, 5), torch.zeros(2, 2, dtype=torch.int64)),
        (torch.ones(3, 5), torch.zeros(3, 2, dtype=torch.int32)),
        (torch.ones(3, 5), torch.zeros(2, 3, dtype=torch.int64).T),
    ],
)
def test_the_selection_refuses_types_and_shapes_that_do_not_match_and_changes_nothing(
    scores: Tensor, keys: Tensor
) -> None:
    with pytest.raises(ValueError, match="expected"):
        kernels.top_k_keys(scores, 0, keys)
    assert not keys.any()
