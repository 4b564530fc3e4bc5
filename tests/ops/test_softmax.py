"""The softmax over few entries against PyTorch's own."""

import torch

from prismrec.ops.softmax import narrow_softmax


def test_value_and_gradient_are_those_of_the_softmax(float64: None) -> None:
    logits = (30 * torch.randn(50, 3)).requires_grad_()
    weights = torch.randn(50, 3)
    found, expected = narrow_softmax(logits), logits.softmax(1)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((weights * each).sum(), logits)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_entries_far_below_the_largest_of_their_row_count_as_if_at_the_bound() -> None:
    found = narrow_softmax(torch.tensor([[100.0, -100.0, 95.0]]), least=-10)
    torch.testing.assert_close(found, torch.tensor([[0.0, -10.0, -5.0]]).softmax(1))
