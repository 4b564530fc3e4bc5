"""Products with constant features, in their own precision."""

import pytest
import torch

from prismrec.nn import project


def test_bfloat16_features_give_float32_products_and_gradients_to_three_digits() -> None:
    torch.manual_seed(0)
    features, weight = torch.randn(50, 300), torch.randn(8, 300, requires_grad=True)
    exact = project(features, weight)
    (expected,) = torch.autograd.grad(exact.square().sum(), weight)
    rounded = project(features.bfloat16(), weight)
    (gradient,) = torch.autograd.grad(rounded.square().sum(), weight)
    for found, wanted in ((rounded, exact), (gradient, expected)):
        assert found.dtype == torch.float32
        error = torch.linalg.vector_norm(found - wanted) / torch.linalg.vector_norm(wanted)
        assert 0 < error.item() < 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_features_are_multiplied_as_they_are(dtype: torch.dtype) -> None:
    features, weight = torch.randn(5, 7, dtype=dtype), torch.randn(3, 7, dtype=dtype)
    torch.testing.assert_close(project(features, weight), features @ weight.T)
