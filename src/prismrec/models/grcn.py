"""GRCN.

Wei, Wang, Nie, He, Chua. "Graph-Refined Convolutional Network for Multimedia Recommendation with Implicit Feedback."
ACM MM 2020.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import FeatureLinear, Features, bpr, xavier_normal_table
from prismrec.ops import SparseMatrix, sampled_product, segment_softmax, take_rows, unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class GRCNConfig(ModelConfig):
    """Hyperparameters of GRCN (defaults: those of the released code)."""

    variant: Literal["paper", "official", "mmrec"] = "paper"
    """`paper`: users' prototypes are routed to their items' content; `official`: they stay where they are, as the
    released code's routing reads the wrong side of the graph; `mmrec`: so too, with projections drawn by Xavier's rule
    and a penalty also on the first modality's whole prototype table."""
    routing_steps: NonNegativeInt = 3
    """Routing iterations T of the prototypes."""
    pruning: Literal["soft", "hard"] | None = None
    """`soft`: edges are weighted, no more; `hard`: those of negative weight are cut, which are all those from a node
    without any positive confidence, and then it never learns one. By default `soft` in the variant `paper`, as in its
    text and the authors' commands, and `hard` in the others, as in their programs."""
    edge_weights: Literal["confidence", "max", "mean"] = "confidence"
    """Over modalities: the largest affinity times confidence, the largest affinity, or the mean affinity."""
    readout: Literal["concat", "id"] = "concat"
    """What is scored: ID and content parts side by side, or the ID part alone."""
    content_size: PositiveInt = 64
    """Width d_C of the projected content and of a user's prototype in each modality."""
    regulariser: NonNegativeFloat = 1e-5
    """Weight λ of the mean squares of the batch's rows of ID and prototype tables."""
    batch_size: PositiveInt = 1024
    """Training pairs per step, B."""
    learning_rate: PositiveFloat = 1e-4
    """Step size of Adam."""

    @property
    def prunes_hard(self) -> bool:
        """The pruning, decided."""
        return self.variant != "paper" if self.pruning is None else self.pruning == "hard"


class _Affinity(NamedTuple):
    """One modality on the graph: what its nodes hold, and how they attend to each other."""

    users: Tensor  # r_m [U, d_C]
    items: Tensor  # r_m [I, d_C]
    to_users: Tensor  # α of the messages from items to users [E], 1 in sum for each user
    to_items: Tensor  # α of the messages from users to items [E], 1 in sum for each item


class GRCN(Recommender):
    """Graph convolution of ID embeddings, with edges weighted by how well the item features match the user."""

    name = "GRCN"
    paper = "Wei et al., ACM MM 2020"
    cost = "per modality: I F_m d_C to project, E d_C (3 T + 3) to route and attend; 4 E d to propagate"
    min_modalities = 1
    bf16_features = True
    repeats_steps = True
    Config = GRCNConfig
    config: GRCNConfig
    edge_users: Tensor
    edge_items: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: GRCNConfig) -> None:
        super().__init__(train, features, config)
        self.features = Features(features)
        nodes = self.num_users + self.num_items
        self.node_table = xavier_normal_table(nodes, config.embedding_size)  # Z [U + I, d]
        self.confidence = xavier_normal_table(nodes, len(self.features))  # κ [U + I, M]
        self.prototypes = nn.ParameterList(
            xavier_normal_table(self.num_users, config.content_size)
            for _ in self.features  # P [U, d_C]
        )
        projections = [FeatureLinear(width, config.content_size) for width in self.features.widths]
        if config.variant == "mmrec":
            for projection in projections:
                nn.init.xavier_normal_(projection.weight)
        self.projections = nn.ModuleList(projections)
        self.pattern = SparseMatrix(train.csr)
        self.register_buffer("edge_users", torch.from_numpy(train.users).long(), persistent=False)  # [E]
        self.register_buffer("edge_items", torch.from_numpy(train.items).long(), persistent=False)  # [E]

    def embed(self) -> Embeddings:
        users, items = zip(*self._parts(), strict=True)
        return Embeddings(torch.cat(users, 1), torch.cat(items, 1))  # [U, d + M d_C], [I, d + M d_C]

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        parts = self._parts()
        users = torch.cat([take_rows(side, batch.users) for side, _ in parts], 1)  # [B, d + M d_C]
        items = torch.cat([take_rows(side, batch.items) for _, side in parts], 1)
        return {
            "bpr": bpr(users, *items.split(len(batch))),
            "regulariser": self.config.regulariser * self._mean_squares(batch),
        }

    def _parts(self) -> list[tuple[Tensor, Tensor]]:
        """Users and items of the ID part `[·, d]` and of each modality `[·, d_C]`."""
        affinities = [
            self._affinity(prototype, unit_rows(F.leaky_relu(projection(content))))
            for prototype, projection, content in zip(self.prototypes, self.projections, self.features, strict=True)
        ]
        propagated = self._propagate(*self._weights(affinities))
        if self.config.readout == "id":
            return [propagated]
        return [propagated, *((affinity.users, affinity.items) for affinity in affinities)]

    def _affinity(self, prototype: Tensor, items: Tensor) -> _Affinity:
        """Route the prototypes `[U, d_C]` to the content `[I, d_C]`, then let both sides attend to each other."""
        users = unit_rows(prototype)
        for _ in range(self.config.routing_steps if self.config.variant == "paper" else 0):
            attention = self._attention(sampled_product(self.pattern, users, items), by_item=False)
            users = unit_rows(users + self.pattern.weighted(attention, items))
        scores = sampled_product(self.pattern, users, items)  # cosines: one for both directions
        to_users, to_items = self._attention(scores, by_item=False), self._attention(scores, by_item=True)
        return _Affinity(
            users + self.pattern.weighted(to_users, items),
            items + self.pattern.weighted(to_items, users, transposed=True),
            to_users,
            to_items,
        )

    def _attention(self, scores: Tensor, *, by_item: bool) -> Tensor:
        """The softmax of cosines `[E]` among the edges of each item, or of each user."""
        if by_item:
            return segment_softmax(scores, self.edge_items, self.num_items, bound=1.0)
        return segment_softmax(scores, self.edge_users, self.num_users, bound=1.0)

    def _weights(self, affinities: list[_Affinity]) -> tuple[Tensor, Tensor]:
        """The refined graph: a weight for every message to users `[E]` and for every one to items `[E]`."""
        to_users = torch.stack([affinity.to_users for affinity in affinities], 1)  # [E, M]
        to_items = torch.stack([affinity.to_items for affinity in affinities], 1)
        if self.config.edge_weights == "mean":
            return to_users.mean(1), to_items.mean(1)
        if self.config.edge_weights == "confidence":  # the sender's
            to_users = to_users * self.confidence[self.num_users :].index_select(0, self.edge_items)
            to_items = to_items * self.confidence[: self.num_users].index_select(0, self.edge_users)
        weights = to_users.amax(1), to_items.amax(1)
        return (weights[0].relu(), weights[1].relu()) if self.config.prunes_hard else weights

    def _propagate(self, to_users: Tensor, to_items: Tensor) -> tuple[Tensor, Tensor]:
        """Two layers of weighted sums, and the sum of all layers: `[U, d]`, `[I, d]`."""
        users, items = unit_rows(self.node_table).split([self.num_users, self.num_items])
        total_users, total_items = users, items
        for _ in range(2):
            users, items = (
                self.pattern.weighted(to_users, items),
                self.pattern.weighted(to_items, users, transposed=True),
            )
            total_users, total_items = total_users + users, total_items + items
        return total_users, total_items

    def _mean_squares(self, batch: Triplets) -> Tensor:
        """Of the batch's users' ID embeddings, of its items', and of its users' prototypes in each modality."""
        nodes = torch.cat([batch.users, self.num_users + batch.items])
        users, items = take_rows(self.node_table, nodes).tensor_split([len(batch)])
        squares = users.square().mean() + items.square().mean()
        for prototype in self.prototypes:
            squares = squares + take_rows(prototype, batch.users).square().mean()
        return squares + self.prototypes[0].square().mean() if self.config.variant == "mmrec" else squares
