"""MMGCN.

Wei, Wang, Nie, He, Hong, Chua. "MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of
Micro-video." ACM MM 2019.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.errors import InputError
from prismrec.graph import BipartiteGraph
from prismrec.models.base import BatchSize, Grid, ModelConfig, PositiveLayers, Recommender, Width
from prismrec.nn import FeatureLinear, Features, bpr_and_squares, xavier_normal_table
from prismrec.nn.layers import TallLinear
from prismrec.ops import distinct_rows_of_batch, linear, take_rows, unit_rows
from prismrec.ops.rows import unit_rows_and_sum_of_squares
from prismrec.types import Embeddings, Interactions, Triplets


class MMGCNConfig(ModelConfig):
    """Hyperparameters of MMGCN, with the defaults of the official code unless the variant says otherwise.

    The grid is that of MMRec.
    """

    variant: Literal["paper", "official"] = "paper"
    """The ID table has a row per user and item; the preference table of a modality has a row per user. `paper`: the
    tables are trained and regularised, and modalities are summed. `official`: as in the official code and in MMRec, the
    tables keep their initial random values, and modalities are averaged. The regulariser then has no effect."""
    layers: PositiveLayers | None = None
    """Layers L. None means 2 for `paper`, and 3 for `official`: the official code ignores its own setting and always
    uses 3."""
    combination: Literal["concat", "elementwise"] = "concat"
    """How a layer combines a node with the messages that it receives. The official code always concatenates."""
    latent_sizes: Mapping[str, Width | None] = {}
    """Maps the name of a modality to the width of its projection; null means no projection. Modalities not listed are
    projected to 256 if they are wider than 512. The official code projects the visual modality to 256 and no other."""
    regulariser: Annotated[NonNegativeFloat, Grid(0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1)] = 1e-5
    """Weight λ of the mean squares of the ID rows of the batch and of the whole preference tables."""
    batch_size: BatchSize = 1024
    """Training pairs per step, B."""
    learning_rate: Annotated[PositiveFloat, Grid(1e-4, 5e-4, 1e-3, 5e-3, 1e-2)] = 1e-4
    """Learning rate of Adam. The official code uses 5e-4 on TikTok and Kwai."""

    @property
    def is_paper(self) -> bool:
        """Whether the variant is `paper`."""
        return self.variant == "paper"

    @property
    def depth(self) -> int:
        """L, with None resolved."""
        return self.layers or (2 if self.is_paper else 3)


class _Layer(nn.Module):
    """One layer of the network of one modality: φ(G [H ‖ X̂] + g), or element-wise φ(G H + g + X̂).

    H = φ(Ā X K) is what a node receives and X̂ = φ(A X + a) + Z is the node itself with its ID, φ LeakyReLU.
    """

    def __init__(self, width: int, size: int, *, concat: bool, is_first: bool) -> None:
        super().__init__()
        self.concat = concat
        self.kernel = xavier_normal_table(width, width)  # K [w, w]
        self.own = TallLinear(width, size)  # A, a
        self.join = TallLinear(width + size if concat else width, size)  # G, g
        nn.init.xavier_normal_(self.own.weight)
        if is_first:  # the official code leaves the later ones with PyTorch's default
            nn.init.xavier_normal_(self.join.weight)

    def messages(
        self,
        mean: Callable[[Tensor], Tensor],
        neighbours: Tensor,
        constant_mean: Tensor | None,
        rows: Tensor | slice,
        count: int,
    ) -> Tensor:
        """Ā X K at some nodes of one side, `[n, w]`.

        Computed as Ā (X K) or as (Ā X) K, so that K is multiplied with fewer rows.

        Args:
            mean: the product with Ā, from all nodes of the other side to all nodes of this side.
            neighbours: X of all nodes of the other side.
            constant_mean: Ā X of all nodes of this side, if it is a constant.
            rows: the nodes of this side.
            count: their number n.
        """
        if constant_mean is not None:
            return linear(take_rows(constant_mean, rows), self.kernel.T)
        if count < len(neighbours):
            return linear(take_rows(mean(neighbours), rows), self.kernel.T)
        return take_rows(mean(linear(neighbours, self.kernel.T)), rows)

    def forward(self, messages: Tensor, nodes: Tensor, ids: Tensor) -> Tensor:
        """The next X `[n, d]` of some nodes, from their Ā X K `[n, w]`, X `[n, w]` and Z `[n, d]`.

        The first argument is overwritten.
        """
        received = F.leaky_relu_(messages)  # H [n, w]
        anchored = F.leaky_relu_(self.own(nodes)) + ids  # X̂ [n, d]
        if not self.concat:
            return F.leaky_relu_(self.join(received) + anchored)
        width = received.shape[1]
        G = self.join.weight  # [d, w + d]
        # A product with each part of G avoids a copy of H and X̂ side by side.
        joined = linear(received, G[:, :width], self.join.bias)  # [n, d]
        return F.leaky_relu_(linear(anchored, G[:, width:], joined))


class _Preference(NamedTuple):
    """The preferences of all users in one modality, before the first layer."""

    unit: Tensor  # P / ‖P‖ [U, w]
    mean: Tensor | None  # the mean of these rows over the users of each item [I, w]; None if P is trained
    mean_square: Tensor  # mean of P², a scalar


class _Network(nn.Module):
    """The graph network of one modality."""

    content: Tensor
    content_mean: Tensor

    def __init__(self, content: Tensor, latent_size: int | None, graph: BipartiteGraph, config: MMGCNConfig) -> None:
        super().__init__()
        width, d = latent_size or content.shape[1], config.embedding_size
        self.projection = FeatureLinear(content.shape[1], width) if latent_size else None
        self.register_buffer("content", content if latent_size else unit_rows(content), persistent=False)  # [I, F_m]
        if not latent_size:
            self.register_buffer("content_mean", graph.users_from(self.content), persistent=False)  # [U, F_m]
        concat = config.combination == "concat"
        self.layers = nn.ModuleList(
            _Layer(d if depth else width, d, concat=concat, is_first=depth == 0) for depth in range(config.depth)
        )

    def forward(
        self,
        graph: BipartiteGraph,
        preference: _Preference,
        user_ids: Tensor,
        item_ids: Tensor,
        user_rows: Tensor | slice,
        item_rows: Tensor | slice,
    ) -> tuple[Tensor, Tensor]:
        """X of the last layer at some users and some items, each `[n, d]`.

        Args:
            graph: Ā, the mean over neighbours.
            preference: of all users.
            user_ids: Z of all users `[U, d]`.
            item_ids: Z of all items `[I, d]`.
            user_rows: the users for which the last layer is computed.
            item_rows: the items for which the last layer is computed.
        """
        users, mean_of_users = preference.unit, preference.mean  # X⁰ [U, w], Ā X⁰ [I, w]
        items, mean_of_items = self._items()  # X⁰ [I, w], Ā X⁰ [U, w]
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            is_last = layer is self.layers[-1]
            needed_users = user_rows if is_last else slice(None)
            needed_items = item_rows if is_last else slice(None)
            own_users, own_user_ids = take_rows(users, needed_users), take_rows(user_ids, needed_users)
            own_items, own_item_ids = take_rows(items, needed_items), take_rows(item_ids, needed_items)
            to_users = layer.messages(graph.users_from, items, mean_of_items, needed_users, len(own_users))
            to_items = layer.messages(graph.items_from, users, mean_of_users, needed_items, len(own_items))
            users = layer(to_users, own_users, own_user_ids)
            items = layer(to_items, own_items, own_item_ids)
            mean_of_users = mean_of_items = None
        return users, items

    def _items(self) -> tuple[Tensor, Tensor | None]:
        """X⁰ of all items `[I, w]`, and its mean over the items of each user `[U, w]` if it is a constant."""
        if self.projection is None:
            return self.content, self.content_mean
        return unit_rows(self.projection(self.content)), None


class MMGCN(Recommender):
    """One graph network per modality over the same interactions; all share ID embeddings in every layer.

    With Ā the mean over neighbours, Z the IDs, P the preferences and F the features of a modality, the steps are:

    - X⁰ = [P; F W + b], rows scaled to length 1: `_preferences` for users, `_Network._items` for items;
    - H = φ(Ā X K): `_Layer.messages`, and φ in `_Layer.forward`;
    - X̂ = φ(A X + a) + Z, and the next X = φ(G [H ‖ X̂] + g): `_Layer.forward`;
    - the sum over modalities of the last X: `_final`.

    `dense_forward` in tests/models/test_mmgcn.py writes these steps on dense matrices, without what makes them fast:
    users and items are separate matrices, constants are computed once, and the last layer is computed for the rows of
    the batch alone.
    """

    name = "MMGCN"
    paper = "Wei et al., ACM MM 2019"
    cost = (
        "for each modality I F_m w to project to width w, 2 min(U, I) w² + 2 (U + I) w d + 2 E w in layer 1; "
        "w = d in later layers"
    )
    min_modalities = 1
    repeats_steps = True
    Config = MMGCNConfig
    config: MMGCNConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: MMGCNConfig) -> None:
        super().__init__(train, features, config)
        modalities = Features(features)
        latent_sizes = _latent_sizes(modalities, config)
        self.node_table = xavier_normal_table(self.num_users + self.num_items, config.embedding_size)  # Z [U + I, d]
        self.preferences = nn.ParameterList(
            xavier_normal_table(self.num_users, size or width)  # P [U, w]
            for size, width in zip(latent_sizes, modalities.widths, strict=True)
        )
        for table in (self.node_table, *self.preferences):
            table.requires_grad_(config.is_paper)
        self.graph = BipartiteGraph(train, "rw")  # Ā
        self.networks = nn.ModuleList(
            _Network(content, size, self.graph, config) for content, size in zip(modalities, latent_sizes, strict=True)
        )
        self._constant_preferences: list[_Preference] | None = None

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Drop the constants of the last epoch; the first step computes them again."""
        self._constant_preferences = None

    def embed(self) -> Embeddings:
        users, items = self._final(self._preferences(), slice(None), slice(None))
        return Embeddings(users, items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        (user_rows, item_rows), positions = distinct_rows_of_batch(batch, self.num_users, self.num_items)
        preferences = self._constant_preferences or self._preferences()
        if self.training and not self.config.is_paper:  # the tables do not change within an epoch
            self._constant_preferences = preferences
        users, items = self._final(preferences, user_rows, item_rows)  # [n_U, d], [n_I, d]
        ranking, _ = bpr_and_squares(users, items, positions)
        squares = self._id_squares(batch) + self._preference_squares(preferences)
        return {"bpr": ranking, "regulariser": self.config.regulariser * squares}

    def _preferences(self) -> list[_Preference]:
        """The preferences of each modality, from the current tables."""
        preferences = []
        for table in self.preferences:
            unit, squares = unit_rows_and_sum_of_squares(table)
            mean = None if self.config.is_paper else self.graph.items_from(unit)
            preferences.append(_Preference(unit, mean, squares / table.numel()))
        return preferences

    def _final(
        self, preferences: list[_Preference], user_rows: Tensor | slice, item_rows: Tensor | slice
    ) -> tuple[Tensor, Tensor]:
        """The sum over modalities, or their mean, of the last layer at some users and items, each `[n, d]`."""
        user_ids, item_ids = self.node_table.split([self.num_users, self.num_items])  # Z
        user_outputs, item_outputs = [], []  # M × [n, d]
        for network, preference in zip(self.networks, preferences, strict=True):
            users, items = network(self.graph, preference, user_ids, item_ids, user_rows, item_rows)
            user_outputs.append(users)
            item_outputs.append(items)
        users = torch.stack(user_outputs).sum(0)
        items = torch.stack(item_outputs).sum(0)
        if self.config.is_paper:
            return users, items
        return users / len(user_outputs), items / len(item_outputs)

    def _id_squares(self, batch: Triplets) -> Tensor:
        """The mean square of the ID rows of the users in the batch, plus that of its items."""
        nodes = torch.cat([batch.users, self.num_users + batch.items])  # [3 B]
        users, items = take_rows(self.node_table, nodes).tensor_split([len(batch)])  # [B, d], [2 B, d]
        return users.square().mean() + items.square().mean()

    def _preference_squares(self, preferences: list[_Preference]) -> Tensor:
        """The mean square of each preference table, summed; of the first table alone in the official code."""
        if not self.config.is_paper:
            return preferences[0].mean_square
        return torch.stack([preference.mean_square for preference in preferences]).sum()


def _latent_sizes(modalities: Features, config: MMGCNConfig) -> list[int | None]:
    """The width to which each modality is projected, or None.

    Raises:
        InputError: `latent_sizes` names an unknown modality.
    """
    for name in config.latent_sizes:
        if name not in modalities.names:
            raise InputError("latent_sizes", f"modality {name!r}", f"one of {', '.join(modalities.names)}")
    sizes = []
    for name, width in zip(modalities.names, modalities.widths, strict=True):
        default = 256 if width > 512 else None
        sizes.append(config.latent_sizes.get(name, default))
    return sizes
