import numpy as np
import pytest
import torch

from prismrec.graph import BipartiteGraph, keep_edges, keep_nodes
from prismrec.types import Interactions

PAIRS = np.argwhere(np.ones((20, 15)))
COMPLETE = Interactions.from_pairs(PAIRS[:, 0], PAIRS[:, 1], 20, 15)
"""Every user has every item: what is left of it tells which nodes were dropped."""


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.33, 0.99])
def test_exactly_so_many_edges_are_kept(rate: float) -> None:
    kept = keep_edges(BipartiteGraph(COMPLETE), rate)
    assert kept.shape == (300,)
    assert kept.sum() == int(300 * (1 - rate))


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.33, 0.99])
def test_exactly_so_many_nodes_lose_all_their_edges_and_the_others_none_of_theirs(rate: float) -> None:
    left = keep_nodes(BipartiteGraph(COMPLETE), rate).reshape(20, 15)
    users, items = left.any(1), left.any(0)
    assert (~users).sum() == int(rate * 20)
    assert (~items).sum() == int(rate * 15)
    assert torch.equal(left, users[:, None] & items)


@pytest.mark.parametrize("keep", [keep_edges, keep_nodes])
def test_the_generator_decides(keep) -> None:
    graph = BipartiteGraph(COMPLETE)
    masks = [keep(graph, 0.3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    torch.manual_seed(1)
    assert torch.equal(keep(graph, 0.3), masks[0])  # the global generator, seeded alike


def test_each_edge_is_kept_equally_often() -> None:
    graph = BipartiteGraph(COMPLETE)
    torch.manual_seed(0)
    shares = torch.stack([keep_edges(graph, 0.25) for _ in range(400)]).double().mean(0)
    assert (shares - 0.75).abs().max() < 5 * (0.75 * 0.25 / 400) ** 0.5  # five standard deviations


def test_nothing_is_drawn_from_a_graph_without_edges() -> None:
    graph = BipartiteGraph(Interactions.from_pairs([], [], 3, 2))
    assert keep_edges(graph, 0.5).shape == keep_nodes(graph, 0.5).shape == (0,)
