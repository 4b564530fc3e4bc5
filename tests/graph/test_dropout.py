from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from prismrec.graph import BipartiteGraph, keep_edges, keep_nodes
from prismrec.types import Interactions

PAIRS = np.argwhere(np.ones((20, 15)))
COMPLETE = Interactions.from_pairs(PAIRS[:, 0], PAIRS[:, 1], 20, 15)
"""Every user has every item, so a mask shows which nodes were dropped."""


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.33, 0.99])
def test_an_exact_number_of_edges_is_kept(rate: float) -> None:
    kept = keep_edges(BipartiteGraph(COMPLETE), rate)
    assert kept.shape == (300,)
    assert kept.sum() == int(300 * (1 - rate))


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.33, 0.99])
def test_an_exact_number_of_nodes_loses_all_edges_and_no_others_are_dropped(rate: float) -> None:
    kept = keep_nodes(BipartiteGraph(COMPLETE), rate).reshape(20, 15)
    users, items = kept.any(1), kept.any(0)
    assert (~users).sum() == int(rate * 20)
    assert (~items).sum() == int(rate * 15)
    assert torch.equal(kept, users[:, None] & items)


@pytest.mark.parametrize("keep", [keep_edges, keep_nodes])
def test_the_mask_depends_on_the_generator_only(keep: Callable[..., Tensor]) -> None:
    graph = BipartiteGraph(COMPLETE)
    masks = [keep(graph, 0.3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    torch.manual_seed(1)
    assert torch.equal(keep(graph, 0.3), masks[0])  # the global generator with the same seed


def test_each_edge_is_kept_equally_often() -> None:
    graph = BipartiteGraph(COMPLETE)
    torch.manual_seed(0)
    shares = torch.stack([keep_edges(graph, 0.25) for _ in range(400)]).double().mean(0)
    assert (shares - 0.75).abs().max() < 5 * (0.75 * 0.25 / 400) ** 0.5  # five standard deviations


def test_a_graph_without_edges_has_empty_masks() -> None:
    graph = BipartiteGraph(Interactions.from_pairs([], [], 3, 2))
    assert keep_edges(graph, 0.5).shape == keep_nodes(graph, 0.5).shape == (0,)
