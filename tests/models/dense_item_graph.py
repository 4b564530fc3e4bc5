"""The parts of LATTICE and MICRO on dense matrices, for comparison."""

from collections.abc import Callable

import torch
from torch import Tensor

from prismrec.models import Recommender
from prismrec.models.lattice import LATTICE
from prismrec.models.micro import MICRO
from prismrec.testing import toy_batch
from prismrec.types import Interactions, Triplets

import plain


def kept_cosines(features: Tensor, k: int) -> Tensor:
    unit = features / features.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    kept = torch.zeros_like(cosines).scatter_(1, cosines.topk(k).indices, 1.0)
    return (cosines * kept).clamp(min=0)


def dense_learned_graph(features: Tensor, k: int) -> Tensor:
    graph = kept_cosines(features, k)
    root = graph.sum(1).rsqrt()
    return root[:, None] * graph * root[None]


def dense_backbone(model: LATTICE | MICRO) -> tuple[Tensor, Tensor]:
    """The mean over layers on one square graph of users and items."""
    config, tables = model.config, torch.cat([model.user_table, model.item_table])
    halves = model.backbone.graph.to_users  # with the pattern of R
    R = torch.zeros(halves.shape).index_put((halves.rows, halves.indices.long()), torch.ones(len(halves.values)))
    A = torch.zeros(len(tables), len(tables))
    A[: len(R), len(R) :], A[len(R) :, : len(R)] = R, R.T
    if config.interaction_graph == "rw_self":
        A = A + torch.eye(len(A))
        A = A / A.sum(1, keepdim=True)
    else:
        root = A.sum(1).clamp(min=1).rsqrt()
        A = root[:, None] * A * root[None]
    nodes, layers = tables, [tables]
    for depth in range(0 if config.backbone == "MF" else config.layers):
        received = A @ nodes
        if config.backbone == "NGCF":
            layer = model.backbone.layers[depth]
            received = torch.nn.functional.leaky_relu(layer.of_sum(received)) + torch.nn.functional.leaky_relu(
                layer.of_product(nodes * received)
            )
        nodes = received
        layers.append(nodes / nodes.norm(dim=1, keepdim=True) if config.backbone == "NGCF" else nodes)
    users, items = torch.stack(layers).mean(0).split([len(R), R.shape[1]])
    return users, items


def dense_loss(users: Tensor, items: Tensor, batch: Triplets, batch_size: int) -> dict[str, Tensor]:
    ranked = users[batch.users], items[batch.positives], items[batch.negatives]
    scores = (ranked[0] * ranked[1]).sum(1) - (ranked[0] * ranked[2]).sum(1)
    squares = sum(rows.pow(2).sum() for rows in ranked) / (2 * batch_size)
    return {"bpr": -torch.nn.functional.logsigmoid(scores).mean(), "half_squares": squares}


def largest_result(build: Callable[[], Recommender], train: Interactions) -> int:
    """The size of the largest dense tensor while a model is built, takes two steps and is evaluated."""
    with plain.LargestTensor() as largest:
        model = build()
        model.start_epoch(0, torch.Generator())
        for _ in range(2):
            torch.stack(list(model(toy_batch(train)).values())).sum().backward()
        model.eval()
        with torch.no_grad():
            model.embed()
    return largest.entries
