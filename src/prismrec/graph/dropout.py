"""Random parts of the user-item graph, of exact size, as masks for `BipartiteGraph.thinned`."""

import torch
from torch import Tensor

from prismrec.graph.interaction import BipartiteGraph


def keep_edges(graph: BipartiteGraph, drop_rate: float, generator: torch.Generator | None = None) -> Tensor:
    """Bool `[E]`, true for ⌊E (1 - ρ)⌋ interactions drawn without replacement.

    Args:
        graph: over the interactions, on whose device the mask is.
        drop_rate: ρ, from 0 to below 1.
        generator: on the CPU; PyTorch's global one where absent.
    """
    edges = len(graph.to_users.values)
    return _subset(edges, int(edges * (1 - drop_rate)), graph.to_users.values.device, generator)


def keep_nodes(graph: BipartiteGraph, drop_rate: float, generator: torch.Generator | None = None) -> Tensor:
    """Bool `[E]`, true for interactions that lose neither end when ⌊ρ U⌋ users and ⌊ρ I⌋ items are dropped.

    Args:
        graph: over the interactions, on whose device the mask is.
        drop_rate: ρ, from 0 to below 1.
        generator: on the CPU; PyTorch's global one where absent.
    """
    matrix = graph.to_users
    users, items = (_subset(n, n - int(drop_rate * n), matrix.values.device, generator) for n in matrix.shape)
    return users[matrix.rows] & items[matrix.indices]


def _subset(size: int, kept: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    mask = torch.zeros(size, dtype=torch.bool, device=device)
    order = torch.randperm(size, generator=generator, device=device if generator is None else generator.device)
    return mask.index_fill_(0, order[:kept].to(device), True)
