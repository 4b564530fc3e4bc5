import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.nn.layers import AttentionFusion, FeatureLinear, HyperedgeMaps, NGCFLayer, TallLinear

import plain


@pytest.mark.usefixtures("float64")
def test_tall_linear_equals_the_linear_layer_with_its_weights() -> None:
    rows, layer = plain.random_rows(1500, 5), TallLinear(5, 3)
    plain.assert_same(layer(rows), F.linear(rows, layer.weight, layer.bias), rows, layer.weight, layer.bias)


@pytest.mark.usefixtures("float64")
def test_feature_linear_equals_the_linear_layer_with_its_weights() -> None:
    features, layer = torch.randn(9, 5), FeatureLinear(5, 3)
    plain.assert_same(layer(features), F.linear(features, layer.weight, layer.bias), layer.weight, layer.bias)


def own_and_received() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(11, 4), torch.randn(11, 4)


@pytest.mark.usefixtures("float64")
def test_an_ngcf_layer_activates_each_branch_by_default() -> None:
    own, received = own_and_received()
    layer = NGCFLayer(4, 3, slope=0.3)
    first = F.leaky_relu(received @ layer.of_sum.weight.T + layer.of_sum.bias, 0.3)
    second = F.leaky_relu((own * received) @ layer.of_product.weight.T + layer.of_product.bias, 0.3)
    torch.testing.assert_close(layer(own, received), first + second)


@pytest.mark.usefixtures("float64")
def test_a_joint_ngcf_layer_activates_the_sum_of_both_branches() -> None:
    own, received = own_and_received()
    layer = NGCFLayer(4, 3, slope=0.3, adds_self=True, joint=True)
    first = (received + own) @ layer.of_sum.weight.T + layer.of_sum.bias
    second = (own * received) @ layer.of_product.weight.T + layer.of_product.bias
    torch.testing.assert_close(layer(own, received), F.leaky_relu(first + second, 0.3))


@pytest.mark.usefixtures("float64")
def test_with_a_linear_activation_joint_and_separate_ngcf_layers_are_equal() -> None:
    own, received = own_and_received()
    layer = NGCFLayer(4, 3, slope=1.0, adds_self=True)
    separate = layer(own, received)
    layer.joint = True
    torch.testing.assert_close(layer(own, received), separate)


def test_an_ngcf_layer_drops_entries_in_training_only() -> None:
    own, received = own_and_received()
    layer = NGCFLayer(4, 30, dropout=0.5)
    dropped = layer(own, received)
    complete = layer.eval()(own, received)
    kept = dropped != 0
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(dropped[kept], 2 * complete[kept])


@pytest.mark.parametrize("maps", [1, 3])
def test_attention_weighs_each_row_by_itself_and_weights_sum_to_one(maps: int) -> None:
    torch.manual_seed(0)
    fusion, views = AttentionFusion(5, maps), [torch.randn(7, 5) for _ in range(3)]
    weights = fusion.weights(views)
    torch.testing.assert_close(weights.sum(1), torch.ones(7))
    torch.testing.assert_close(fusion([view[2:3] for view in views]), fusion(views)[2:3])
    expected = sum(weights[:, m : m + 1] * view for m, view in enumerate(views))
    torch.testing.assert_close(fusion(views), expected)


def test_attention_distinguishes_equal_views_only_with_one_map_per_view() -> None:
    torch.manual_seed(0)
    views = [torch.randn(7, 5)] * 2
    torch.testing.assert_close(AttentionFusion(5, 1).weights(views), torch.full((7, 2), 0.5))
    assert (AttentionFusion(5, 2).weights(views) - 0.5).abs().min() > 1e-4


def test_the_fusion_of_equal_views_is_that_view() -> None:
    view = torch.randn(7, 5)
    torch.testing.assert_close(AttentionFusion(5, 3)([view] * 3), view)


@pytest.mark.usefixtures("float64")
def test_hyperedge_maps_apply_the_maps_of_a_layer_and_side_in_a_row() -> None:
    torch.manual_seed(0)
    maps, messages = HyperedgeMaps(layers=2, maps=3, hyperedges=4, slope=0.2), torch.randn(4, 5)
    expected = messages
    for weight in maps.weight[1, 0]:
        expected = F.leaky_relu(weight @ expected, 0.2) + expected
    torch.testing.assert_close(maps(1, 0, messages), expected)
    assert maps.weight.abs().max() <= (6 / 8) ** 0.5
