"""NCL.

Lin, Tian, Hou, Zhao. "Improving Graph Collaborative Filtering with Neighborhood-enriched Contrastive Learning."
WWW 2022.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from prismrec.graph import BipartiteGraph
from prismrec.graph.cluster import kmeans, nearest
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import bpr_and_norms, info_nce, layer_mean, mean_norms, triplet_rows, xavier_table
from prismrec.nn.view_contrast import view_contrast
from prismrec.types import Embeddings, Interactions, Triplets


class NCLConfig(ModelConfig):
    """Hyperparameters of NCL (defaults: its ML-1M settings, which are those of its code)."""

    layers: NonNegativeInt = 3
    """Propagation layers K that are averaged."""
    hyper_layers: PositiveInt = 1
    """Half the hops, h, to the structural neighbours: a node's context is its layer 2h."""
    structure_weight: NonNegativeFloat = 2e-7
    """Weight λ₁ of the structure contrast. It is summed over the batch while the ranking loss is a mean, so λ₁ must
    fall as batch_size grows: the official 1e-7 belongs to 4096 pairs, here it is times 4096 / 2048."""
    prototype_weight: NonNegativeFloat = 1.6e-7
    """Weight λ₂ of the prototype contrast, summed likewise: the official 8e-8 times 4096 / 2048."""
    item_weight: NonNegativeFloat = 1.0
    """Weight α of items relative to users in the structure contrast."""
    prototype_item_weight: NonNegativeFloat = 1.0
    """The same in the prototype contrast: 1 in the official code, α in the paper."""
    temperature: PositiveFloat = 0.1
    """τ of both contrasts."""
    clusters: PositiveInt = 1000
    """Prototypes k of users and as many of items; never more than there are users or items."""
    cluster_every: PositiveInt = 1
    """Epochs m from one clustering to the next."""
    warm_up_epochs: NonNegativeInt = 20
    """Epochs before the prototype contrast joins in."""
    regulariser: NonNegativeFloat = 1e-4
    """Weight λ₃ of Σ ‖X‖ / B on the un-propagated rows of the batch."""


class NCL(Recommender):
    """LightGCN, where a node is also told from others by its even-hop neighbours and by its cluster."""

    user_centroids: Tensor
    item_centroids: Tensor
    user_clusters: Tensor
    item_clusters: Tensor

    paper = "Lin et al., WWW 2022"
    cost = "2 E d per layer to propagate, B (U + I) d + 2 B k d to contrast; 25 (U + I) k d per clustering"
    takes_features = False
    Config = NCLConfig
    config: NCLConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: NCLConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.user_table = xavier_table(self.num_users, d)  # [U, d]
        self.item_table = xavier_table(self.num_items, d)  # [I, d]
        self.graph = BipartiteGraph(train)
        self.contrasts_prototypes = False
        # A clustering may serve several epochs, so it belongs in the checkpoint.
        for side, nodes in (("user", self.num_users), ("item", self.num_items)):
            self.register_buffer(f"{side}_centroids", torch.zeros(min(config.clusters, nodes), d))  # C [k, d]
            self.register_buffer(f"{side}_clusters", torch.zeros(nodes, dtype=torch.int64))  # the cluster of each node

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """The E-step, unless no epoch until the next one reads its result."""
        config = self.config
        self.contrasts_prototypes = epoch >= config.warm_up_epochs and config.prototype_weight > 0
        read = epoch + config.cluster_every > config.warm_up_epochs and config.prototype_weight > 0
        if epoch % config.cluster_every or not read:
            return
        self.user_centroids, self.user_clusters = _prototypes(self.user_table.detach(), len(self.user_centroids))
        self.item_centroids, self.item_clusters = _prototypes(self.item_table.detach(), len(self.item_centroids))

    def embed(self) -> Embeddings:
        return Embeddings(*layer_mean(self.graph, self.user_table, self.item_table, self.config.layers))

    def loss(self, batch: Triplets) -> dict[str, Tensor]:
        config = self.config
        final, context = self._propagate()
        ranking, _ = bpr_and_norms(final.users, final.items, (batch.users, batch.items))
        tables = triplet_rows(self.user_table, self.item_table, batch)
        terms = {"bpr": ranking, "regulariser": config.regulariser * mean_norms(*tables)}
        if config.structure_weight:
            users = view_contrast(context.users, self.user_table, batch.users, config.temperature)
            items = view_contrast(context.items, self.item_table, batch.positives, config.temperature)
            terms["structure"] = config.structure_weight * (users + config.item_weight * items)
        if self.contrasts_prototypes:
            users = self._prototype_contrast(tables[0], self.user_centroids, self.user_clusters[batch.users])
            items = self._prototype_contrast(tables[1], self.item_centroids, self.item_clusters[batch.positives])
            terms["prototype"] = config.prototype_weight * (users + config.prototype_item_weight * items)
        return terms

    def _propagate(self) -> tuple[Embeddings, Embeddings]:
        """The mean Z of layers 0..K and the context, layer 2h."""
        layer: tuple[Tensor, Tensor] = self.user_table, self.item_table
        total, context = layer, layer
        for depth in range(1, max(self.config.layers, 2 * self.config.hyper_layers) + 1):
            layer = self.graph(*layer)  # [U, d], [I, d]
            if depth <= self.config.layers:
                total = total[0] + layer[0], total[1] + layer[1]
            if depth == 2 * self.config.hyper_layers:
                context = layer
        parts = self.config.layers + 1
        return Embeddings(total[0] / parts, total[1] / parts), Embeddings(*context)

    def _prototype_contrast(self, rows: Tensor, centroids: Tensor, clusters: Tensor) -> Tensor:
        """InfoNCE of rows `[B, d]` and their centroids against all centroids, summed."""
        return info_nce(F.normalize(rows, dim=1), centroids, clusters, self.config.temperature)


def _prototypes(table: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """Unit centroids `[k, d]` and the cluster of each row, Euclidean before the centroids are normalised."""
    # One seed for every clustering, as faiss has it: the same nodes are the first centroids of each epoch.
    centroids = kmeans(table, clusters, torch.Generator().manual_seed(1234))
    return F.normalize(centroids, dim=1), nearest(table, centroids)
