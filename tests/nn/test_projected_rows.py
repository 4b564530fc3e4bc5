import pytest
import torch

import plain
from prismrec.nn import projected_rows as module
from prismrec.nn.projected_rows import projected_rows


@pytest.mark.parametrize("count", [0, 1, 7, 20])
@pytest.mark.parametrize("block_entries", [1, 15, 1000])
def test_it_is_the_product_of_the_gathered_rows_in_value_and_gradient(
    count: int, block_entries: int, monkeypatch: pytest.MonkeyPatch, float64: None
) -> None:
    monkeypatch.setattr(module, "_BLOCK_ENTRIES", block_entries)
    table, weight = torch.randn(9, 5), plain.random_rows(3, 5)
    rows = torch.randint(9, (count,))
    plain.assert_same(projected_rows(table, rows, weight), table[rows] @ weight.T, weight)


def test_no_copy_of_all_the_rows_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_ENTRIES", 64)
    table, weight, rows = torch.randn(50, 32), torch.randn(1, 32), torch.arange(40)
    with torch.no_grad(), plain.LargestTensor() as largest:
        projected_rows(table, rows, weight)
    assert largest.entries <= 64
