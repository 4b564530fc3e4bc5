import pytest
import torch

from prismrec.nn.contrast import in_batch_info_nce

import plain


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("size", [1, 2, 9])
def test_value_and_gradient_are_those_of_cross_entropy_with_the_own_row(size: int) -> None:
    pair = plain.random_rows(size, 4), plain.random_rows(size, 4, seed=1)
    loss, expected = in_batch_info_nce(*pair, 0.3), plain.in_batch_info_nce(*pair, 0.3)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, pair), torch.autograd.grad(expected, pair))


@pytest.mark.usefixtures("float64")
def test_a_hard_negative_is_a_candidate_of_its_own_anchor_alone() -> None:
    anchors, candidates, hard = (plain.random_rows(5, 4, seed=seed) for seed in range(3))
    loss = in_batch_info_nce(anchors, candidates, 0.3, hard)
    terms = []
    for b in range(5):
        scores = torch.cat([candidates, hard[b : b + 1]]) @ anchors[b] / 0.3
        terms.append(scores.exp().sum().log() - scores[b])
    expected = torch.stack(terms).mean()
    torch.testing.assert_close(loss, expected)
    weights = anchors, candidates, hard
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))
    assert loss > in_batch_info_nce(anchors, candidates, 0.3)


def test_rows_occurring_twice_are_negatives_of_each_other() -> None:
    rows = torch.eye(3)[[0, 0, 1]]
    torch.testing.assert_close(in_batch_info_nce(rows, rows, 1.0), plain.in_batch_info_nce(rows, rows, 1.0))
    assert in_batch_info_nce(rows[:2], rows[:2], 1.0) == pytest.approx(torch.tensor(2.0).log().item())
