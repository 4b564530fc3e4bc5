import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prismrec.nn import info_nce, partition
from prismrec.ops import _kernels as kernels
from prismrec.testing import default_dtype

import plain


def definition(anchors: Tensor, candidates: Tensor, positives: Tensor, temperature: float, weights: Tensor) -> Tensor:
    """Σ_b w_b (ln Σ_k exp s_bk - s_b,p(b)) from the whole matrix of similarities."""
    similarity = anchors @ candidates.T / temperature
    terms = torch.logsumexp(similarity, 1) - similarity[torch.arange(len(anchors)), positives]
    return (weights * terms).sum()


@given(
    anchors=st.integers(0, 7),
    candidates=st.integers(1, 6),
    width=st.sampled_from([3, 20]),
    temperature=st.floats(0.05, 5),
    scale=st.sampled_from([0.0, 1.0, 30.0]),
    dtype=plain.DTYPES,
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_value_and_gradient_are_those_of_the_definition(
    anchors: int, candidates: int, width: int, temperature: float, scale: float, dtype: torch.dtype, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    positives = torch.from_numpy(rng.integers(0, candidates, anchors))
    with default_dtype(dtype):
        weights = torch.as_tensor(rng.random(anchors)).to(dtype)
        rows = [plain.random_rows(n, width, seed=seed) for n in (anchors, candidates)]
        tables = [(x * scale / width).detach().requires_grad_() for x in rows]
        found = info_nce(*tables, positives, temperature, weights)
    # In double precision: what float32 loses in the reference is not to be excused in the result.
    doubles = [x.detach().double().requires_grad_() for x in tables]
    expected = definition(*doubles, positives, temperature, weights.double())
    largest = float(max(1.0, (doubles[0].abs().sum() * doubles[1].abs().sum() / temperature).item()))
    tolerance = {"rtol": 0, "atol": largest * (1e-5 if dtype == torch.float32 else 1e-13)}
    torch.testing.assert_close(found.double(), expected, **tolerance)
    gradients = torch.autograd.grad(found, tables), torch.autograd.grad(expected, doubles)
    for here, there in zip(*gradients, strict=True):
        torch.testing.assert_close(here.double(), there, **tolerance)


def case() -> tuple[Tensor, Tensor, Tensor]:
    positives = torch.tensor([2, 0, 2, 5, 1])
    return plain.random_rows(5, 4), plain.random_rows(6, 4), positives


@pytest.mark.usefixtures("float64")
def test_repeated_anchors_merge_into_one_with_their_count() -> None:
    anchors, candidates, positives = case()
    repeated = torch.tensor([0, 3, 3, 1, 0, 3])
    plain_sum = info_nce(anchors[repeated], candidates, positives[repeated], 0.2)
    rows, counts = repeated.unique(return_counts=True)
    merged = info_nce(anchors[rows], candidates, positives[rows], 0.2, counts.double())
    plain.assert_same(merged, plain_sum, anchors, candidates)


@pytest.mark.usefixtures("float64", "implementation")
def test_anchors_may_be_their_own_candidates() -> None:
    rows = plain.random_rows(4, 3)
    own = torch.arange(4)
    plain.assert_same(info_nce(rows, rows, own, 0.5), definition(rows, rows, own, 0.5, torch.ones(4)), rows)


@pytest.mark.usefixtures("float64", "implementation")
@pytest.mark.parametrize("wide", [1, 100])
@pytest.mark.parametrize("block", [1, 7, 12, 1000])
def test_the_size_of_blocks_does_not_matter(block: int, wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    anchors, candidates, positives = case()
    monkeypatch.setattr(partition, "_BLOCK_ENTRIES", block)
    monkeypatch.setattr(partition, "_LEAST_ROWS", 1)
    monkeypatch.setattr(partition, "_WIDE", wide)
    expected = definition(anchors, candidates, positives, 0.2, torch.ones(5))
    plain.assert_same(info_nce(anchors, candidates, positives, 0.2), expected, anchors, candidates)


def test_no_more_than_a_block_of_similarities_is_ever_held(monkeypatch: pytest.MonkeyPatch) -> None:
    anchors, candidates = plain.random_rows(50, 2), plain.random_rows(40, 2)
    positives = torch.arange(50) % 40
    monkeypatch.setattr(kernels, "_library", None)
    monkeypatch.setattr(partition, "_BLOCK_ENTRIES", 160)
    monkeypatch.setattr(partition, "_LEAST_ROWS", 1)
    with plain.LargestTensor() as largest:
        info_nce(anchors, candidates, positives, 0.2).backward()
    assert largest.entries == 160
    with plain.LargestTensor() as naive:
        definition(anchors, candidates, positives, 0.2, torch.ones(50)).backward()
    assert naive.entries == 50 * 40


def test_very_large_similarities_do_not_overflow() -> None:
    anchors, candidates, positives = (x.detach() for x in case())
    anchors, candidates = (anchors * 1e4).requires_grad_(), (candidates * 1e4).requires_grad_()
    loss = info_nce(anchors, candidates, positives, 0.05)
    loss.backward()
    doubles = anchors.double(), candidates.double()
    torch.testing.assert_close(loss.double(), definition(*doubles, positives, 0.05, torch.ones(5)), rtol=1e-5, atol=0)
    assert anchors.grad.isfinite().all()
    assert candidates.grad.isfinite().all()


def test_a_lone_candidate_costs_nothing_and_pulls_nowhere() -> None:
    anchors, candidate = plain.random_rows(3, 2), plain.random_rows(1, 2)
    loss = info_nce(anchors, candidate, torch.zeros(3, dtype=torch.int64), 0.1)
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(0.0))
    torch.testing.assert_close(anchors.grad, torch.zeros(3, 2))
    torch.testing.assert_close(candidate.grad, torch.zeros(1, 2))


def test_only_one_side_may_take_a_gradient() -> None:
    anchors, candidates, positives = case()
    expected = torch.autograd.grad(definition(anchors, candidates, positives, 0.2, torch.ones(5)), candidates)
    found = torch.autograd.grad(info_nce(anchors.detach(), candidates, positives, 0.2), candidates)
    torch.testing.assert_close(found, expected)


def test_a_factor_on_the_loss_scales_its_gradient() -> None:
    anchors, candidates, positives = case()
    single, threefold = (factor * info_nce(anchors, candidates, positives, 0.2) for factor in (1, 3))
    plain.assert_same(threefold, 3 * single, anchors, candidates)


def sampled_definition(anchors: Tensor, candidates: Tensor, positives: Tensor, sample: Tensor) -> Tensor:
    """ln (exp s_bp + r_b Σ_{k in S, k ≠ p} exp s_bk) - s_bp at τ = 0.2, r_b others for each of those in the sample."""
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
def test_a_sample_stands_for_all_candidates_and_the_positive_for_itself(
    sample: list[int], cosines: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "_BLOCK_ENTRIES", block)
    monkeypatch.setattr(partition, "_LEAST_ROWS", 1)
    anchors, candidates, positives = case()
    drawn = torch.tensor(sample)
    found = info_nce(anchors, candidates, positives, 0.2, cosines=cosines, sample=drawn)
    plain.assert_same(found, sampled_definition(anchors, candidates, positives, drawn), anchors, candidates)
    if len(sample) == len(candidates):
        plain.assert_same(found, info_nce(anchors, candidates, positives, 0.2), anchors, candidates)


@pytest.mark.usefixtures("float64")
def test_over_many_samples_value_and_gradient_come_near_those_of_all_candidates() -> None:
    anchors, candidates = (torch.nn.functional.normalize(plain.random_rows(n, 4)) for n in (5, 200))
    anchors, candidates = (x.detach().requires_grad_() for x in (anchors, candidates))
    positives = torch.tensor([2, 0, 2, 5, 150])
    generator = torch.Generator().manual_seed(0)

    def value_and_gradients(sample: Tensor | None) -> Tensor:
        loss = info_nce(anchors, candidates, positives, 0.5, sample=sample)
        gradients = torch.autograd.grad(loss, (anchors, candidates))
        return torch.cat([loss.detach()[None], *(x.flatten() for x in gradients)])

    draws = [torch.randperm(200, generator=generator)[:50].sort().values for _ in range(400)]
    samples = torch.stack([value_and_gradients(sample) for sample in draws])
    exact = value_and_gradients(None)
    error = samples.mean(0) - exact
    assert abs(error[0] / exact[0]) < 0.005
    assert error[1:].norm() < 0.1 * exact[1:].norm()
    assert (samples - exact)[:, 0].std() > 0  # else nothing was sampled


def test_a_sample_does_not_go_with_excluded_candidates() -> None:
    anchors, candidates, positives = case()
    with pytest.raises(ValueError, match="excluded"):
        info_nce(anchors, candidates, positives, 0.2, excluded=positives, sample=positives)
