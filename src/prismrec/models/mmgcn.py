"""MMGCN.

Wei, Wang, Nie, He, Hong, Chua. "MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of
Micro-video." ACM MM 2019.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from prismrec.errors import InputError
from prismrec.graph import BipartiteGraph
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import FeatureLinear, Features, TallLinear, bpr_and_squares, xavier_normal_table
from prismrec.ops import distinct_rows_of_batch, linear, take_rows, unit_rows
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
        self.own = TallLinear(width, size)  # A, a
        self.join = TallLinear(width + size if concat else width, size)  # G, g
        nn.init.xavier_normal_(self.own.weight)
        if is_first:  # in the released code the later ones keep PyTorch's default
            nn.init.xavier_normal_(self.join.weight)

    def forward(
        self,
        deliver: Callable[[Tensor], Tensor],
        neighbours: Tensor,
        mean: Tensor | None,
        nodes: Tensor,
        ids: Tensor,
        rows: Tensor | slice,
    ) -> Tensor:
        """The next X `[n, d]` at some rows of one side.

        Args:
            deliver: the mean over neighbours, from one row per node of the other side to one per node of this side.
            neighbours: X of the other side `[n', w]`.
            mean: what `deliver` makes of it, where that is known.
            nodes: X of this side `[n, w]`, at the rows.
            ids: Z of this side `[n, d]`, at the rows.
            rows: those wanted of this side.
        """
        # The mean commutes with K, which had better meet the fewer rows.
        if mean is None and len(nodes) < len(neighbours):
            mean = deliver(neighbours)
        if mean is None:
            received = take_rows(deliver(linear(neighbours, self.kernel.T)), rows)
        else:
            received = linear(take_rows(mean, rows), self.kernel.T)
        received = F.leaky_relu_(received)  # H [n, w]
        anchored = F.leaky_relu_(self.own(nodes)) + ids  # X̂ [n, d]
        if not self.concat:
            return F.leaky_relu_(self.join(received) + anchored)
        G, width = self.join.weight, received.shape[1]  # [d, w + d]: in two parts, so that [H ‖ X̂] is never formed
        joined = linear(received, G[:, :width], self.join.bias)
        return F.leaky_relu_(linear(anchored, G[:, width:], joined))


class _Preference(NamedTuple):
    """A modality's preferences before the first layer."""

    unit: Tensor  # P / ‖P‖ [U, w]
    mean: Tensor | None  # over the users of an item [I, w], where preferences are not trained
    square: Tensor  # mean of P², a scalar


class _UnitRowsAndSquare(torch.autograd.Function):
    """P / ‖P‖ and Σ P², whose norms and gradient are found together: ∂/∂P = (g - y <g, y>) / ‖P‖ + 2 g' ‖P‖ y."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)  # [U, 1]
        unit = rows / norms.clamp(min=1e-12)
        ctx.save_for_backward(unit, norms)
        return unit, norms.square().sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_square: Tensor) -> Tensor:
        unit, norms = ctx.saved_tensors
        inverse = norms.clamp(min=1e-12).reciprocal()
        along = 2 * grad_square * norms - torch.linalg.vecdot(grad, unit).unsqueeze(1) * inverse
        return torch.addcmul(grad * inverse, unit, along)


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
        users: Tensor,
        user_mean: Tensor | None,
        ids: Sequence[Tensor],
        rows: Sequence[Tensor | slice],
    ) -> tuple[Tensor, Tensor]:
        """The last X at some users and some items, each `[n, d]`.

        Args:
            graph: of means over neighbours.
            users: P / ‖P‖ `[U, w]`.
            user_mean: what items receive of it, `[I, w]`, where it is a constant.
            ids: Z of users and of items, `[U, d]` and `[I, d]`.
            rows: the users and the items.
        """
        if self.projection is None:
            nodes, means = [users, self.content], [self.content_mean, user_mean]  # [·, w]
        else:
            nodes, means = [users, unit_rows(self.projection(self.content))], [None, user_mean]
        deliver = graph.users_from, graph.items_from
        for layer in self.layers:
            made = rows if layer is self.layers[-1] else (slice(None), slice(None))
            own = [(take_rows(nodes[k], made[k]), take_rows(ids[k], made[k])) for k in (0, 1)]
            nodes = [layer(deliver[k], nodes[1 - k], means[k], *own[k], made[k]) for k in (0, 1)]
            means = [None, None]
        return nodes[0], nodes[1]


class MMGCN(Recommender):
    """One graph network per modality over the same interactions; all share ID embeddings in every layer."""

    name = "MMGCN"
    paper = "Wei et al., ACM MM 2019"
    cost = "per modality: I F_m w to project, 2 min(U, I) w² + 2 (U + I) w d + 2 E w in the first layer, w = d later"
    min_modalities = 1
    repeats_steps = True
    Config = MMGCNConfig
    config: MMGCNConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: MMGCNConfig) -> None:
        super().__init__(train, features, config)
        modalities = Features(features)
        for name in config.latent_sizes:
            if name not in features:
                raise InputError("latent_sizes", f"modality {name!r}", f"one of {', '.join(features)}")
        widths = dict(zip(modalities.names, modalities.widths, strict=True))
        latent = [config.latent_sizes.get(name, 256 if width > 512 else None) for name, width in widths.items()]
        self.node_table = xavier_normal_table(self.num_users + self.num_items, config.embedding_size)  # Z [U + I, d]
        self.preferences = nn.ParameterList(
            xavier_normal_table(self.num_users, size or width)  # P [U, w]
            for size, width in zip(latent, widths.values(), strict=True)
        )
        for table in (self.node_table, *self.preferences):
            table.requires_grad_(config.is_paper)
        self.graph = BipartiteGraph(train, "rw")
        self.networks = nn.ModuleList(
            _Network(matrix, size, self.graph, config) for matrix, size in zip(modalities, latent, strict=True)
        )
        self._constant: list[_Preference] | None = None

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Tables that are not trained are looked at once per epoch."""
        self._constant = None if self.config.is_paper else self._look_up()

    def embed(self) -> Embeddings:
        return Embeddings(*self._fuse(self._look_up(), (slice(None), slice(None))))

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        rows, places = distinct_rows_of_batch(batch, self.num_users, self.num_items)
        preferences = self._constant or self._look_up()
        ranking, _ = bpr_and_squares(*self._fuse(preferences, rows), places)
        squares = [preference.square for preference in preferences]
        preference_squares = torch.stack(squares).sum() if self.config.is_paper else squares[0]
        return {
            "bpr": ranking,
            "regulariser": self.config.regulariser * (self._id_squares(batch) + preference_squares),
        }

    def _look_up(self) -> list[_Preference]:
        """The preferences of each modality."""
        pairs = [(*_UnitRowsAndSquare.apply(table), table.numel()) for table in self.preferences]
        return [
            _Preference(unit, None if self.config.is_paper else self.graph.items_from(unit), square / count)
            for unit, square, count in pairs
        ]

    def _fuse(self, preferences: Sequence[_Preference], rows: Sequence[Tensor | slice]) -> tuple[Tensor, Tensor]:
        """The sum over modalities of the last layers, or their mean."""
        ids = self.node_table.split([self.num_users, self.num_items])
        outputs = [
            network(self.graph, preference.unit, preference.mean, ids, rows)
            for network, preference in zip(self.networks, preferences, strict=True)
        ]
        users, items = (torch.stack(side).sum(0) for side in zip(*outputs, strict=True))
        return (users, items) if self.config.is_paper else (users / len(outputs), items / len(outputs))

    def _id_squares(self, batch: Triplets) -> Tensor:
        """The mean square of the batch's users' ID embeddings, and that of its items'."""
        nodes = torch.cat([batch.users, self.num_users + batch.items])
        users, items = take_rows(self.node_table, nodes).tensor_split([len(batch)])
        return users.square().mean() + items.square().mean()
