import pytest
import torch

from prismrec.ops.dropout import dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_entries_are_dropped_independently_and_the_mean_is_kept(share: float) -> None:
    torch.manual_seed(0)
    x = torch.full((400, 500), 3.0, requires_grad=True)
    found = dropout(x, share, training=True)
    kept = found != 0
    deviation = (share * (1 - share)) ** 0.5
    assert abs(kept.double().mean().item() - (1 - share)) < 5 * deviation / 200_000**0.5
    neighbours = (kept[:, 1:] & kept[:, :-1]).double().mean().item()
    assert abs(neighbours - (1 - share) ** 2) < 0.01
    torch.testing.assert_close(found[kept], torch.full_like(found[kept], 3 / (1 - share)))
    (gradient,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(gradient, kept / (1 - share))


def test_outside_training_and_without_a_share_nothing_is_dropped() -> None:
    x = torch.randn(3, 4)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
