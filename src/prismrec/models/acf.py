"""ACF.

Chen, Zhang, He, Nie, Liu, Chua. "Attentive Collaborative Filtering: Multimedia Recommendation with Item- and
Component-Level Attention." SIGIR 2017. The components of an item are its modalities here.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prismrec.models.base import Grid, ModelConfig, Recommender, Width
from prismrec.nn import Features, bpr, normal_table, sum_of_squares, xavier_table
from prismrec.ops import distinct_rows, narrow_softmax, segment_softmax, take_rows
from prismrec.ops.softmax import edges_of_rows, segment_sum
from prismrec.types import Embeddings, Interactions, Triplets

_EDGES_PER_BLOCK = 1 << 16
"""Interactions that are processed at once. With more of them, the gradient computes the activations of each block again
instead of storing them."""


class ACFConfig(ModelConfig):
    """Hyperparameters of ACF. The grid is ours, because the paper trains with plain SGD."""

    learning_rate: Annotated[PositiveFloat, Grid(1e-4, 1e-3, 1e-2)] = 1e-3
    """Learning rate of Adam in the first epoch."""
    variant: Literal["paper", "official"] = "paper"
    """`paper`: users collect the auxiliary vectors of their items, and the loss and the regulariser are divided by B.
    `official`: as in the official code, users collect the content of their items, there are no auxiliary vectors, and
    all terms are summed over the batch."""
    attention_size: Width = 64
    """Hidden width h of both attentions. In the variant `official`, the component attention has width d."""
    regulariser: Annotated[NonNegativeFloat, Grid(1e-5, 1e-4, 1e-3)] = 1e-4
    """Weight λ of Σ ‖X‖² over the rows of the batch, the projections and the attentions."""


class _Attention(nn.Module):
    """The scores w·ReLU(Σ_k x_k W_k + b) of pairs of a user and an item.

    The caller computes the terms x_k W_k once per user or item, not once per pair, and adds them for each pair.
    """

    def __init__(self, inputs: int, size: int, hidden: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(xavier_table(size, hidden) for _ in range(inputs))  # W_k [d, h]
        self.bias = nn.Parameter(torch.zeros(hidden))  # b [h]
        self.readout = normal_table(hidden, 1)  # w [h, 1]

    def user_terms(self, users: Tensor) -> Tensor:
        """The term of the first input, the users, together with the bias: `[n, d]` to `[n, h]`."""
        return users @ self.weights[0] + self.bias

    def forward(self, terms: Tensor) -> Tensor:
        """Scores `[...]` from Σ_k x_k W_k + b `[..., h]`, which is overwritten."""
        return (terms.relu_() @ self.readout).squeeze(-1)


class _Items(NamedTuple):
    """What both attentions read of n items; independent of the user."""

    components: Tensor  # x [n, M, d]
    absent: Tensor  # whether the item lacks the modality, bool [n, M]
    component_terms: Tensor  # x W₂ₓ [n, M, h]
    content_terms: Tensor  # x W₁ₓ [n, M, h]
    item_terms: Tensor | None  # v W₁ᵥ + p W₁ₚ [n, h]; None in the variant `official`
    auxiliary: Tensor | None  # p [n, d]; None in the variant `official`
    position_of: Tensor  # item number to its row in the other fields, int64 [I]


class ACF(Recommender):
    """Matrix factorisation that adds the items of a user's history to the user embedding, weighted by attention.

    With e a user, v an item, p its auxiliary vector, x_m = F_m Π_m its components and S_u the history of user u:

    - component attention β_m = softmax over m of w₂·ReLU(e W₂ᵤ + x_m W₂ₓ + b₂): `_component_attention`;
    - content x̄ = Σ_m β_m x_m;
    - item attention α_l = softmax over l in S_u of w₁·ReLU(e W₁ᵤ + v W₁ᵥ + p W₁ₚ + x̄ W₁ₓ + b₁): `_item_attention`;
    - final user e + Σ_l α_l p_l, final item v: `_attend`.

    In the variant `official`, p and v are not used, W₂ₓ is the identity, and the final user is e + Σ_l α_l x̄_l.
    `dense_users` in tests/models/test_acf.py writes the same for all users and items, with a mask of the histories.
    """

    name = "ACF"
    paper = "Chen et al., SIGIR 2017"
    cost = "d Σ F_m per distinct item and (3 M + 3) h per interaction in the histories of the batch's users"
    min_modalities = 1
    Config = ACFConfig
    config: ACFConfig
    absent: Tensor
    history: Tensor
    offsets: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: ACFConfig) -> None:
        super().__init__(train, features, config)
        d, h = config.embedding_size, config.attention_size
        self.is_paper = config.variant == "paper"
        self.features = Features(features)  # F [I, F_m] each
        self.user_table = normal_table(self.num_users, d, 0.01)  # e [U, d]
        self.item_table = normal_table(self.num_items, d, 0.01)  # v [I, d]
        if self.is_paper:
            self.auxiliary_table = normal_table(self.num_items, d, 0.01)  # p [I, d]
        self.projections = nn.ParameterList(xavier_table(width, d) for width in self.features.widths)  # Π [F_m, d]
        self.component_attention = _Attention(2, d, h) if self.is_paper else _Attention(1, d, d)  # of e, x
        self.item_attention = _Attention(4 if self.is_paper else 2, d, h)  # of e, x̄, v, p
        # An item whose features are all zero lacks the modality. It has no such component.
        absent = torch.stack([(matrix == 0).all(1) for matrix in self.features], 1)
        self.register_buffer("absent", absent, persistent=False)  # [I, M]
        self.register_buffer("history", torch.from_numpy(train.items).long(), persistent=False)  # [E]
        self.register_buffer("offsets", torch.from_numpy(train.offsets), persistent=False)  # [U + 1]

    def embed(self) -> Embeddings:
        users = torch.arange(self.num_users, device=self.offsets.device)
        positions = torch.arange(self.num_items, device=self.offsets.device)
        items = self._items(slice(None), positions)
        return Embeddings(self._final_users(users, items), self.item_table)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        distinct = distinct_rows(batch.users, self.num_users)
        items = self._items_of_histories(distinct.rows)
        users = take_rows(self._final_users(distinct.rows, items), distinct.inverse)  # [B, d]
        positives, negatives = take_rows(self.item_table, batch.items).split(len(batch))
        scale = 1 / len(batch) if self.is_paper else 1.0
        return {
            "bpr": scale * len(batch) * bpr(users, positives, negatives),
            "regulariser": scale * self.config.regulariser * self._squares(batch),
        }

    def _items_of_histories(self, users: Tensor) -> _Items:
        """The distinct items of the histories of some users."""
        edges, _ = edges_of_rows(self.offsets, users)
        is_read = torch.zeros(self.num_items, dtype=torch.bool, device=users.device)
        is_read[self.history[edges]] = True
        return self._items(is_read.nonzero().squeeze(1), is_read.cumsum(0) - 1)

    def _items(self, rows: Tensor | slice, position_of: Tensor) -> _Items:
        """The items of the given rows, and for each item number its position among them."""
        pairs = zip(self.features, self.projections, strict=True)
        components = torch.stack([matrix[rows] @ projection for matrix, projection in pairs], 1)  # x [n, M, d]
        absent = self.absent[rows]
        content_terms = components @ self.item_attention.weights[1]
        if not self.is_paper:
            return _Items(components, absent, components, content_terms, None, None, position_of)
        component_terms = components @ self.component_attention.weights[1]
        auxiliary = take_rows(self.auxiliary_table, rows)
        _, _, of_item, of_auxiliary = self.item_attention.weights
        item_terms = take_rows(self.item_table, rows) @ of_item + auxiliary @ of_auxiliary
        return _Items(components, absent, component_terms, content_terms, item_terms, auxiliary, position_of)

    def _final_users(self, users: Tensor, items: _Items) -> Tensor:
        """`_attend` for distinct users, in blocks of about `_EDGES_PER_BLOCK` interactions."""
        degrees = self.offsets[users + 1] - self.offsets[users]
        sizes = torch.bincount(degrees.cumsum(0) // _EDGES_PER_BLOCK)
        blocks = users.split([size for size in sizes.tolist() if size])
        if len(blocks) == 1:
            return self._attend(users, items)
        parts = []
        for block in blocks:
            parts.append(checkpoint(self._attend, block, items, use_reentrant=False, preserve_rng_state=False))
        return torch.cat(parts)

    def _attend(self, users: Tensor, items: _Items) -> Tensor:
        """The final vectors of users `[n, d]`, given all items of their histories. E' counts their interactions."""
        edges, segments = edges_of_rows(self.offsets, users)  # [E']; segments are positions in users
        positions = items.position_of[self.history[edges]]  # [E']
        own = take_rows(self.user_table, users)  # e [n, d]
        shares = self._component_attention(own, items, segments, positions)  # β [E', M, 1]
        attention = self._item_attention(own, items, segments, positions, shares)  # α [E', 1]
        if items.auxiliary is not None:
            collected = attention * take_rows(items.auxiliary, positions)  # α p [E', d]
        else:
            content = (shares * take_rows(items.components, positions)).sum(1)  # x̄ [E', d]
            collected = attention * content
        return own + segment_sum(collected, segments, len(users))

    def _component_attention(self, own: Tensor, items: _Items, segments: Tensor, positions: Tensor) -> Tensor:
        """β of each interaction and modality, `[E', M, 1]`."""
        user_terms = take_rows(self.component_attention.user_terms(own), segments)  # [E', h]
        terms = take_rows(items.component_terms, positions).add_(user_terms.unsqueeze(1))  # [E', M, h]
        absent = take_rows(items.absent, positions)  # [E', M]
        scores = self.component_attention(terms).masked_fill(absent, torch.finfo(terms.dtype).min)
        return narrow_softmax(scores).unsqueeze(2)

    def _item_attention(
        self, own: Tensor, items: _Items, segments: Tensor, positions: Tensor, shares: Tensor
    ) -> Tensor:
        """α of each interaction, `[E', 1]`. With x̄ = Σ_m β_m x_m, x̄ W₁ₓ = Σ_m β_m (x_m W₁ₓ)."""
        terms = (shares * take_rows(items.content_terms, positions)).sum(1)  # x̄ W₁ₓ [E', h]
        user_terms = take_rows(self.item_attention.user_terms(own), segments)  # [E', h]
        terms = terms.add_(user_terms)
        if items.item_terms is not None:
            terms = terms.add_(take_rows(items.item_terms, positions))
        scores = self.item_attention(terms)  # [E']
        return segment_softmax(scores, segments, len(own)).unsqueeze(1)

    def _squares(self, batch: Triplets) -> Tensor:
        """Σ ‖X‖² over the rows of the batch, the projections and the attentions."""
        rows = [take_rows(self.user_table, batch.users), take_rows(self.item_table, batch.items)]
        if self.is_paper:
            rows.append(take_rows(self.auxiliary_table, batch.items))
        attentions = [*self.component_attention.parameters(), *self.item_attention.parameters()]
        return sum_of_squares(*rows, *self.projections, *attentions)
