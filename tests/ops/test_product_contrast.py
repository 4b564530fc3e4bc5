"""Hypergraphs contrasted in the space of hyperedges, against cosines of all rows written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops.product_contrast import _without_dust, info_nce_of_products

import plain

ANCHORS = torch.tensor([0, 1, 2, 3, 5, 9])


def memberships(hyperedges: int, seed: int) -> tuple[Tensor, Tensor]:
    """Of 12 nodes before and after dropout: in none, in one, in one hardly at all, and in such as chance has it."""
    generator = torch.Generator().manual_seed(seed)
    before = torch.rand(12, hyperedges, generator=generator)
    before[3, -1] = 1e-14
    kept = torch.rand(12, hyperedges, generator=generator) < 0.4
    kept[:4] = False
    kept[1:3, 0] = kept[3, -1] = True
    before.requires_grad_()
    return before, before * kept


def cosines_written_out(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
    rows, others = (F.normalize(members @ messages) for members, messages in (first, second))
    return weights @ F.cross_entropy(rows[ANCHORS] @ others.T / 0.3, ANCHORS, reduction="none")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("hyperedges", [1, 4, 7])
def test_value_and_gradient_are_those_of_all_rows_written_out(hyperedges: int) -> None:
    members = [memberships(hyperedges, seed) for seed in (0, 1)]
    messages = [plain.random_rows(hyperedges, 5, seed=seed) for seed in (2, 3)]
    first, second = ((after, sent) for (_, after), sent in zip(members, messages, strict=True))
    weights = torch.arange(1.0, len(ANCHORS) + 1)
    found = info_nce_of_products(first, second, ANCHORS, weights, 0.3)
    expected = cosines_written_out(first, second, weights)
    torch.testing.assert_close(found, expected)
    settings = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    inputs = [*(before for before, _ in members), *messages]
    torch.testing.assert_close(*(torch.autograd.grad(x, inputs, **settings) for x in (found, expected)))


def test_nodes_in_one_hyperedge_alone_are_compared_once() -> None:
    members = torch.eye(4)[torch.arange(3000) % 4] * torch.rand(3000, 1)
    views = [(members, torch.randn(4, 8)) for _ in range(2)]
    anchors = torch.arange(500)
    with torch.no_grad(), plain.LargestTensor() as largest:
        info_nce_of_products(views[0], views[1], anchors, torch.ones(500), 0.2)
    assert largest.entries <= 8 * 3000


def test_the_contrast_of_hyperedges_that_nobody_is_in_meets_no_denormal_numbers() -> None:
    values = torch.tensor([[0.5, 1e-30, -1e-42]], requires_grad=True)
    cleaned = _without_dust(values)
    assert cleaned.tolist() == [[0.5, 0.0, 0.0]]
    cleaned.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[1.0, 1.0, 1.0]]
