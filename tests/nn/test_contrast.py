import pytest
import torch

from prismrec.nn.contrast import in_batch_info_nce, view_contrast

import plain


@pytest.mark.usefixtures("float64")
def test_view_contrast_equals_the_sum_over_the_batch() -> None:
    first, second = plain.random_rows(13, 5), plain.random_rows(13, 5, seed=1)
    nodes = torch.tensor([3, 0, 3, 3, 12, 0])
    cosines = torch.cosine_similarity(first[nodes, None], second[None], dim=2) / 0.3
    terms = [cosines[b].logsumexp(0) - cosines[b, node] for b, node in enumerate(nodes.tolist())]
    plain.assert_same(view_contrast(first, second, nodes, 0.3), torch.stack(terms).sum(), first, second)


def test_view_contrast_does_not_depend_on_the_length_of_rows() -> None:
    torch.manual_seed(0)
    first, second, nodes = torch.randn(7, 3), torch.randn(7, 3), torch.tensor([1, 4])
    scaled = view_contrast(first * 5, second * torch.rand(7, 1), nodes, 0.5)
    torch.testing.assert_close(scaled, view_contrast(first, second, nodes, 0.5))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("size", [1, 2, 9])
def test_in_batch_info_nce_equals_the_cross_entropy_with_the_own_row(size: int) -> None:
    anchors, candidates = plain.random_rows(size, 4), plain.random_rows(size, 4, seed=1)
    found = in_batch_info_nce(anchors, candidates, 0.3)
    plain.assert_same(found, plain.in_batch_info_nce(anchors, candidates, 0.3), anchors, candidates)


@pytest.mark.usefixtures("float64")
def test_a_hard_negative_is_a_candidate_of_its_own_anchor_only() -> None:
    anchors, candidates = plain.random_rows(5, 4, seed=0), plain.random_rows(5, 4, seed=1)
    hard = plain.random_rows(5, 4, seed=2)
    loss = in_batch_info_nce(anchors, candidates, 0.3, hard)
    terms = []
    for b in range(5):
        scores = torch.cat([candidates, hard[b : b + 1]]) @ anchors[b] / 0.3
        terms.append(scores.exp().sum().log() - scores[b])
    plain.assert_same(loss, torch.stack(terms).mean(), anchors, candidates, hard)
    assert loss > in_batch_info_nce(anchors, candidates, 0.3)


def test_repeated_rows_of_a_batch_are_negatives_of_each_other() -> None:
    rows = torch.eye(3)[[0, 0, 1]]
    torch.testing.assert_close(in_batch_info_nce(rows, rows, 1.0), plain.in_batch_info_nce(rows, rows, 1.0))
    assert in_batch_info_nce(rows[:2], rows[:2], 1.0) == pytest.approx(torch.tensor(2.0).log().item())
