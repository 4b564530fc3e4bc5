import pytest
import torch
from torch import Tensor

from prismrec.ops import candidates
from prismrec.ops.candidates import CandidateSums, exponent_may_overflow, sum_over_candidates


def case(width: int) -> dict[str, Tensor]:
    """Seven anchors and nine candidates; one anchor excludes no candidate, and candidates have different counts."""
    generator = torch.Generator().manual_seed(0)
    return {
        "anchors": torch.randn(7, width, generator=generator),
        "candidates": torch.randn(9, width, generator=generator),
        "masses": torch.rand(7, generator=generator),
        "counts": torch.tensor([1.0, 2, 1, 0, 1, 5, 1, 1, 1]),
        "excluded": torch.tensor([0, 8, -1, 3, 3, 5, 7]),
        "log_others": torch.randn(7, generator=generator),
    }


def dense_sums(given: dict[str, Tensor]) -> CandidateSums:
    """The sums from the whole matrix of similarities."""
    x, y = given["anchors"], given["candidates"]
    exponentials = (x @ y.T).exp() * given.get("counts", torch.ones(len(y)))
    if "excluded" in given:
        exponentials = exponentials * (given["excluded"][:, None] != torch.arange(len(y)))
    partition = exponentials.sum(1) + (given["log_others"].exp() if "log_others" in given else 0)
    shares = exponentials / partition[:, None]
    return CandidateSums(partition.log(), shares @ y, shares.T @ (given["masses"][:, None] * x))


@pytest.mark.usefixtures("float64", "implementation")
@pytest.mark.parametrize(
    "missing", [(), ("counts",), ("excluded",), ("log_others",), ("counts", "excluded", "log_others")]
)
@pytest.mark.parametrize("may_overflow", [False, True])
@pytest.mark.parametrize("width", [3, 20])
@pytest.mark.parametrize("block", [1, 27, 1000])
def test_sums_equal_those_of_the_whole_matrix_of_similarities(
    missing: tuple[str, ...], may_overflow: bool, width: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "_BLOCK_ENTRIES", block)
    monkeypatch.setattr(candidates, "_LEAST_ANCHORS", 1)
    given = {name: tensor for name, tensor in case(width).items() if name not in missing}
    expected = dense_sums(given)
    anchors, others, masses = given.pop("anchors"), given.pop("candidates"), given.pop("masses")
    found = sum_over_candidates(anchors, others, masses, may_overflow=may_overflow, **given)
    torch.testing.assert_close(tuple(found), tuple(expected))


def test_an_exponent_may_overflow_if_the_bound_on_the_inner_products_is_large() -> None:
    long, short = torch.full((2, 4), 3.0), torch.ones(2, 4)  # lengths 6 and 2
    assert exponent_may_overflow(long, short, 0.2, cosines=False)
    assert not exponent_may_overflow(long, short, 0.4, cosines=False)
    assert not exponent_may_overflow(long, short, 0.1, cosines=True)
    assert exponent_may_overflow(long, short, 0.01, cosines=True)
    assert exponent_may_overflow(long.to("meta"), short.to("meta"), 0.4, cosines=False)  # no waiting for a GPU
