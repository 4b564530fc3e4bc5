import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops import linear_maps
from prismrec.ops.linear_maps import linear, project_features

import plain


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("at_once", [1, 15, 1000])
@pytest.mark.parametrize("count", [None, 0, 1, 7, 20])
def test_project_features_equals_the_product_of_the_gathered_rows(
    count: int | None, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_maps, "_FEATURES_AT_ONCE", at_once)
    features, weight = torch.randn(9, 5), plain.random_rows(3, 5)
    rows = None if count is None else torch.randint(9, (count,))
    expected = (features if rows is None else features[rows]) @ weight.T
    plain.assert_same(project_features(features, weight, rows), expected, weight)


def test_project_features_does_not_copy_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_maps, "_FEATURES_AT_ONCE", 64)
    features, weight, rows = torch.randn(50, 32), torch.randn(1, 32), torch.arange(40)
    with torch.no_grad(), plain.LargestTensor() as largest:
        project_features(features, weight, rows=rows)
    assert largest.entries <= 64


@pytest.mark.parametrize("rows", [None, torch.arange(3, 40)])
def test_bfloat16_features_give_float32_results_with_an_error_below_one_percent(
    rows: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_maps, "_FEATURES_AT_ONCE", 3000)
    torch.manual_seed(0)
    features, weight = torch.randn(50, 300), torch.randn(8, 300, requires_grad=True)
    exact = project_features(features, weight, rows=rows)
    (exact_gradient,) = torch.autograd.grad(exact.square().sum(), weight)
    rounded = project_features(features.bfloat16(), weight, rows=rows)
    (rounded_gradient,) = torch.autograd.grad(rounded.square().sum(), weight)
    assert rounded.dtype == rounded_gradient.dtype == torch.float32
    assert 0 < relative_error(rounded, exact) < 1e-2
    assert 0 < relative_error(rounded_gradient, exact_gradient) < 1e-2


def relative_error(found: Tensor, expected: Tensor) -> float:
    return (torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected)).item()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 3, 1500])  # no rows, too few for blocks, blocks and a rest
def test_linear_equals_that_of_pytorch(threads: int, count: int) -> None:
    rows, weight, bias = plain.random_rows(count, 5), plain.random_rows(3, 5, seed=1), plain.random_rows(3, seed=2)
    added = plain.random_rows(count, 3, seed=3)
    with plain.threads(threads):
        plain.assert_same(linear(rows, weight, bias), F.linear(rows, weight, bias), rows, weight, bias)
        plain.assert_same(linear(rows, weight, added), F.linear(rows, weight) + added, rows, weight, added)
        plain.assert_same(linear(rows, weight), F.linear(rows, weight), rows, weight)


def test_the_gradient_of_linear_does_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(0)
    rows, weight, grad = torch.randn(9000, 64), torch.randn(64, 64, requires_grad=True), torch.randn(9000, 64)
    gradients = []
    for count in (1, 2, 3):
        with plain.threads(count):
            gradients += torch.autograd.grad(linear(rows, weight), weight, grad)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])
