"""Random parts of the user-item graph, of exact size, as masks for `BipartiteGraph.subgraph`."""

import torch
from torch import Tensor

from prismrec.graph.interaction import BipartiteGraph


def keep_edges(graph: BipartiteGraph, drop_rate: float, generator: torch.Generator | None = None) -> Tensor:
    """A mask that keeps ⌊E (1 - ρ)⌋ interactions, drawn without replacement; bool `[E]` on the device of the graph.

    Args:
        graph: the user-item graph.
        drop_rate: ρ, from 0 to below 1.
        generator: on the CPU; None uses PyTorch's global one.
    """
    edges = len(graph.to_users.values)
    return _random_subset(edges, int(edges * (1 - drop_rate)), graph.to_users.values.device, generator)


def keep_nodes(graph: BipartiteGraph, drop_rate: float, generator: torch.Generator | None = None) -> Tensor:
    """A mask that drops all interactions of ⌊ρ U⌋ users and ⌊ρ I⌋ items; bool `[E]` on the device of the graph.

    Args:
        graph: the user-item graph.
        drop_rate: ρ, from 0 to below 1.
        generator: on the CPU; None uses PyTorch's global one.
    """
    matrix = graph.to_users
    num_users, num_items = matrix.shape
    users = _random_subset(num_users, num_users - int(drop_rate * num_users), matrix.values.device, generator)
    items = _random_subset(num_items, num_items - int(drop_rate * num_items), matrix.values.device, generator)
    return users[matrix.rows] & items[matrix.indices]


def _random_subset(size: int, kept: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """A mask of `kept` random positions, bool `[size]`."""
    mask = torch.zeros(size, dtype=torch.bool, device=device)
    order = torch.randperm(size, generator=generator, device=device if generator is None else generator.device)
    return mask.index_fill_(0, order[:kept].to(device), True)
