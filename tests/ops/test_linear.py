import pytest
import torch

from prismrec.nn import project, projection
from prismrec.ops.linear import FeatureLinear

import plain


@pytest.mark.parametrize("block_entries", [1, 15, 1000])
@pytest.mark.parametrize("count", [None, 0, 1, 7, 20])
def test_it_is_the_product_of_the_gathered_rows_in_value_and_gradient(
    count: int | None, block_entries: int, monkeypatch: pytest.MonkeyPatch, float64: None
) -> None:
    monkeypatch.setattr(projection, "_BLOCK_ENTRIES", block_entries)
    features, weight = torch.randn(9, 5), plain.random_rows(3, 5)
    rows = None if count is None else torch.randint(9, (count,))
    expected = (features if rows is None else features[rows]) @ weight.T
    plain.assert_same(project(features, weight, rows), expected, weight)


def test_the_layer_is_the_linear_layer_of_the_same_weights(float64: None) -> None:
    features, layer = torch.randn(9, 5), FeatureLinear(5, 3)
    plain.assert_same(
        layer(features), torch.nn.functional.linear(features, layer.weight, layer.bias), *layer.parameters()
    )


def test_no_copy_of_all_the_rows_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "_BLOCK_ENTRIES", 64)
    features, weight, rows = torch.randn(50, 32), torch.randn(1, 32), torch.arange(40)
    with torch.no_grad(), plain.LargestTensor() as largest:
        project(features, weight, rows=rows)
    assert largest.entries <= 64


@pytest.mark.parametrize("rows", [None, torch.arange(3, 40)])
def test_bfloat16_features_give_float32_products_and_gradients_to_three_digits(
    rows: torch.Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "_BLOCK_ENTRIES", 3000)
    torch.manual_seed(0)
    features, weight = torch.randn(50, 300), torch.randn(8, 300, requires_grad=True)
    exact = project(features, weight, rows=rows)
    (expected,) = torch.autograd.grad(exact.square().sum(), weight)
    rounded = project(features.bfloat16(), weight, rows=rows)
    (gradient,) = torch.autograd.grad(rounded.square().sum(), weight)
    for found, wanted in ((rounded, exact), (gradient, expected)):
        assert found.dtype == torch.float32
        error = torch.linalg.vector_norm(found - wanted) / torch.linalg.vector_norm(wanted)
        assert 0 < error.item() < 1e-2
