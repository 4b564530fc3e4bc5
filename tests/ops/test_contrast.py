import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prismrec.ops import candidates as candidates_module
from prismrec.ops import unit_rows, without_kernels
from prismrec.ops.contrast import info_nce, info_nce_of_pairs
from prismrec.testing import default_dtype

import plain


def definition(anchors: Tensor, candidates: Tensor, positives: Tensor, temperature: float, weights: Tensor) -> Tensor:
    """Σ_b w_b (ln Σ_k exp s_bk - s_b,p(b)) from the whole matrix of similarities."""
    similarity = anchors @ candidates.T / temperature
    terms = torch.logsumexp(similarity, 1) - similarity[torch.arange(len(anchors)), positives]
    return (weights * terms).sum()


def set_blocks(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    """Hold so few similarities at once that several blocks are needed."""
    monkeypatch.setattr(candidates_module, "_BLOCK_ENTRIES", entries)
    monkeypatch.setattr(candidates_module, "_LEAST_ANCHORS", 1)


@given(
    sizes=st.tuples(st.integers(0, 7), st.integers(1, 6)),
    width=st.sampled_from([3, 20]),
    temperature=st.floats(0.05, 5),
    scale=st.sampled_from([0.0, 1.0, 30.0]),
    dtype=plain.DTYPES,
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_info_nce_equals_its_definition(
    sizes: tuple[int, int], width: int, temperature: float, scale: float, dtype: torch.dtype, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    positives = torch.from_numpy(rng.integers(0, sizes[1], sizes[0]))
    with default_dtype(dtype):
        weights = torch.as_tensor(rng.random(sizes[0])).to(dtype)
        anchors = (plain.random_rows(sizes[0], width, seed=seed) * scale / width).detach().requires_grad_()
        candidates = (plain.random_rows(sizes[1], width, seed=seed) * scale / width).detach().requires_grad_()
        found = info_nce(anchors, candidates, positives, temperature, weights)
    # The reference is in double precision, so that its own rounding does not excuse that of the result.
    wide_anchors = anchors.detach().double().requires_grad_()
    wide_candidates = candidates.detach().double().requires_grad_()
    expected = definition(wide_anchors, wide_candidates, positives, temperature, weights.double())
    largest = float(max(1.0, (wide_anchors.abs().sum() * wide_candidates.abs().sum() / temperature).item()))
    tolerance = {"rtol": 0, "atol": largest * (1e-5 if dtype == torch.float32 else 1e-13)}
    torch.testing.assert_close(found.double(), expected, **tolerance)
    grad_anchors, grad_candidates = torch.autograd.grad(found, (anchors, candidates))
    expected_anchors, expected_candidates = torch.autograd.grad(expected, (wide_anchors, wide_candidates))
    torch.testing.assert_close(grad_anchors.double(), expected_anchors, **tolerance)
    torch.testing.assert_close(grad_candidates.double(), expected_candidates, **tolerance)


def case() -> tuple[Tensor, Tensor, Tensor]:
    """Anchors, candidates and positives."""
    positives = torch.tensor([2, 0, 2, 5, 1])
    return plain.random_rows(5, 4), plain.random_rows(6, 4), positives


@pytest.mark.usefixtures("float64", "implementation")
def test_a_count_as_weight_equals_repeated_anchors() -> None:
    anchors, candidates, positives = case()
    repeated = torch.tensor([0, 3, 3, 1, 0, 3])
    expected = info_nce(anchors[repeated], candidates, positives[repeated], 0.2)
    rows, counts = repeated.unique(return_counts=True)
    found = info_nce(anchors[rows], candidates, positives[rows], 0.2, counts.double())
    plain.assert_same(found, expected, anchors, candidates)


@pytest.mark.usefixtures("float64", "implementation")
def test_anchors_may_be_their_own_candidates() -> None:
    rows = plain.random_rows(4, 3)
    own = torch.arange(4)
    plain.assert_same(info_nce(rows, rows, own, 0.5), definition(rows, rows, own, 0.5, torch.ones(4)), rows)


@pytest.mark.usefixtures("float64", "implementation")
@pytest.mark.parametrize("wide_from", [1, 100])
@pytest.mark.parametrize("block", [1, 7, 12, 1000])
def test_the_size_of_blocks_does_not_matter(block: int, wide_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    anchors, candidates, positives = case()
    set_blocks(monkeypatch, block)
    monkeypatch.setattr(candidates_module, "_WIDE", wide_from)
    expected = definition(anchors, candidates, positives, 0.2, torch.ones(5))
    plain.assert_same(info_nce(anchors, candidates, positives, 0.2), expected, anchors, candidates)


def test_no_more_than_one_block_of_similarities_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    anchors, candidates = plain.random_rows(50, 2), plain.random_rows(40, 2)
    positives = torch.arange(50) % 40
    set_blocks(monkeypatch, 160)
    with without_kernels(), plain.LargestTensor() as largest:
        info_nce(anchors, candidates, positives, 0.2).backward()
    assert largest.entries == 160
    with plain.LargestTensor() as of_definition:
        definition(anchors, candidates, positives, 0.2, torch.ones(50)).backward()
    assert of_definition.entries == 50 * 40


def test_very_large_similarities_do_not_overflow() -> None:
    rows, other_rows, positives = case()
    anchors = (rows.detach() * 1e4).requires_grad_()
    candidates = (other_rows.detach() * 1e4).requires_grad_()
    loss = info_nce(anchors, candidates, positives, 0.05)
    loss.backward()
    expected = definition(anchors.double(), candidates.double(), positives, 0.05, torch.ones(5))
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    assert anchors.grad.isfinite().all()
    assert candidates.grad.isfinite().all()


def test_a_single_candidate_gives_no_loss_and_no_gradient() -> None:
    anchors, candidate = plain.random_rows(3, 2), plain.random_rows(1, 2)
    loss = info_nce(anchors, candidate, torch.zeros(3, dtype=torch.int64), 0.1)
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(0.0))
    torch.testing.assert_close(anchors.grad, torch.zeros(3, 2))
    torch.testing.assert_close(candidate.grad, torch.zeros(1, 2))


def test_anchors_may_be_constants() -> None:
    anchors, candidates, positives = case()
    expected = torch.autograd.grad(definition(anchors, candidates, positives, 0.2, torch.ones(5)), candidates)
    found = torch.autograd.grad(info_nce(anchors.detach(), candidates, positives, 0.2), candidates)
    torch.testing.assert_close(found, expected)


def test_a_factor_on_the_loss_scales_its_gradient() -> None:
    anchors, candidates, positives = case()
    loss = info_nce(anchors, candidates, positives, 0.2)
    scaled = torch.autograd.grad(3 * loss, (anchors, candidates), retain_graph=True)
    grad_anchors, grad_candidates = torch.autograd.grad(loss, (anchors, candidates))
    torch.testing.assert_close(scaled, (3 * grad_anchors, 3 * grad_candidates))


def sampled_definition(anchors: Tensor, candidates: Tensor, positives: Tensor, sample: Tensor) -> Tensor:
    """ln (exp s_bp + r_b Σ_{k in S, k ≠ p} exp s_bk) - s_bp at τ = 0.2; r_b is (C - 1) / (others in the sample)."""
    total = anchors.new_zeros(())
    for anchor, positive in zip(anchors, positives.tolist(), strict=True):
        logits = (candidates @ anchor) / 0.2
        others = [k for k in sample.tolist() if k != positive]
        scale = (len(candidates) - 1) / len(others)
        total = total + (logits[positive].exp() + scale * logits[others].exp().sum()).log() - logits[positive]
    return total


@pytest.mark.usefixtures("float64", "implementation")
@pytest.mark.parametrize("sample", [[0, 3], [1, 2, 4], [0, 1, 2, 3, 4, 5]])
@pytest.mark.parametrize("cosines", [False, True])
@pytest.mark.parametrize("block", [1, 1 << 19])
def test_a_sample_of_candidates_is_scaled_up_and_the_positive_counts_once(
    sample: list[int], cosines: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_blocks(monkeypatch, block)
    anchors, candidates, positives = case()
    drawn = torch.tensor(sample)
    found = info_nce(anchors, candidates, positives, 0.2, cosines=cosines, sample=drawn)
    plain.assert_same(found, sampled_definition(anchors, candidates, positives, drawn), anchors, candidates)
    if len(sample) == len(candidates):
        plain.assert_same(found, info_nce(anchors, candidates, positives, 0.2), anchors, candidates)


@pytest.mark.usefixtures("float64")
def test_the_average_over_samples_is_near_the_exact_loss_and_gradient() -> None:
    anchors = F.normalize(plain.random_rows(5, 4)).detach().requires_grad_()
    candidates = F.normalize(plain.random_rows(200, 4)).detach().requires_grad_()
    positives = torch.tensor([2, 0, 2, 5, 150])
    generator = torch.Generator().manual_seed(0)

    def value_and_gradients(sample: Tensor | None) -> Tensor:
        loss = info_nce(anchors, candidates, positives, 0.5, sample=sample)
        grad_anchors, grad_candidates = torch.autograd.grad(loss, (anchors, candidates))
        return torch.cat([loss.detach()[None], grad_anchors.flatten(), grad_candidates.flatten()])

    draws = [torch.randperm(200, generator=generator)[:50].sort().values for _ in range(400)]
    samples = torch.stack([value_and_gradients(sample) for sample in draws])
    exact = value_and_gradients(None)
    error = samples.mean(0) - exact
    assert abs(error[0] / exact[0]) < 0.005
    assert error[1:].norm() < 0.1 * exact[1:].norm()
    assert (samples - exact)[:, 0].std() > 0  # otherwise nothing was sampled


def test_a_sample_and_excluded_candidates_cannot_be_combined() -> None:
    anchors, candidates, positives = case()
    with pytest.raises(ValueError, match="excluded"):
        info_nce(anchors, candidates, positives, 0.2, excluded=positives, sample=positives)


def dense_info_nce_of_pairs(
    anchors: Tensor, candidates: Tensor, anchor_of: Tensor, candidate_of: Tensor, temperature: float
) -> Tensor:
    """InfoNCE with one row per pair."""
    return plain.in_batch_info_nce(anchors[anchor_of], candidates[candidate_of], temperature)


@st.composite
def repeated_pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Up to 12 pairs of up to 5 anchors and 4 candidates; every anchor and candidate has a pair."""
    size = draw(st.integers(1, 12))
    anchors = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    candidates = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    _, anchor_of = torch.tensor(anchors).unique(return_inverse=True)
    _, candidate_of = torch.tensor(candidates).unique(return_inverse=True)
    return anchor_of, candidate_of


@given(pairs=repeated_pairs(), dtype=plain.DTYPES, temperature=st.sampled_from([0.01, 0.3]), cosines=st.booleans())
@settings(max_examples=60, deadline=None)
def test_info_nce_of_pairs_equals_info_nce_with_one_row_per_pair(
    pairs: tuple[Tensor, Tensor], dtype: torch.dtype, temperature: float, cosines: bool
) -> None:
    anchor_of, candidate_of = pairs
    with default_dtype(dtype):
        anchor_table = plain.random_rows(int(anchor_of.max()) + 1, 4, seed=0)
        candidate_table = plain.random_rows(int(candidate_of.max()) + 1, 4, seed=1)
        anchors = unit_rows(anchor_table) if cosines else anchor_table
        candidates = unit_rows(candidate_table) if cosines else candidate_table
        found = info_nce_of_pairs(anchors, candidates, anchor_of, candidate_of, temperature, cosines=cosines)
        expected = dense_info_nce_of_pairs(anchors, candidates, anchor_of, candidate_of, temperature)
        tolerance = {"rtol": 2e-4, "atol": 2e-4} if dtype == torch.float32 else {}
        torch.testing.assert_close(found, expected, **tolerance)
        tables = anchor_table, candidate_table
        expected_gradients = torch.autograd.grad(2 * expected, tables, retain_graph=True)
        torch.testing.assert_close(torch.autograd.grad(2 * found, tables), expected_gradients, **tolerance)


@pytest.mark.usefixtures("float64", "implementation")
@pytest.mark.parametrize("entries", [1, 7, 1000])
def test_the_size_of_blocks_does_not_matter_for_pairs(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    set_blocks(monkeypatch, entries)
    anchors, candidates = plain.random_rows(5, 4), plain.random_rows(3, 4)
    anchor_of, candidate_of = torch.tensor([0, 4, 1, 1, 2, 3]), torch.tensor([2, 0, 1, 1, 0, 2])
    found = info_nce_of_pairs(anchors, candidates, anchor_of, candidate_of, 0.3)
    expected = dense_info_nce_of_pairs(anchors, candidates, anchor_of, candidate_of, 0.3)
    plain.assert_same(found, expected, anchors, candidates)


@pytest.mark.usefixtures("float64", "implementation")
def test_weights_of_pairs_and_counts_of_candidates_equal_repetitions() -> None:
    anchors, candidates = plain.random_rows(4, 3), plain.random_rows(5, 3, seed=1)
    anchor_of, candidate_of = torch.tensor([0, 2, 2, 1]), torch.tensor([1, 1, 4, 0])
    weights, counts = torch.tensor([0.5, 1.0, 0.0, 2.0]), torch.tensor([1.0, 3.0, 0.0, 2.0, 1.0])
    found = info_nce_of_pairs(anchors, candidates, anchor_of, candidate_of, 0.3, weights=weights, counts=counts)
    similarities = anchors[anchor_of] @ candidates.repeat_interleave(counts.long(), 0).T / 0.3
    positives = (anchors[anchor_of] * candidates[candidate_of]).sum(1) / 0.3
    expected = weights @ (similarities.logsumexp(1) - positives)
    plain.assert_same(found, expected, anchors, candidates)


def test_large_similarities_of_pairs_do_not_overflow() -> None:
    rows = (10 * torch.eye(3)).requires_grad_()
    pairs = torch.tensor([0, 1, 2, 2])
    loss = info_nce_of_pairs(rows, rows, pairs, pairs, 0.1)
    assert loss.item() == pytest.approx(torch.tensor(2.0).log().item() / 2, rel=1e-3)
    assert torch.autograd.grad(loss, rows)[0].isfinite().all()
