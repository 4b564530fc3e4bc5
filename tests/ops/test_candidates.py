import pytest
import torch
from torch import Tensor

from prismrec.nn import partition
from prismrec.ops.candidates import Sums, exponent_may_overflow, sum_over_candidates


def case(width: int) -> dict[str, Tensor]:
    """Seven anchors and nine candidates; one anchor excludes none, one has a candidate twice."""
    generator = torch.Generator().manual_seed(0)
    return {
        "anchors": torch.randn(7, width, generator=generator),
        "candidates": torch.randn(9, width, generator=generator),
        "masses": torch.rand(7, generator=generator),
        "counts": torch.tensor([1.0, 2, 1, 0, 1, 5, 1, 1, 1]),
        "excluded": torch.tensor([0, 8, -1, 3, 3, 5, 7]),
        "others": torch.randn(7, generator=generator),
    }


def written_out(given: dict[str, Tensor]) -> Sums:
    """`Sums` from the whole matrix of similarities, whatever is not given left out."""
    x, y = given["anchors"], given["candidates"]
    shares = (x @ y.T).exp() * given.get("counts", torch.ones(len(y)))
    if "excluded" in given:
        shares = shares * (given["excluded"][:, None] != torch.arange(len(y)))
    partitions = shares.sum(1) + (given["others"].exp() if "others" in given else 0)
    shares = shares / partitions[:, None]
    return Sums(partitions.log(), shares @ y, shares.T @ (given["masses"][:, None] * x))


@pytest.mark.usefixtures("float64", "implementation")
@pytest.mark.parametrize("missing", [(), ("counts",), ("excluded",), ("others",), ("counts", "excluded", "others")])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("width", [3, 20])
@pytest.mark.parametrize("block", [1, 27, 1000])
def test_sums_are_those_of_all_similarities_written_out(
    missing: tuple[str, ...], shifted: bool, width: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "_BLOCK_ENTRIES", block)
    monkeypatch.setattr(partition, "_LEAST_ROWS", 1)
    given = {name: tensor for name, tensor in case(width).items() if name not in missing}
    expected = written_out(given)
    found = sum_over_candidates(
        given.pop("anchors"), given.pop("candidates"), given.pop("masses"), shifted=shifted, **given
    )
    torch.testing.assert_close(tuple(found), tuple(expected))


def test_a_shift_is_needed_where_an_exponential_might_leave_float32() -> None:
    long, short = torch.full((2, 4), 3.0), torch.ones(2, 4)  # 6 and 2 long
    assert exponent_may_overflow(long, short, 0.2, cosines=False)
    assert not exponent_may_overflow(long, short, 0.4, cosines=False)
    assert not exponent_may_overflow(long, short, 0.1, cosines=True)
    assert exponent_may_overflow(long, short, 0.01, cosines=True)
