"""HCCF.

Xia, Huang, Xu, Zhao, Yin, Huang. "Hypergraph Contrastive Collaborative Filtering." SIGIR 2022.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import HyperedgeMaps, bpr, hinge, sum_of_squares, xavier_table
from prismrec.ops import dropout, info_nce, take_rows
from prismrec.types import Embeddings, Interactions, Triplets

_Rows = Tensor | slice
_ALL = slice(None)

_TORCH = {"slope": 1.0, "maps": 0, "temperature": 0.1, "contrast_weight": 0.2, "lr_decay": 1.0}
"""Defaults of the variant `torch`: the authors' settings for its sparser data sets."""


class HCCFConfig(ModelConfig):
    """Hyperparameters of HCCF (defaults: its Yelp settings, in the scale of this library).

    The weights of the losses are relative to a ranking loss that is a mean over triplets. The TensorFlow program sums
    over the up to 40 pairs of each user, so that its weights are an order of magnitude larger.
    """

    variant: Literal["tf", "torch"] = "tf"
    """`tf`: the paper's model, as its first program computes it: activations, maps between hyperedges, a residual,
    hinge loss, contrast through a learned map, summed; `torch`: the authors' later simplification without these, BPR
    loss, contrast as a mean that trains the global view only. `torch` brings defaults of its own."""
    layers: NonNegativeInt = 2
    """Layers L of both branches; 0 is matrix factorisation."""
    hyperedges: PositiveInt = 128
    """Hyperedges H for users, and as many for items."""
    maps: NonNegativeInt = 3
    """Maps C from hyperedges to hyperedges per layer (`torch`: 0)."""
    slope: float = Field(0.5, gt=0, le=1)
    """Slope of the leaky ReLU φ below zero; 1 is no activation (`torch`: 1)."""
    keep_rate: float = Field(0.5, gt=0, le=1)
    """Share of edges, and of entries of the hypergraph, kept in training."""
    temperature: PositiveFloat = 1.0
    """τ of the contrast (`torch`: 0.1)."""
    contrast_weight: NonNegativeFloat = 1e-5
    """λ₁ of the contrast of the local with the global view, in `tf` a sum over nodes (`torch`, a mean: 0.2)."""
    negatives: Literal["batch", "all"] = "batch"
    """Candidates of the contrast: the nodes of the batch, as in both programs, or `all` nodes, as in the paper."""
    regulariser: NonNegativeFloat = 1e-6
    """λ₂ of the squares of tables and hypergraph factors."""
    lr_decay: float = Field(0.96, gt=0, le=1)
    """The learning rate at epoch e (from 0) is learning_rate * lr_decay ** (e / lr_decay_epochs) (`torch`: 1)."""

    @model_validator(mode="before")
    @classmethod
    def _own_defaults(cls, values: Any) -> Any:
        is_torch = isinstance(values, dict) and values.get("variant") == "torch"
        return {**_TORCH, **values} if is_torch else values


class _Side(NamedTuple):
    """The weights of the users, or of the items."""

    table: Tensor  # E [n, d]
    factor: Tensor  # W [d, H]
    hypergraph: Tensor | None  # E W [n, H], where dropout makes it necessary to form it


class _View(NamedTuple):
    """What one layer tells the same nodes."""

    local: Tensor  # G [n, d]
    spread: Tensor  # Γ [n, d]


class HCCF(Recommender):
    """Graph convolution beside a convolution over learned low-rank hyperedges, layer by layer, the two contrasted.

    The default is the paper's model, by the TensorFlow program that gave the paper's results; `variant="torch"` is
    the authors' PyTorch program, which leaves out the hyperedge maps, the activations and the residual.
    """

    name = "HCCF"
    paper = "Xia et al., SIGIR 2022"
    cost = "L (2 E d + 4 (U + I) H d); without dropout 4 d² instead of 4 H d"
    takes_features = False
    Config = HCCFConfig
    config: HCCFConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: HCCFConfig) -> None:
        super().__init__(train, features, config)
        d, self.is_tf = config.embedding_size, config.variant == "tf"
        self.user_table = xavier_table(self.num_users, d)  # E_U [U, d]
        self.item_table = xavier_table(self.num_items, d)  # E_I [I, d]
        self.user_factor = xavier_table(d, config.hyperedges)  # W_U [d, H]
        self.item_factor = xavier_table(d, config.hyperedges)  # W_I [d, H]
        self.maps = HyperedgeMaps(config.layers, config.maps, config.hyperedges, config.slope)
        if self.is_tf:
            self.contrast_maps = nn.ParameterList(xavier_table(d, d) for _ in range(config.layers))  # T [d, d]
        self.graph = BipartiteGraph(train)

    def embed(self) -> Embeddings:
        return Embeddings(*self._forward((_ALL, _ALL))[0])

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        users, user_places = batch.users.unique(return_inverse=True)
        items, item_places = batch.items.unique(return_inverse=True)
        if self.config.negatives == "all":
            users, user_places = torch.arange(self.num_users, device=users.device), users[user_places]
            items, item_places = torch.arange(self.num_items, device=items.device), items[item_places]
        final, views = self._forward((users, items))
        ranked = take_rows(final[0], user_places), *take_rows(final[1], item_places).split(len(batch))  # each [B, d]
        weights = self.user_table, self.item_table, self.user_factor, self.item_factor
        terms = {
            "ranking": hinge(*ranked) if self.is_tf else bpr(*ranked),
            "regulariser": self.config.regulariser * sum_of_squares(*weights),
        }
        if self.config.layers and self.config.contrast_weight:
            anchors = user_places.unique(), (item_places if self.is_tf else item_places[: len(batch)]).unique()
            contrasts = [
                self._contrast(layer, view, nodes)
                for side_views, nodes in zip(views, anchors, strict=True)
                for layer, view in enumerate(side_views)
            ]
            terms["contrast"] = self.config.contrast_weight * torch.stack(contrasts).sum()
        return terms

    def _forward(self, rows: tuple[_Rows, _Rows]) -> tuple[list[Tensor], list[list[_View]]]:
        """Σ_l X^(l), and per side the views of each layer l = 1..L; all at the given users and items."""
        drops = self.training and self.config.keep_rate < 1
        sides = [
            _Side(table, factor, table @ factor if drops else None)
            for table, factor in ((self.user_table, self.user_factor), (self.item_table, self.item_factor))
        ]
        inputs = [side.table for side in sides]  # X^(0) [U, d], [I, d]
        final = [take_rows(x, row) for x, row in zip(inputs, rows, strict=True)]
        views: list[list[_View]] = [[], []]
        for layer in range(self.config.layers):
            local = [self._activate(x) for x in self._convolve(*inputs, drops=drops)]  # G [U, d], [I, d]
            outputs = []
            for k, side in enumerate(sides):
                # What the last layer gives to nodes outside the rows is never read.
                made, read = (rows[k], _ALL) if layer == self.config.layers - 1 else (_ALL, rows[k])
                view = _View(take_rows(local[k], made), self._hyper(layer, k, side, inputs[k], made))
                outputs.append(view.local + view.spread + (take_rows(inputs[k], made) if self.is_tf else 0))  # X [n, d]
                views[k].append(_View(take_rows(view.local, read), take_rows(view.spread, read)))
                final[k] = final[k] + take_rows(outputs[k], read)
            inputs = outputs
        return final, views

    def _activate(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.config.slope) if self.config.slope < 1 else x

    def _convolve(self, users: Tensor, items: Tensor, *, drops: bool) -> tuple[Tensor, Tensor]:
        """One step over the interactions; each stored entry dropped by itself, the two directions apart."""
        if not drops:
            return self.graph(users, items)
        edges, keep = self.graph.to_users, self.config.keep_rate
        down, up = (dropout(edges.values, 1 - keep, training=True) for _ in range(2))  # [E]
        return edges.weighted(down, items), edges.weighted(up, users, transposed=True)

    def _hyper(self, layer: int, k: int, side: _Side, x: Tensor, rows: _Rows) -> Tensor:
        """Γ: nodes to hyperedges, these among themselves, and back to some nodes; `[n, d]` to `[len(rows), d]`."""
        if side.hypergraph is None:  # associated so that nothing is as large as [n, H]
            messages = self._activate(side.factor.T @ (side.table.T @ x))  # φ(Hᵀ X) [H, d]
            return self._activate(take_rows(side.table, rows) @ (side.factor @ self.maps(layer, k, messages)))
        dropped = dropout(side.hypergraph, 1 - self.config.keep_rate, training=True)  # the same gathers and spreads
        return self._activate(take_rows(dropped, rows) @ self.maps(layer, k, self._activate(dropped.T @ x)))

    def _contrast(self, layer: int, view: _View, nodes: Tensor) -> Tensor:
        """InfoNCE of the local view of some nodes with their global view."""
        among_all = self.config.negatives == "all"
        local, spread = take_rows(view.local, nodes), view.spread if among_all else take_rows(view.spread, nodes)
        positives = nodes if among_all else torch.arange(len(nodes), device=nodes.device)
        if self.is_tf:
            keys = F.normalize(spread, eps=1e-6) @ self.contrast_maps[layer]
            return info_nce(F.normalize(local, eps=1e-6), keys, positives, self.config.temperature)
        # The local view is a target, and a node that lost all its edges gets the constant direction instead of none.
        queries, keys = F.normalize(local.detach() + 1e-8), F.normalize(spread + 1e-8)
        mean = torch.full_like(queries[:, 0], 1 / len(nodes))
        return info_nce(queries, keys, positives, self.config.temperature, mean)
