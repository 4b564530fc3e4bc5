import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prismrec.nn import partition
from prismrec.ops.contrast import info_nce_of_pairs
from prismrec.ops.rows import unit_rows
from prismrec.testing import default_dtype

import plain


@st.composite
def repeating_pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Places of up to 12 pairs among up to 5 distinct anchors and 4 distinct candidates, all named."""
    size = draw(st.integers(1, 12))
    sides = (draw(st.lists(st.integers(0, most), min_size=size, max_size=size)) for most in (4, 3))
    anchors, candidates = (torch.tensor(side).unique(return_inverse=True)[1] for side in sides)
    return anchors, candidates


@given(places=repeating_pairs(), dtype=plain.DTYPES, temperature=st.sampled_from([0.01, 0.3]), cosines=st.booleans())
@settings(max_examples=60, deadline=None)
def test_value_and_gradient_are_those_of_every_pair_written_out(
    places: tuple[Tensor, Tensor], dtype: torch.dtype, temperature: float, cosines: bool
) -> None:
    with default_dtype(dtype):
        weights = [plain.random_rows(int(side.max()) + 1, 4, seed=seed) for seed, side in enumerate(places)]
        anchors, candidates = (unit_rows(rows) if cosines else rows for rows in weights)
        found = info_nce_of_pairs(anchors, candidates, *places, temperature, cosines=cosines)
        expected = plain.in_batch_info_nce(anchors[places[0]], candidates[places[1]], temperature)
        tolerance = {"rtol": 2e-4, "atol": 2e-4} if dtype == torch.float32 else {}
        torch.testing.assert_close(found, expected, **tolerance)
        gradients = (torch.autograd.grad(2 * x, weights, retain_graph=True) for x in (found, expected))
        torch.testing.assert_close(*gradients, **tolerance)


@pytest.mark.usefixtures("float64", "implementation")
@pytest.mark.parametrize("entries", [1, 7, 1000])
def test_blocks_do_not_change_it(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    monkeypatch.setattr(partition, "_BLOCK_ENTRIES", entries)
    monkeypatch.setattr(partition, "_LEAST_ROWS", 1)
    weights = plain.random_rows(5, 4), plain.random_rows(3, 4)
    places = torch.tensor([0, 4, 1, 1, 2, 3]), torch.tensor([2, 0, 1, 1, 0, 2])
    found = info_nce_of_pairs(*weights, *places, 0.3)
    expected = plain.in_batch_info_nce(weights[0][places[0]], weights[1][places[1]], 0.3)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, weights), torch.autograd.grad(expected, weights))


@pytest.mark.usefixtures("float64", "implementation")
def test_weights_and_counts_stand_for_pairs_and_candidates_that_repeat() -> None:
    rows = plain.random_rows(4, 3), plain.random_rows(5, 3, seed=1)
    places = torch.tensor([0, 2, 2, 1]), torch.tensor([1, 1, 4, 0])
    weights, counts = torch.tensor([0.5, 1.0, 0.0, 2.0]), torch.tensor([1.0, 3.0, 0.0, 2.0, 1.0])
    found = info_nce_of_pairs(*rows, *places, 0.3, weights=weights, counts=counts)
    similarities = rows[0][places[0]] @ rows[1].repeat_interleave(counts.long(), 0).T / 0.3
    chosen = (rows[0][places[0]] * rows[1][places[1]]).sum(1) / 0.3
    expected = weights @ (similarities.logsumexp(1) - chosen)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, rows), torch.autograd.grad(expected, rows))


def test_large_similarities_do_not_overflow() -> None:
    rows = (10 * torch.eye(3)).requires_grad_()
    places = torch.tensor([0, 1, 2, 2])
    loss = info_nce_of_pairs(rows, rows, places, places, 0.1)
    assert loss.item() == pytest.approx(torch.tensor(2.0).log().item() / 2, rel=1e-3)
    assert torch.autograd.grad(loss, rows)[0].isfinite().all()
