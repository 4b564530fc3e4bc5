"""GRCN.

Wei, Wang, Nie, He, Chua. "Graph-Refined Convolutional Network for Multimedia Recommendation with Implicit Feedback."
ACM MM 2020.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.models.base import BatchSize, Grid, Layers, ModelConfig, Recommender, Width
from prismrec.nn import FeatureLinear, Features, bpr, xavier_normal_table
from prismrec.ops import SparseMatrix, sampled_product, segment_softmax, take_rows, unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class GRCNConfig(ModelConfig):
    """Hyperparameters of GRCN, with the defaults of its official code and the grid of MMRec."""

    variant: Literal["paper", "official", "mmrec"] = "paper"
    """`paper`: user prototypes are routed towards the content of their items. `official`: routing has no effect,
    because the official code reads the wrong side of the graph. `mmrec`: the same, with Xavier-normal projections and
    an additional penalty on the whole prototype table of the first modality."""
    routing_steps: Layers = 3
    """Routing iterations T of the prototypes, for the variant `paper`."""
    pruning: Literal["soft", "hard"] | None = None
    """`soft`: edges are only weighted. `hard`: edges with a negative weight are removed. A node whose confidences are
    all negative then sends no messages, and its confidences are never updated. None means `soft` for the variant
    `paper`, as in the paper and in the commands of its authors, and `hard` for the others, as in their code."""
    edge_weights: Literal["confidence", "max", "mean"] = "confidence"
    """Over modalities: the largest product of affinity and confidence, the largest affinity, or the mean affinity."""
    readout: Literal["concat", "id"] = "concat"
    """Score with the ID part and all content parts, concatenated, or with the ID part alone."""
    content_size: Width = 64
    """Width d_C of projected content and of user prototypes, per modality."""
    regulariser: Annotated[NonNegativeFloat, Grid(1e-5, 1e-4, 1e-3, 1e-2, 0.1)] = 1e-5
    """Weight λ of the mean squares of the ID rows and prototypes of the batch."""
    batch_size: BatchSize = 1024
    """Training pairs per step, B."""
    learning_rate: Annotated[PositiveFloat, Grid(1e-4, 1e-3, 1e-2, 0.1, 1.0)] = 1e-4
    """Learning rate of Adam."""

    @property
    def prunes_hard(self) -> bool:
        """Whether pruning is `hard`, with None resolved."""
        return self.variant != "paper" if self.pruning is None else self.pruning == "hard"


class _Affinity(NamedTuple):
    """One modality on the graph: its part of the embeddings, and how strongly nodes attend to their neighbours."""

    users: Tensor  # r [U, d_C]
    items: Tensor  # r [I, d_C]
    to_users: Tensor  # α of the messages from items to users [E]; sums to 1 for each user
    to_items: Tensor  # α of the messages from users to items [E]; sums to 1 for each item


class GRCN(Recommender):
    """Graph convolution of ID embeddings, with edges weighted by how well the item features match the user.

    With P the prototypes of the users in a modality, c the content of the items, Z the IDs, κ the confidences and φ
    LeakyReLU, the steps are:

    - content c = φ(F W + b), rows scaled to length 1: `_parts`;
    - routing, T times: p_u ← p_u + Σ_i α_ui c_i, scaled to length 1, with α_ui the softmax of p_u·c_i over the items i
      of user u: `_route`;
    - attention α_vs, the softmax of x_v·x_s over the neighbours s of node v, where x = [p; c], and the content part
      r_v = x_v + Σ_s α_vs x_s: `_attend`;
    - edge weights w_vs = max_m α_vs κ_s, with the confidence of the sender s: `_edge_weights`;
    - ID part: y⁰ is Z with rows scaled to length 1, then y_v ← Σ_s w_vs y_s in two layers; all three are added up:
      `_propagate`.

    `dense_forward` in tests/models/test_grcn.py writes the same on dense matrices.
    """

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
        self.features = Features(features)  # F [I, F_m] each
        nodes = self.num_users + self.num_items
        self.node_table = xavier_normal_table(nodes, config.embedding_size)  # Z [U + I, d]
        self.confidence = xavier_normal_table(nodes, len(self.features))  # κ [U + I, M]
        prototypes = [xavier_normal_table(self.num_users, config.content_size) for _ in self.features]
        projections = [FeatureLinear(width, config.content_size) for width in self.features.widths]
        if config.variant == "mmrec":
            for projection in projections:
                nn.init.xavier_normal_(projection.weight)
        self.prototypes = nn.ParameterList(prototypes)  # P [U, d_C] each
        self.projections = nn.ModuleList(projections)  # W, b
        self.pattern = SparseMatrix(train.csr)  # [U, I]
        self.register_buffer("edge_users", torch.from_numpy(train.users).long(), persistent=False)  # [E]
        self.register_buffer("edge_items", torch.from_numpy(train.items).long(), persistent=False)  # [E]

    def embed(self) -> Embeddings:
        user_parts, item_parts = self._parts()
        return Embeddings(torch.cat(user_parts, 1), torch.cat(item_parts, 1))  # [U, d + M d_C], [I, d + M d_C]

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        user_parts, item_parts = self._parts()
        users = torch.cat([take_rows(part, batch.users) for part in user_parts], 1)  # [B, d + M d_C]
        items = torch.cat([take_rows(part, batch.items) for part in item_parts], 1)  # [2 B, d + M d_C]
        positives, negatives = items.split(len(batch))
        return {
            "bpr": bpr(users, positives, negatives),
            "regulariser": self.config.regulariser * self._mean_squares(batch),
        }

    def _parts(self) -> tuple[list[Tensor], list[Tensor]]:
        """The parts of users and of items to concatenate: the ID part `[·, d]`, then each modality `[·, d_C]`."""
        affinities = []
        for prototype, projection, features in zip(self.prototypes, self.projections, self.features, strict=True):
            content = unit_rows(F.leaky_relu(projection(features)))  # c [I, d_C]
            users = self._route(unit_rows(prototype), content)  # p [U, d_C]
            affinities.append(self._attend(users, content))
        to_users, to_items = self._edge_weights(affinities)
        id_users, id_items = self._propagate(to_users, to_items)
        if self.config.readout == "id":
            return [id_users], [id_items]
        user_parts = [id_users, *[affinity.users for affinity in affinities]]
        item_parts = [id_items, *[affinity.items for affinity in affinities]]
        return user_parts, item_parts

    def _route(self, users: Tensor, items: Tensor) -> Tensor:
        """Move the prototypes `[U, d_C]` towards the content `[I, d_C]` of the items of each user."""
        for _ in range(self.config.routing_steps if self.config.variant == "paper" else 0):
            scores = sampled_product(self.pattern, users, items)  # [E]
            attention = self._softmax_of_users(scores)
            users = unit_rows(users + self.pattern.weighted(attention, items))
        return users

    def _attend(self, users: Tensor, items: Tensor) -> _Affinity:
        """Attention of prototypes `[U, d_C]` and content `[I, d_C]` to each other, in both directions."""
        scores = sampled_product(self.pattern, users, items)  # cosines, the same in both directions [E]
        to_users = self._softmax_of_users(scores)
        to_items = self._softmax_of_items(scores)
        new_users = users + self.pattern.weighted(to_users, items)
        new_items = items + self.pattern.weighted(to_items, users, transposed=True)
        return _Affinity(new_users, new_items, to_users, to_items)

    def _softmax_of_users(self, cosines: Tensor) -> Tensor:
        """The softmax over the edges of each user, `[E]`."""
        return segment_softmax(cosines, self.edge_users, self.num_users, bound=1.0)

    def _softmax_of_items(self, cosines: Tensor) -> Tensor:
        """The softmax over the edges of each item, `[E]`."""
        return segment_softmax(cosines, self.edge_items, self.num_items, bound=1.0)

    def _edge_weights(self, affinities: list[_Affinity]) -> tuple[Tensor, Tensor]:
        """The refined graph: the weight of each message to a user and of each message to an item, both `[E]`."""
        to_users = torch.stack([affinity.to_users for affinity in affinities], 1)  # [E, M]
        to_items = torch.stack([affinity.to_items for affinity in affinities], 1)
        if self.config.edge_weights == "mean":
            return to_users.mean(1), to_items.mean(1)
        if self.config.edge_weights == "confidence":
            user_confidence, item_confidence = self.confidence[: self.num_users], self.confidence[self.num_users :]
            to_users = to_users * item_confidence.index_select(0, self.edge_items)
            to_items = to_items * user_confidence.index_select(0, self.edge_users)
        to_users, to_items = to_users.amax(1), to_items.amax(1)  # [E]
        if self.config.prunes_hard:
            return to_users.relu(), to_items.relu()
        return to_users, to_items

    def _propagate(self, to_users: Tensor, to_items: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the IDs and of two layers of messages, `[U, d]` and `[I, d]`."""
        users, items = unit_rows(self.node_table).split([self.num_users, self.num_items])  # y
        user_sum, item_sum = users, items
        for _ in range(2):
            from_items = self.pattern.weighted(to_users, items)
            from_users = self.pattern.weighted(to_items, users, transposed=True)
            users, items = from_items, from_users
            user_sum = user_sum + users
            item_sum = item_sum + items
        return user_sum, item_sum

    def _mean_squares(self, batch: Triplets) -> Tensor:
        """Mean squares of the ID rows of users and of items, and of the prototypes of users, summed."""
        nodes = torch.cat([batch.users, self.num_users + batch.items])  # [3 B]
        users, items = take_rows(self.node_table, nodes).tensor_split([len(batch)])  # [B, d], [2 B, d]
        squares = users.square().mean() + items.square().mean()
        for prototype in self.prototypes:
            squares = squares + take_rows(prototype, batch.users).square().mean()
        if self.config.variant == "mmrec":
            squares = squares + self.prototypes[0].square().mean()
        return squares
