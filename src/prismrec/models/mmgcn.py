"""MMGCN.

Wei, Wang, Nie, He, Hong, Chua. "MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of
Micro-video." ACM MM 2019.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from prismrec.errors import InputError
from prismrec.graph import BipartiteGraph
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import bpr, xavier_normal_table
from prismrec.nn.normalise import unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class MMGCNConfig(ModelConfig):
    """Hyperparameters of MMGCN (defaults: those of the released code where the variant does not say otherwise)."""

    variant: Literal["paper", "official"] = "paper"
    """`paper`: ID and preference tables are trained and all regularised, modalities are summed; `official`: as in the
    released code and MMRec the tables keep their first random values, so that the regulariser has no effect, and
    modalities are averaged."""
    layers: PositiveInt | None = None
    """Layers L; by default the paper's 2, or the 3 that the released code runs whatever it is told."""
    combination: Literal["concat", "elementwise"] = "concat"
    """How a layer joins what a node receives with what it is; the released code always concatenates."""
    latent_sizes: Mapping[str, PositiveInt | None] = {}
    """Width to which a modality is projected first, null for not at all; a modality not named is projected to 256 if
    wider than 512. The released code projects the visual one to 256, no other."""
    regulariser: NonNegativeFloat = 1e-5
    """Weight λ of mean squares: of the batch's rows of the ID table, and of whole preference tables."""
    batch_size: PositiveInt = 1024
    """Training pairs per step, B."""
    learning_rate: PositiveFloat = 1e-4
    """Step size of Adam; 5e-4 on TikTok and Kwai."""

    @property
    def is_paper(self) -> bool:
        """Whether the variant is the paper's."""
        return self.variant == "paper"

    @property
    def depth(self) -> int:
        """L, decided."""
        return self.layers or (2 if self.is_paper else 3)


class _Layer(nn.Module):
    """What a node receives from its neighbours, joined with what it is, anchored by its ID embedding."""

    def __init__(self, width: int, size: int, *, concat: bool, is_first: bool) -> None:
        super().__init__()
        self.concat = concat
        self.kernel = xavier_normal_table(width, width)  # K [w, w]
        self.own = nn.Linear(width, size)  # A, a
        self.join = nn.Linear(width + size if concat else width, size)  # G, g
        nn.init.xavier_normal_(self.own.weight)
        if is_first:  # in the released code the later ones keep PyTorch's default
            nn.init.xavier_normal_(self.join.weight)

    def forward(
        self, mean: Callable[[Tensor], Tensor], neighbours: Tensor, nodes: Tensor, ids: Tensor, rows: Tensor | slice
    ) -> Tensor:
        """The next X `[n, d]` at some rows of one side.

        Args:
            mean: over neighbours: from one row per node of the other side to one per node of this side.
            neighbours: X of the other side `[n', w]`.
            nodes: X of this side `[n, w]`, at the rows.
            ids: Z of this side `[n, d]`, at the rows.
            rows: those wanted of this side.
        """
        # The mean commutes with K, which had better meet the fewer rows.
        few_nodes = len(nodes) < len(neighbours)
        received = mean(neighbours)[rows] @ self.kernel if few_nodes else mean(neighbours @ self.kernel)[rows]
        received = F.leaky_relu(received)  # H [n, w]
        anchored = F.leaky_relu(self.own(nodes)) + ids  # X̂ [n, d]
        if not self.concat:
            return F.leaky_relu(self.join(received) + anchored)
        G, width = self.join.weight, received.shape[1]  # [d, w + d]: in two parts, so that [H ‖ X̂] is never formed
        return F.leaky_relu(F.linear(received, G[:, :width], self.join.bias) + anchored @ G[:, width:].T)


class _Network(nn.Module):
    """The graph network of one modality."""

    content: Tensor

    def __init__(self, content: Tensor, latent_size: int | None, config: MMGCNConfig) -> None:
        super().__init__()
        width, d = latent_size or content.shape[1], config.embedding_size
        self.projection = nn.Linear(content.shape[1], width) if latent_size else None
        self.register_buffer("content", content if latent_size else unit_rows(content), persistent=False)  # [I, F_m]
        concat = config.combination == "concat"
        self.layers = nn.ModuleList(
            _Layer(d if depth else width, d, concat=concat, is_first=depth == 0) for depth in range(config.depth)
        )

    def forward(
        self,
        graph: BipartiteGraph,
        preference: Tensor,
        ids: Sequence[Tensor],
        user_rows: Tensor | slice,
        item_rows: Tensor | slice,
    ) -> tuple[Tensor, Tensor]:
        """The last X at some users and some items, each `[n, d]`; preference is P `[U, w]`."""
        users = unit_rows(preference)  # [U, w]
        items = self.content if self.projection is None else unit_rows(self.projection(self.content))  # [I, w]
        for layer in self.layers:
            is_last = layer is self.layers[-1]
            u, i = (user_rows, item_rows) if is_last else (slice(None), slice(None))
            users, items = (
                layer(graph.users_from, items, users[u], ids[0][u], u),
                layer(graph.items_from, users, items[i], ids[1][i], i),
            )
        return users, items


class MMGCN(Recommender):
    """A graph network per modality over the same interactions, held together by ID embeddings in every layer."""

    paper = "Wei et al., ACM MM 2019"
    cost = "per modality: I F_m w to project, 2 min(U, I) w² + 2 (U + I) w d + 2 E w in the first layer, w = d later"
    min_modalities = 1
    Config = MMGCNConfig
    config: MMGCNConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: MMGCNConfig) -> None:
        super().__init__(train, features, config)
        for name in config.latent_sizes:
            if name not in features:
                raise InputError("latent_sizes", f"modality {name!r}", f"one of {', '.join(features)}")
        widths = dict(zip(self.features.names, self.features.widths, strict=True))
        latent = [config.latent_sizes.get(name, 256 if width > 512 else None) for name, width in widths.items()]
        self.node_table = xavier_normal_table(self.num_users + self.num_items, config.embedding_size)  # Z [U + I, d]
        self.preferences = nn.ParameterList(
            xavier_normal_table(self.num_users, size or width)  # P [U, w]
            for size, width in zip(latent, widths.values(), strict=True)
        )
        for table in (self.node_table, *self.preferences):
            table.requires_grad_(config.is_paper)
        self.networks = nn.ModuleList(
            _Network(matrix, size, config) for matrix, size in zip(self.features, latent, strict=True)
        )
        del self.features  # each network keeps its own
        self.graph = BipartiteGraph(train, "rw")

    def embed(self) -> Embeddings:
        return Embeddings(*self._fuse(slice(None), slice(None)))

    def loss(self, batch: Triplets) -> dict[str, Tensor]:
        users, user_places = batch.users.unique(return_inverse=True)
        items, item_places = torch.cat([batch.positives, batch.negatives]).unique(return_inverse=True)
        user_rows, item_rows = self._fuse(users, items)
        positives, negatives = item_rows[item_places].split(len(batch))  # [B, d]
        return {
            "bpr": bpr(user_rows[user_places], positives, negatives),
            "regulariser": self.config.regulariser * (self._id_squares(batch) + self._preference_squares()),
        }

    def _fuse(self, user_rows: Tensor | slice, item_rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """The sum over modalities of the last layers, or their mean."""
        ids = self.node_table.split([self.num_users, self.num_items])
        outputs = [
            network(self.graph, preference, ids, user_rows, item_rows)
            for network, preference in zip(self.networks, self.preferences, strict=True)
        ]
        users, items = (torch.stack(side).sum(0) for side in zip(*outputs, strict=True))
        return (users, items) if self.config.is_paper else (users / len(outputs), items / len(outputs))

    def _id_squares(self, batch: Triplets) -> Tensor:
        """The mean square of the batch's users' ID embeddings, and that of its items'."""
        items = self.num_users + torch.stack([batch.positives, batch.negatives])  # [2, B]
        return self.node_table[batch.users].square().mean() + self.node_table[items].square().mean()

    def _preference_squares(self) -> Tensor:
        squares = torch.stack([preference.square().mean() for preference in self.preferences])
        return squares.sum() if self.config.is_paper else squares[0]
