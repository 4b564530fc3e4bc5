import pytest
import torch

from prismrec.ops.uniform_dropout import dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_entries_are_dropped_independently_and_the_mean_is_kept(p: float) -> None:
    torch.manual_seed(0)
    x = torch.full((400, 500), 3.0, requires_grad=True)
    found = dropout(x, p, training=True)
    kept = found != 0
    deviation = (p * (1 - p)) ** 0.5
    assert abs(kept.double().mean().item() - (1 - p)) < 5 * deviation / 200_000**0.5
    neighbours = (kept[:, 1:] & kept[:, :-1]).double().mean().item()
    assert abs(neighbours - (1 - p) ** 2) < 0.01
    torch.testing.assert_close(found[kept], torch.full_like(found[kept], 3 / (1 - p)))
    (gradient,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(gradient, kept / (1 - p))


def test_nothing_is_dropped_outside_training_or_with_a_rate_of_zero() -> None:
    x = torch.randn(3, 4)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
