import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops.topk import NO_ITEM, group_shape, top_k_keys, unpack_keys


def found_in_blocks(scores: Tensor, k: int, block: int) -> tuple[Tensor, Tensor]:
    """The best k, from one block of items after the other."""
    keys = torch.empty(len(scores), 0, dtype=torch.int64)
    for first in range(0, scores.shape[1], block):
        part = scores[:, first : first + block]
        width, groups = group_shape(part.shape[1], k)
        padded = torch.full((len(scores), width * groups), -torch.inf)
        padded[:, : part.shape[1]] = part
        keys = top_k_keys(padded.view(-1, width, groups), first, k, keys)
    return unpack_keys(keys)


def found_by_sorting(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The best k from a stable sort of all scores; -1 and -inf after the last item."""
    sorted_scores, sorted_items = scores.sort(dim=1, descending=True, stable=True)
    values = F.pad(sorted_scores, (0, k))[:, :k]
    items = F.pad(sorted_items, (0, k))[:, :k]
    empty = (torch.arange(k) >= scores.shape[1]) | (values == -torch.inf)
    return items.masked_fill(empty, -1), values.masked_fill(empty, -torch.inf)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("k", [1, 5, 60])
@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("kind", ["distinct", "ties", "masked", "equal", "all masked"])
def test_the_best_k_are_the_head_of_the_sorted_list(k: int, block: int, kind: str) -> None:
    scores = torch.randn(9, 100, generator=torch.Generator().manual_seed(0))
    if kind == "ties":
        scores = scores.round()  # -0 among them
    elif kind == "masked":
        scores[scores < 1] = -torch.inf
        scores[3] = torch.tensor([torch.inf, -torch.inf]).repeat(50)
    elif kind == "equal":
        scores = torch.ones(9, 100)
    elif kind == "all masked":
        scores = torch.full((9, 100), -torch.inf)
    items, values = found_in_blocks(scores, k, block)
    expected_items, expected_values = found_by_sorting(scores + 0.0, k)
    assert torch.equal(items, expected_items)
    assert torch.equal(values, expected_values)


def test_an_absent_key_has_no_item_and_no_score() -> None:
    items, scores = unpack_keys(torch.tensor([[NO_ITEM]]))
    assert items.tolist() == [[-1]]
    assert scores.tolist() == [[-torch.inf]]


@pytest.mark.parametrize(("num_items", "k"), [(1, 1), (3, 7), (100, 1), (100, 60), (4096, 20)])
def test_groups_hold_all_items_and_are_at_least_k(num_items: int, k: int) -> None:
    width, groups = group_shape(num_items, k)
    assert width * groups >= num_items
    assert groups >= min(k, num_items)
