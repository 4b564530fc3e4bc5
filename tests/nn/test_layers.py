import torch
import torch.nn.functional as F

from prismrec.nn.layers import NGCFLayer


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(11, 4), torch.randn(11, 4)


def test_by_default_each_branch_has_its_activation(float64: None) -> None:
    own, received = rows()
    layer = NGCFLayer(4, 3, slope=0.3)
    first = F.leaky_relu(received @ layer.of_sum.weight.T + layer.of_sum.bias, 0.3)
    second = F.leaky_relu((own * received) @ layer.of_product.weight.T + layer.of_product.bias, 0.3)
    torch.testing.assert_close(layer(own, received), first + second)


def test_joint_is_one_activation_on_the_sum_of_both_branches(float64: None) -> None:
    own, received = rows()
    layer = NGCFLayer(4, 3, slope=0.3, adds_self=True, joint=True)
    first = (received + own) @ layer.of_sum.weight.T + layer.of_sum.bias
    second = (own * received) @ layer.of_product.weight.T + layer.of_product.bias
    torch.testing.assert_close(layer(own, received), F.leaky_relu(first + second, 0.3))


def test_with_a_linear_activation_joint_or_not_is_the_same(float64: None) -> None:
    own, received = rows()
    layer = NGCFLayer(4, 3, slope=1.0, adds_self=True)
    separate = layer(own, received)
    layer.joint = True
    torch.testing.assert_close(layer(own, received), separate)


def test_dropout_is_for_training_alone() -> None:
    own, received = rows()
    layer = NGCFLayer(4, 30, dropout=0.5)
    dropped = layer(own, received)
    whole = layer.eval()(own, received)
    kept = dropped != 0
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(dropped[kept], 2 * whole[kept])
