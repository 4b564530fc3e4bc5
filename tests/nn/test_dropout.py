import torch

from prismrec.nn.dropout import dropout


def test_an_entry_is_kept_and_scaled_or_zero_and_its_gradient_alike() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 300).requires_grad_()
    kept = dropout(x, 0.8)
    (factor,) = torch.autograd.grad(kept.sum(), x)
    assert factor.unique().tolist() == [0, 1.25]
    torch.testing.assert_close(kept, x * factor)
    assert abs(float((factor > 0).double().mean()) - 0.8) < 0.01  # six standard deviations


def test_keeping_all_changes_nothing() -> None:
    x = torch.randn(5, 4)
    assert torch.equal(dropout(x, 1.0), x)
