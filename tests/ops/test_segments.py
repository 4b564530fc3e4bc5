import numpy as np
import pytest
import torch

from prismrec.ops.softmax import edges_of_rows, segment_softmax, segment_sum
from prismrec.testing import ISOLATED_ITEM, ISOLATED_USER, NUM_ITEMS, NUM_USERS, toy_interactions

pytestmark = pytest.mark.usefixtures("float64")


def dense_softmax(scores: torch.Tensor, mask: torch.Tensor, dim: int) -> torch.Tensor:
    """Softmax over the stored entries only, zeros in rows without any; at the stored entries, row-major."""
    return scores.masked_fill(~mask, -torch.inf).softmax(dim)[mask]


@pytest.mark.parametrize("bound", [None, 1.0])
@pytest.mark.parametrize("side", ["users", "items"])
def test_softmax_by_user_and_by_item_is_the_masked_dense_one_in_value_and_gradient(
    side: str, bound: float | None
) -> None:
    train = toy_interactions()
    mask = torch.from_numpy(train.csr.toarray() > 0)
    scores = (torch.rand(NUM_USERS, NUM_ITEMS) * 2 - 1).requires_grad_()
    segments, count, dim = (train.users, NUM_USERS, 1) if side == "users" else (train.items, NUM_ITEMS, 0)
    shares = segment_softmax(scores[mask], torch.from_numpy(segments).long(), count, bound=bound)
    dense = dense_softmax(scores, mask, dim)
    torch.testing.assert_close(shares, dense)
    weights = torch.randn(len(shares))
    found = torch.autograd.grad(shares @ weights, scores)
    torch.testing.assert_close(found, torch.autograd.grad(dense @ weights, scores))


def test_softmax_sums_to_one_and_survives_huge_scores() -> None:
    segments = torch.tensor([2, 0, 2, 0, 2])
    shares = segment_softmax(torch.tensor([5000.0, -4000.0, 5001.0, -4000.0, -5000.0]), segments, 4)
    torch.testing.assert_close(segment_sum(shares, segments, 4), torch.tensor([1.0, 0.0, 1.0, 0.0]))
    torch.testing.assert_close(shares[1], torch.tensor(0.5))


def test_a_constant_added_to_a_segment_changes_nothing() -> None:
    segments, values, shift = torch.tensor([0, 1, 1, 0, 1]), torch.randn(5), torch.randn(2)
    torch.testing.assert_close(
        segment_softmax(values + shift[segments], segments, 2), segment_softmax(values, segments, 2)
    )


def test_nothing_in_nothing_out() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert segment_softmax(torch.zeros(0), none, 3).shape == (0,)
    assert torch.equal(segment_sum(torch.zeros(0, 2), none, 3), torch.zeros(3, 2))
    edges, places = edges_of_rows(torch.tensor([0, 0, 2]), torch.tensor([0]))
    assert len(edges) == len(places) == 0


def test_edges_of_rows_are_those_rows_histories_in_the_order_asked() -> None:
    train = toy_interactions()
    rows = [7, ISOLATED_USER, 0, NUM_USERS - 1, 7]
    edges, places = edges_of_rows(torch.from_numpy(train.offsets), torch.tensor(rows))
    histories = [train.items_of(row) for row in rows]
    assert train.items[edges.numpy()].tolist() == np.concatenate(histories).tolist()
    assert places.tolist() == [place for place, history in enumerate(histories) for _ in history]
    assert ISOLATED_ITEM not in train.items
