import pytest
import torch

from prismrec.ops.topk import NO_ITEM, runs, top_k_keys, unpack_keys


def found(scores: torch.Tensor, k: int, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best k, one block of items after the other."""
    keys = torch.empty(len(scores), 0, dtype=torch.int64)
    for first in range(0, scores.shape[1], block):
        part = scores[:, first : first + block]
        width, groups = runs(part.shape[1], k)
        padded = torch.full((len(scores), width * groups), -torch.inf)
        padded[:, : part.shape[1]] = part
        keys = top_k_keys(padded.view(-1, width, groups), first, k, keys)
    return unpack_keys(keys)


def sorted_list(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """By a stable sort of everything; -1 and -inf beyond what has a score."""
    values, items = scores.sort(dim=1, descending=True, stable=True)
    values, items = (torch.nn.functional.pad(x, (0, k))[:, :k] for x in (values, items))
    empty = (torch.arange(k) >= scores.shape[1]) | (values == -torch.inf)
    return items.masked_fill(empty, -1), values.masked_fill(empty, -torch.inf)


@pytest.mark.parametrize("k", [1, 5, 60])
@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("kind", ["different", "ties", "hidden", "equal", "nothing"])
def test_it_is_the_head_of_the_sorted_list(implementation: str, k: int, block: int, kind: str) -> None:
    scores = torch.randn(9, 100, generator=torch.Generator().manual_seed(0))
    if kind == "ties":
        scores = scores.round()  # -0 among them
    elif kind == "hidden":
        scores[scores < 1] = -torch.inf
        scores[3] = torch.tensor([torch.inf, -torch.inf]).repeat(50)
    elif kind == "equal":
        scores = torch.ones(9, 100)
    elif kind == "nothing":
        scores = torch.full((9, 100), -torch.inf)
    items, values = found(scores, k, block)
    expected_items, expected_values = sorted_list(scores + 0.0, k)
    assert torch.equal(items, expected_items)
    assert torch.equal(values, expected_values)


def test_a_key_without_a_score_is_no_item(implementation: str) -> None:
    items, scores = unpack_keys(torch.tensor([[NO_ITEM]]))
    assert items.tolist() == [[-1]]
    assert scores.tolist() == [[-torch.inf]]
