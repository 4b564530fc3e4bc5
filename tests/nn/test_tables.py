from collections.abc import Callable

import pytest
import torch
from torch import nn

from prismrec.nn import normal_table, xavier_normal_table, xavier_table


def test_a_xavier_table_is_uniform_within_its_bound() -> None:
    torch.manual_seed(0)
    table, bound = xavier_table(400, 60), (6 / 460) ** 0.5
    assert 0.99 * bound < table.abs().max() <= bound
    assert table.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_normal_tables_have_their_standard_deviation() -> None:
    torch.manual_seed(0)
    assert xavier_normal_table(400, 60).std().item() == pytest.approx((2 / 460) ** 0.5, rel=0.02)
    assert normal_table(400, 60).std().item() == pytest.approx(0.1, rel=0.02)
    assert normal_table(400, 60, std=2.0).std().item() == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("table", [xavier_table, xavier_normal_table, normal_table])
def test_tables_follow_the_global_generator(table: Callable[[int, int], nn.Parameter]) -> None:
    torch.manual_seed(0)
    first = table(5, 4)
    torch.manual_seed(0)
    assert torch.equal(first, table(5, 4))
    assert first.requires_grad
