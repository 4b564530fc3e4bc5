"""The compiled loops against PyTorch, in value and gradient; what uses them is tested both ways in its own room."""

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


def test_they_are_there_wherever_a_compiler_is() -> None:
    assert kernels.usable(torch.ones(1)) or shutil.which("c++") is None


def test_they_can_be_switched_off() -> None:
    program = "import torch; from prismrec import kernels; print(kernels.usable(torch.ones(1)))"
    environment = os.environ | {"PRISMREC_KERNELS": "off"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


built = pytest.mark.skipif(not kernels.usable(torch.ones(1)), reason="the kernels are not built here")


def test_other_types_and_mixed_ones_are_left_to_pytorch() -> None:
    assert not kernels.usable(torch.ones(1, dtype=torch.bfloat16))
    assert not kernels.usable(torch.ones(1), torch.ones(1, dtype=torch.float64))


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
def test_margins_squares_and_gradients_are_those_of_pytorch(
    threads: int, batch: int, sizes: tuple[int, int], width: int, dtype: torch.dtype, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    users, items = (torch.randn(n, width, dtype=dtype, generator=generator, requires_grad=True) for n in sizes)
    rows = (
        torch.randint(sizes[0], (batch,), generator=generator),
        torch.randint(sizes[1], (2 * batch,), generator=generator),
    )
    weights, scales = (torch.randn(n, dtype=dtype, generator=generator) for n in (batch, 3))
    read = users[rows[0]], *items[rows[1]].split(batch)
    u, p, n = read
    squares = torch.stack([x.square().sum() for x in read])
    ((u * (n - p)).sum(1) @ weights + squares @ scales / 2).backward()
    with plain.threads(threads):
        margins, found = kernels.rank(users.detach(), items.detach(), rows)
        torch.testing.assert_close(margins, (u * (n - p)).sum(1).detach())
        torch.testing.assert_close(found, squares.detach())
        for of_items, matrix in enumerate((users, items)):
            arguments = users.detach(), items.detach(), rows, weights, scales
            whole = kernels.rank_gradient(*arguments, of_items=bool(of_items), in_table=True)
            torch.testing.assert_close(whole, matrix.grad)
            by_place = kernels.rank_gradient(*arguments, of_items=bool(of_items), in_table=False)
            torch.testing.assert_close(torch.zeros_like(matrix).index_add_(0, rows[of_items], by_place), matrix.grad)


@built
def test_without_rows_the_matrices_are_the_batch() -> None:
    users, items = torch.randn(4, 3), torch.randn(8, 3)
    every = torch.arange(4), torch.arange(8)
    torch.testing.assert_close(kernels.rank(users, items, None), kernels.rank(users, items, every), rtol=0, atol=0)
    arguments = torch.randn(4), torch.randn(3)
    for of_items in (False, True):
        found, expected = (
            kernels.rank_gradient(users, items, rows, *arguments, of_items=of_items, in_table=True)
            for rows in (None, every)
        )
        assert torch.equal(found, expected)


@built
@pytest.mark.parametrize("rows", [([0, 4], [0, 0, 0, 0]), ([0, -1], [0, 0, 0, 0]), ([0, 0], [0, 0, 0, 5])])
def test_a_row_that_is_not_there_is_an_error(rows: tuple[list[int], list[int]]) -> None:
    with pytest.raises(IndexError, match="a row outside of 4 users and 5 items"):
        kernels.rank(torch.ones(4, 2), torch.ones(5, 2), (torch.tensor(rows[0]), torch.tensor(rows[1])))


@built
def test_a_batch_whose_parts_do_not_go_together_is_an_error() -> None:
    for users, items, rows in (
        (torch.ones(2, 3), torch.ones(3, 3), None),
        (torch.ones(2, 3), torch.ones(4, 2), None),
        (torch.ones(2, 3), torch.ones(4, 3), (torch.tensor([0, 1]), torch.tensor([0]))),
    ):
        with pytest.raises(ValueError, match="users and"):
            kernels.rank(users, items, rows)


@built
def test_rows_of_any_integer_type_are_read() -> None:
    users, items, rows = torch.randn(4, 3), torch.randn(5, 3), (torch.tensor([3, 0]), torch.tensor([1, 4, 4, 2]))
    expected = kernels.rank(users, items, rows)[0]
    assert torch.equal(kernels.rank(users, items, (rows[0].int(), rows[1].int()))[0], expected)


@built
def test_rows_of_a_transposed_matrix_are_read_as_they_mean() -> None:
    users, items, rows = torch.randn(5, 4).T, torch.randn(8, 5), (torch.tensor([2, 0]), torch.tensor([1, 7, 7, 3]))
    assert torch.equal(kernels.rank(users, items, rows)[0], kernels.rank(users.contiguous(), items, rows)[0])


@built
@pytest.mark.parametrize("threads", [1, 2])
def test_many_rows_give_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    torch.manual_seed(0)
    users, items = torch.randn(300, 64), torch.randn(400, 64)
    rows = torch.randint(300, (2000,)), torch.randint(400, (4000,))
    weights, scales = torch.randn(2000), torch.randn(3)

    def gradients() -> list[Tensor]:
        arguments = users, items, rows, weights, scales
        return [kernels.rank_gradient(*arguments, of_items=side, in_table=True) for side in (False, True)]

    expected = gradients()
    with plain.threads(threads):
        assert all(torch.equal(*pair) for pair in zip(gradients(), expected, strict=True))


@built
@pytest.mark.parametrize("threads", [2, 3])
def test_sparse_products_have_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    torch.manual_seed(0)
    lengths = torch.cat([torch.tensor([3000, 0, 0]), torch.randint(9, (2000,))])  # most entries in one row
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]).int()
    stored = offsets, torch.randint(70, (int(offsets[-1]),), dtype=torch.int32), torch.randn(int(offsets[-1]))
    x, base = torch.randn(70, 100), torch.randn(len(lengths), 100)
    rows, places = torch.tensor([2002, 0, 1, 5]), torch.randint(-1, 70, (70,), dtype=torch.int32)

    def products() -> list[Tensor]:
        told = ({}, {"base": base, "scale": 0.5}, {"rows": rows, "base": base}, {"places": places})
        return [kernels.sparse_product(stored, x, **each) for each in told]

    expected = products()
    with plain.threads(threads):
        assert all(torch.equal(*pair) for pair in zip(products(), expected, strict=True))
    gathered = torch.repeat_interleave(lengths), stored[2][:, None] * x[stored[1].long()]
    plain_sum = torch.zeros(len(lengths), 100).index_add_(0, *gathered)
    for found, wanted in zip(expected, (plain_sum, 0.5 * (base + plain_sum), (base + plain_sum)[rows]), strict=False):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


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
def test_sums_of_a_contrast_are_those_of_all_similarities_written_out(
    threads: int, sizes: tuple[int, int], width: int, dtype: torch.dtype, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    anchors, candidates = (F.normalize(torch.randn(n, width, generator=generator)).to(dtype) for n in sizes)
    masses, counts = (torch.rand(n, generator=generator).to(dtype) for n in sizes)
    excluded, others = torch.randint(-1, sizes[1], sizes[:1], generator=generator), 0.1 + masses
    anchors = anchors * scale
    x, y, m, n, o = (given.double() for given in (anchors, candidates, masses, counts, others))
    exponentials = (x @ y.T).exp() * n * (excluded[:, None] != torch.arange(sizes[1]))
    partitions = o + exponentials.sum(1)
    expected = partitions, exponentials @ y, exponentials.T @ ((m / partitions)[:, None] * x)
    with plain.threads(threads):
        found = kernels.contrast(anchors, candidates, masses, counts=counts, excluded=excluded, others=others)
    for ours, theirs in zip(found, expected, strict=True):
        # Sums may cancel: the rounding is that of their largest terms.
        largest = float(theirs.abs().max())
        torch.testing.assert_close(
            ours.double(), theirs, rtol=0, atol=largest * (1e-5 if dtype == torch.float32 else 1e-12)
        )


@built
@pytest.mark.parametrize("threads", [2, 3])
def test_a_contrast_of_many_rows_is_the_same_on_any_number_of_threads(threads: int) -> None:
    torch.manual_seed(0)
    given = torch.randn(301, 4), torch.randn(403, 4), torch.rand(301)
    expected = kernels.contrast(*given)
    with plain.threads(threads):
        found = kernels.contrast(*given)
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[2], expected[2])  # of each thread's anchors, and then of all


@built
def test_exponentials_of_a_contrast_are_right_to_the_last_place() -> None:
    x = torch.linspace(-80, 80, 10**6)
    found = kernels.contrast(x[:, None], torch.ones(1, 1), torch.ones(len(x)))[0]
    exact = x.double().exp()
    assert float(((found.double() - exact) / exact).abs().max()) < torch.finfo(torch.float32).eps


@built
def test_what_is_no_number_spoils_a_contrast_visibly() -> None:
    anchors, candidates = torch.ones(5, 4), torch.ones(7, 4)
    anchors[1, 2] = torch.nan
    partitions, sums, pulls = kernels.contrast(anchors, candidates, torch.ones(5))
    assert partitions.isnan().tolist() == [False, True, False, False, False]
    assert sums[1].isnan().all() and pulls.isnan().all()


@built
def test_rows_too_wide_for_a_contrast_are_an_error() -> None:
    with pytest.raises(ValueError, match="rows 17 wide: at most 16"):
        kernels.contrast(torch.ones(2, 17), torch.ones(3, 17), torch.ones(2))


@built
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_moves_all_rows_as_pytorch_does_with_the_dense_gradient(dtype: torch.dtype, weight_decay: float) -> None:
    torch.manual_seed(0)
    start = torch.randn(600, 35, dtype=dtype)
    theirs = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([theirs], lr=0.01, weight_decay=weight_decay, fused=True)
    ours, mean, square = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, 5):
        rows = torch.randint(500, (700,))  # repeated ones, and some that momentum alone moves
        gradients = torch.randn(700, 35, dtype=dtype)
        settings = {"lr": 0.01, "betas": (0.9, 0.999), "epsilon": 1e-8, "weight_decay": weight_decay}
        kernels.adam(ours, mean, square, rows, gradients, step=step, **settings)
        theirs.grad = F.embedding(rows, torch.eye(600, dtype=dtype)).T @ gradients
        optimizer.step()
    torch.testing.assert_close(ours, theirs.detach())
    torch.testing.assert_close(square, optimizer.state[theirs]["exp_avg_sq"])
