"""ACF.

Chen, Zhang, He, Nie, Liu, Chua. "Attentive Collaborative Filtering: Multimedia Recommendation with Item- and
Component-Level Attention." SIGIR 2017. The components of an item are its modalities here.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import Features, bpr, normal_table, xavier_table
from prismrec.ops import distinct_rows, narrow_softmax, segment_softmax, take_rows
from prismrec.ops.softmax import edges_of_rows, segment_sum
from prismrec.types import Embeddings, Interactions, Triplets

_EDGES_PER_BLOCK = 1 << 16
"""Interactions attended to at once; where there are more, a block's activations are computed again for its gradient."""


class ACFConfig(ModelConfig):
    """Hyperparameters of ACF."""

    variant: Literal["paper", "official"] = "paper"
    """`paper`: a user collects auxiliary vectors of its items, loss and penalty are divided by B; `official`: as in the
    released program it collects the items' content, there are no auxiliary vectors, and nothing is divided."""
    attention_size: PositiveInt = 64
    """Hidden width h of both attentions; in the variant `official` that of components is d."""
    regulariser: NonNegativeFloat = 1e-4
    """Weight λ of Σ ‖X‖² over the rows of the batch, the projections and the attentions."""


class _Attention(nn.Module):
    """Scores w · ReLU(Σ_k x_k W_k + b). The products x_k W_k are taken once per user or item, not once per pair."""

    def __init__(self, inputs: int, size: int, hidden: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(xavier_table(size, hidden) for _ in range(inputs))  # W_k [d, h]
        self.bias = nn.Parameter(torch.zeros(hidden))  # b [h]
        self.readout = normal_table(hidden, 1)  # w [h, 1]

    def of_users(self, users: Tensor) -> Tensor:
        """u W₁ + b `[n, h]`: users come first among the inputs, and the bias goes with them."""
        return users @ self.weights[0] + self.bias

    def forward(self, terms: Tensor) -> Tensor:
        """Σ_k x_k W_k + b `[..., h]`, overwritten, to scores `[...]`."""
        return (terms.relu_() @ self.readout).squeeze(-1)


class _Items(NamedTuple):
    """What both attentions read of n items, whoever the user."""

    components: Tensor  # x [n, M, d]
    absent: Tensor  # bool [n, M]
    component_terms: Tensor  # x W₂ₓ [n, M, h]
    content_terms: Tensor  # x W₁ₓ [n, M, h]
    item_terms: Tensor | None  # v W₁ᵥ + p W₁ₚ [n, h]; none in the variant `official`
    auxiliary: Tensor | None  # p [n, d]; none in the variant `official`
    place_of: Tensor  # the row of an item in all of these [I]


class ACF(Recommender):
    """Matrix factorisation that adds the items of a user's history to the user embedding, weighted by attention."""

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
        self.features = Features(features)
        d, h, self.is_paper = config.embedding_size, config.attention_size, config.variant == "paper"
        self.user_table = normal_table(self.num_users, d, 0.01)  # E [U, d]
        self.item_table = normal_table(self.num_items, d, 0.01)  # V [I, d]
        if self.is_paper:
            self.auxiliary_table = normal_table(self.num_items, d, 0.01)  # P [I, d]
        self.projections = nn.ParameterList(xavier_table(width, d) for width in self.features.widths)  # Π [F_m, d]
        self.component_attention = _Attention(2, d, h) if self.is_paper else _Attention(1, d, d)  # of u, x
        self.item_attention = _Attention(4 if self.is_paper else 2, d, h)  # of u, x, v, p
        # A row of zeros is an item without that modality: no component of it.
        absent = torch.stack([(matrix == 0).all(1) for matrix in self.features], 1)
        self.register_buffer("absent", absent, persistent=False)  # [I, M]
        self.register_buffer("history", torch.from_numpy(train.items).long(), persistent=False)  # [E]
        self.register_buffer("offsets", torch.from_numpy(train.offsets), persistent=False)  # [U + 1]

    def embed(self) -> Embeddings:
        everyone = torch.arange(self.num_users, device=self.offsets.device)
        items = self._items(slice(None), torch.arange(self.num_items, device=self.offsets.device))
        return Embeddings(self._users(everyone, items), self.item_table)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        users, user_places = distinct_rows(batch.users, self.num_users)
        in_history = torch.zeros(self.num_items, dtype=torch.bool, device=users.device)
        in_history[self.history[edges_of_rows(self.offsets, users)[0]]] = True
        items = self._items(in_history.nonzero().squeeze(1), in_history.cumsum(0) - 1)
        rows = take_rows(self._users(users, items), user_places)  # [B, d]
        scale = 1 / len(batch) if self.is_paper else 1.0
        return {
            "bpr": scale * len(batch) * bpr(rows, *take_rows(self.item_table, batch.items).split(len(batch))),
            "regulariser": scale * self.config.regulariser * self._squares(batch),
        }

    def _items(self, rows: Tensor | slice, place_of: Tensor) -> _Items:
        """The items of the given rows, once for all users."""
        pairs = zip(self.features, self.projections, strict=True)
        components = torch.stack([matrix[rows] @ projection for matrix, projection in pairs], 1)  # [n, M, d]
        content_terms = components @ self.item_attention.weights[1]
        if not self.is_paper:
            return _Items(components, self.absent[rows], components, content_terms, None, None, place_of)
        component_terms = components @ self.component_attention.weights[1]
        auxiliary = take_rows(self.auxiliary_table, rows)
        of_item, of_auxiliary = self.item_attention.weights[2:]
        item_terms = take_rows(self.item_table, rows) @ of_item + auxiliary @ of_auxiliary
        return _Items(components, self.absent[rows], component_terms, content_terms, item_terms, auxiliary, place_of)

    def _users(self, users: Tensor, items: _Items) -> Tensor:
        """Z of distinct users `[n, d]`, whose histories lie within the given items."""
        degrees = self.offsets[users + 1] - self.offsets[users]
        sizes = torch.bincount(degrees.cumsum(0) // _EDGES_PER_BLOCK)
        blocks = users.split([size for size in sizes.tolist() if size])
        if len(blocks) == 1:
            return self._attend(users, items)
        parts = [
            checkpoint(self._attend, block, items, use_reentrant=False, preserve_rng_state=False) for block in blocks
        ]
        return torch.cat(parts)

    def _attend(self, users: Tensor, items: _Items) -> Tensor:
        """u + Σ_l α(u, l) p_l `[n, d]`; e counts the interactions of these users."""
        edges, owners = edges_of_rows(self.offsets, users)
        places = items.place_of[self.history[edges]]  # [e]
        own = take_rows(self.user_table, users)
        user_terms = self.component_attention.of_users(own).index_select(0, owners)  # u W₂ᵤ + b₂ [e, h]
        terms = items.component_terms.index_select(0, places).add_(user_terms.unsqueeze(1))  # [e, M, h]
        absent = items.absent.index_select(0, places)
        scores = self.component_attention(terms).masked_fill(absent, torch.finfo(terms.dtype).min)  # b [e, M]
        shares = narrow_softmax(scores).unsqueeze(2)  # β [e, M, 1]
        terms = (shares * items.content_terms.index_select(0, places)).sum(1)  # x̄ W₁ₓ [e, h]
        terms = terms.add_(self.item_attention.of_users(own).index_select(0, owners))
        if items.item_terms is not None:
            terms = terms.add_(items.item_terms.index_select(0, places))
        attention = segment_softmax(self.item_attention(terms), owners, len(users)).unsqueeze(1)  # α [e, 1]
        if items.auxiliary is not None:
            collected = attention * items.auxiliary.index_select(0, places)  # [e, d]
        else:
            collected = attention * (shares * items.components.index_select(0, places)).sum(1)
        return own + segment_sum(collected, owners, len(users))

    def _squares(self, batch: Triplets) -> Tensor:
        """Σ ‖X‖² over the rows of the batch, the projections and the attentions."""
        rows = [take_rows(self.user_table, batch.users), take_rows(self.item_table, batch.items)]
        if self.is_paper:
            rows.append(take_rows(self.auxiliary_table, batch.items))
        weights = [*self.projections, *self.component_attention.parameters(), *self.item_attention.parameters()]
        return torch.stack([matrix.square().sum() for matrix in (*rows, *weights)]).sum()
