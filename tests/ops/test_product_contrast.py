"""The contrast of two matrix products against the cosines of all their rows."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops.product_contrast import Product, _flush_tiny_values, info_nce_of_products

import plain

ANCHORS = torch.tensor([0, 1, 2, 3, 5, 9])


def memberships(hyperedges: int, seed: int) -> tuple[Tensor, Tensor]:
    """Memberships of 12 nodes before and after dropout.

    After dropout, node 0 is in no hyperedge, nodes 1 and 2 are in one, node 3 is in one with a tiny weight, and the
    other nodes are in a random number of hyperedges.
    """
    generator = torch.Generator().manual_seed(seed)
    before = torch.rand(12, hyperedges, generator=generator)
    before[3, -1] = 1e-14
    kept = torch.rand(12, hyperedges, generator=generator) < 0.4
    kept[:4] = False
    kept[1:3, 0] = kept[3, -1] = True
    before.requires_grad_()
    return before, before * kept


def dense_contrast(first: Product, second: Product, weights: Tensor) -> Tensor:
    rows = F.normalize(first.left @ first.right)
    other_rows = F.normalize(second.left @ second.right)
    return weights @ F.cross_entropy(rows[ANCHORS] @ other_rows.T / 0.3, ANCHORS, reduction="none")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("hyperedges", [1, 4, 7])
def test_info_nce_of_products_equals_the_dense_contrast(hyperedges: int) -> None:
    before, members = memberships(hyperedges, 0)
    other_before, other_members = memberships(hyperedges, 1)
    messages, other_messages = plain.random_rows(hyperedges, 5, seed=2), plain.random_rows(hyperedges, 5, seed=3)
    first, second = Product(members, messages), Product(other_members, other_messages)
    weights = torch.arange(1.0, len(ANCHORS) + 1)
    found = info_nce_of_products(first, second, ANCHORS, weights, 0.3)
    expected = dense_contrast(first, second, weights)
    plain.assert_same(found, expected, before, other_before, messages, other_messages)


def test_as_many_candidates_as_rows_use_all_rows() -> None:
    _, members = memberships(4, 0)
    _, other_members = memberships(4, 1)
    first, second = Product(members, torch.randn(4, 5)), Product(other_members, torch.randn(4, 5))
    weights = torch.ones(len(ANCHORS))
    exact = info_nce_of_products(first, second, ANCHORS, weights, 0.3)
    assert torch.equal(info_nce_of_products(first, second, ANCHORS, weights, 0.3, candidates=12), exact)
    assert not torch.equal(info_nce_of_products(first, second, ANCHORS, weights, 0.3, candidates=5), exact)


def test_nodes_in_a_single_hyperedge_are_computed_once() -> None:
    members = torch.eye(4)[torch.arange(3000) % 4] * torch.rand(3000, 1)
    first, second = Product(members, torch.randn(4, 8)), Product(members, torch.randn(4, 8))
    anchors = torch.arange(500)
    with torch.no_grad(), plain.LargestTensor() as largest:
        info_nce_of_products(first, second, anchors, torch.ones(500), 0.2)
    assert largest.entries <= 8 * 3000


def test_tiny_values_become_zero_and_keep_their_gradient() -> None:
    values = torch.tensor([[0.5, 1e-30, -1e-42]], requires_grad=True)
    flushed = _flush_tiny_values(values)
    assert flushed.tolist() == [[0.5, 0.0, 0.0]]
    flushed.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[1.0, 1.0, 1.0]]
