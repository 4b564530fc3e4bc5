import numpy as np
import pytest
import torch
from torch import Tensor

from prismrec.ops.softmax import edges_of_rows, narrow_softmax, segment_softmax, segment_sum
from prismrec.testing import ISOLATED_ITEM, ISOLATED_USER, NUM_ITEMS, NUM_USERS, toy_interactions

import plain

pytestmark = pytest.mark.usefixtures("float64")


def test_narrow_softmax_equals_the_softmax() -> None:
    logits = (30 * torch.randn(50, 3)).requires_grad_()
    plain.assert_same(narrow_softmax(logits), logits.softmax(1), logits)


def test_entries_far_below_the_largest_of_their_row_count_as_the_bound() -> None:
    found = narrow_softmax(torch.tensor([[100.0, -100.0, 95.0]]), least=-10)
    torch.testing.assert_close(found, torch.tensor([[0.0, -10.0, -5.0]]).softmax(1))


def dense_softmax(scores: Tensor, mask: Tensor, dim: int) -> Tensor:
    """The softmax over the entries of a mask, at these entries in row-major order."""
    return scores.masked_fill(~mask, -torch.inf).softmax(dim)[mask]


@pytest.mark.parametrize("bound", [None, 1.0])
@pytest.mark.parametrize("side", ["users", "items"])
def test_segment_softmax_equals_the_masked_dense_softmax(side: str, bound: float | None) -> None:
    train = toy_interactions()
    mask = torch.from_numpy(train.csr.toarray() > 0)
    scores = (torch.rand(NUM_USERS, NUM_ITEMS) * 2 - 1).requires_grad_()
    segments, count, dim = (train.users, NUM_USERS, 1) if side == "users" else (train.items, NUM_ITEMS, 0)
    found = segment_softmax(scores[mask], torch.from_numpy(segments).long(), count, bound=bound)
    plain.assert_same(found, dense_softmax(scores, mask, dim), scores)


def test_segment_softmax_sums_to_one_and_does_not_overflow() -> None:
    segments = torch.tensor([2, 0, 2, 0, 2])
    shares = segment_softmax(torch.tensor([5000.0, -4000.0, 5001.0, -4000.0, -5000.0]), segments, 4)
    torch.testing.assert_close(segment_sum(shares, segments, 4), torch.tensor([1.0, 0.0, 1.0, 0.0]))
    torch.testing.assert_close(shares[1], torch.tensor(0.5))


def test_segment_softmax_ignores_a_constant_added_to_a_segment() -> None:
    segments, values, shift = torch.tensor([0, 1, 1, 0, 1]), torch.randn(5), torch.randn(2)
    found = segment_softmax(values + shift[segments], segments, 2)
    torch.testing.assert_close(found, segment_softmax(values, segments, 2))


def test_empty_segments_are_allowed() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert segment_softmax(torch.zeros(0), none, 3).shape == (0,)
    assert torch.equal(segment_sum(torch.zeros(0, 2), none, 3), torch.zeros(3, 2))
    edges, positions = edges_of_rows(torch.tensor([0, 0, 2]), torch.tensor([0]))
    assert len(edges) == len(positions) == 0


def test_edges_of_rows_are_the_histories_of_these_rows_in_order() -> None:
    train = toy_interactions()
    rows = [7, ISOLATED_USER, 0, NUM_USERS - 1, 7]
    edges, positions = edges_of_rows(torch.from_numpy(train.offsets), torch.tensor(rows))
    histories = [train.items_of(row) for row in rows]
    assert train.items[edges.numpy()].tolist() == np.concatenate(histories).tolist()
    assert positions.tolist() == [position for position, history in enumerate(histories) for _ in history]
    assert ISOLATED_ITEM not in train.items
