"""NCL.

Lin, Tian, Hou, Zhao. "Improving Graph Collaborative Filtering with Neighborhood-enriched Contrastive Learning."
WWW 2022.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor

from prismrec.graph import BipartiteGraph
from prismrec.models.base import (
    Count,
    Grid,
    Layers,
    ModelConfig,
    PositiveCount,
    PositiveLayers,
    Recommender,
    Temperature,
)
from prismrec.nn import bpr_and_norms, layer_mean, mean_norms, view_contrast, xavier_table
from prismrec.ops import info_nce, triplet_rows
from prismrec.ops.cluster import kmeans, nearest_centroids
from prismrec.types import Embeddings, Interactions, Triplets

_CLUSTERING_SEED = 1234
"""The seed of every clustering, as in faiss. Every clustering starts from the same nodes as centroids."""


class NCLConfig(ModelConfig):
    """Hyperparameters of NCL, with the defaults of its ML-1M settings, which are those of its code.

    The grid consists of the official settings of all data sets, without those for very large ones.
    """

    layers: Layers = 3
    """Propagation layers K, whose mean is the result."""
    hyper_layers: PositiveLayers = 1
    """Half the number of hops, h, to the structural neighbours: the context of a node is its layer 2h."""
    structure_weight: Annotated[NonNegativeFloat, Grid(2e-7, 2e-6)] = 2e-7
    """Weight λ₁ of the structure contrast. The contrast is a sum over the batch and the ranking loss a mean, so λ₁ must
    fall as batch_size grows. The official 1e-7 is for 4096 pairs; the default is 4096 / 2048 times as large."""
    prototype_weight: NonNegativeFloat = 1.6e-7
    """Weight λ₂ of the prototype contrast, also a sum; the default is the official 8e-8 times 4096 / 2048."""
    item_weight: NonNegativeFloat = 1.0
    """Weight α of items relative to users in the structure contrast."""
    prototype_item_weight: NonNegativeFloat = 1.0
    """The same in the prototype contrast: 1 in the official code, α in the paper."""
    temperature: Annotated[Temperature, Grid(0.05, 0.1)] = 0.1
    """τ of both contrasts."""
    clusters: Annotated[PositiveCount, Grid(10, 100, 1000)] = 1000
    """Prototypes k of users, and as many of items; at most the number of users or items."""
    cluster_every: PositiveCount = 1
    """Epochs m between two clusterings."""
    warm_up_epochs: Count = 20
    """Epochs before the prototype contrast starts."""
    regulariser: NonNegativeFloat = 1e-4
    """Weight λ₃ of Σ ‖X‖ / B over the ID rows of the batch."""


class NCL(Recommender):
    """LightGCN, with contrastive losses of each node with its even-hop neighbours and with its cluster."""

    user_centroids: Tensor
    item_centroids: Tensor
    user_clusters: Tensor
    item_clusters: Tensor

    name = "NCL"
    paper = "Lin et al., WWW 2022"
    cost = "2 E d per layer to propagate, B (U + I) d + 2 B k d to contrast; 25 (U + I) k d per clustering"
    takes_features = False
    repeats_steps = True
    Config = NCLConfig
    config: NCLConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: NCLConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.user_table = xavier_table(self.num_users, d)  # [U, d]
        self.item_table = xavier_table(self.num_items, d)  # [I, d]
        self.graph = BipartiteGraph(train)
        self.contrasts_prototypes = False
        # A clustering may serve several epochs, so it is saved with the weights.
        self.register_buffer("user_centroids", torch.zeros(min(config.clusters, self.num_users), d))  # C [k, d]
        self.register_buffer("item_centroids", torch.zeros(min(config.clusters, self.num_items), d))
        self.register_buffer("user_clusters", torch.zeros(self.num_users, dtype=torch.int64))  # [U]
        self.register_buffer("item_clusters", torch.zeros(self.num_items, dtype=torch.int64))  # [I]

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Cluster users and items (the E-step), if an epoch before the next clustering uses the prototypes."""
        config = self.config
        self.contrasts_prototypes = epoch >= config.warm_up_epochs and config.prototype_weight > 0
        is_used = epoch + config.cluster_every > config.warm_up_epochs and config.prototype_weight > 0
        if epoch % config.cluster_every == 0 and is_used:
            self.user_centroids, self.user_clusters = _cluster(self.user_table.detach(), len(self.user_centroids))
            self.item_centroids, self.item_clusters = _cluster(self.item_table.detach(), len(self.item_centroids))

    def embed(self) -> Embeddings:
        users, items = layer_mean(self.graph, self.user_table, self.item_table, self.config.layers)
        return Embeddings(users, items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        config = self.config
        final, context = self._propagate()
        ranking, _ = bpr_and_norms(final.users, final.items, (batch.users, batch.items))
        id_users, id_positives, id_negatives = triplet_rows(self.user_table, self.item_table, batch)
        norms = mean_norms(id_users, id_positives, id_negatives)
        terms = {"bpr": ranking, "regulariser": config.regulariser * norms}
        if config.structure_weight:
            of_users = view_contrast(context.users, self.user_table, batch.users, config.temperature)
            of_items = view_contrast(context.items, self.item_table, batch.positives, config.temperature)
            terms["structure"] = config.structure_weight * (of_users + config.item_weight * of_items)
        if self.contrasts_prototypes:
            user_clusters = self.user_clusters[batch.users]  # [B]
            item_clusters = self.item_clusters[batch.positives]
            of_users = self._prototype_contrast(id_users, self.user_centroids, user_clusters)
            of_items = self._prototype_contrast(id_positives, self.item_centroids, item_clusters)
            terms["prototype"] = config.prototype_weight * (of_users + config.prototype_item_weight * of_items)
        return terms

    def _propagate(self) -> tuple[Embeddings, Embeddings]:
        """The mean Z of layers 0..K, and the context, layer 2h; `[U, d]` and `[I, d]` each."""
        depth, context_depth = self.config.layers, 2 * self.config.hyper_layers
        users, items = self.user_table, self.item_table
        user_sum, item_sum = users, items
        context = Embeddings(users, items)
        for layer in range(1, max(depth, context_depth) + 1):
            users, items = self.graph(users, items)
            if layer <= depth:
                user_sum = user_sum + users
                item_sum = item_sum + items
            if layer == context_depth:
                context = Embeddings(users, items)
        return Embeddings(user_sum / (depth + 1), item_sum / (depth + 1)), context

    def _prototype_contrast(self, rows: Tensor, centroids: Tensor, clusters: Tensor) -> Tensor:
        """InfoNCE of rows `[B, d]` with their centroids, against all centroids `[k, d]`, summed."""
        return info_nce(F.normalize(rows, dim=1), centroids, clusters, self.config.temperature)


def _cluster(table: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """Centroids of length 1 `[k, d]`, and the cluster of each row by Euclidean distance to the unscaled centroids."""
    centroids = kmeans(table, clusters, torch.Generator().manual_seed(_CLUSTERING_SEED))
    return F.normalize(centroids, dim=1), nearest_centroids(table, centroids)
