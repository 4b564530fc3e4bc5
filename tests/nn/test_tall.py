import pytest
import torch.nn.functional as F

from prismrec.ops.linear import TallLinear, linear

import plain


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 3, 1500])  # none, too few for blocks, blocks and a rest
def test_values_and_gradients_are_those_of_pytorch(float64: None, threads: int, count: int) -> None:
    rows, weight, bias = plain.random_rows(count, 5), plain.random_rows(3, 5, seed=1), plain.random_rows(3, seed=2)
    more = plain.random_rows(count, 3, seed=3)
    with plain.threads(threads):
        plain.assert_same(linear(rows, weight, bias), F.linear(rows, weight, bias), rows, weight, bias)
        plain.assert_same(linear(rows, weight, more), F.linear(rows, weight) + more, rows, weight, more)
        plain.assert_same(linear(rows, weight), F.linear(rows, weight), rows, weight)
        layer = TallLinear(5, 3)
        expected = F.linear(rows, layer.weight, layer.bias)
        plain.assert_same(layer(rows), expected, rows, layer.weight, layer.bias)
