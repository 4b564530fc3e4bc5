"""SLMRec.

Tao, Liu, Xia, Wang, Yang, Huang, Chua. "Self-Supervised Learning for Multimedia Recommendation." IEEE Transactions on
Multimedia 2022.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import Features
from prismrec.nn.channels import ChannelEncoder, Channels, xavier_linear
from prismrec.ops import distinct_rows, dropout, take_rows
from prismrec.ops.contrast import info_nce_of_pairs
from prismrec.types import Embeddings, Interactions, Triplets


class SLMRecConfig(ModelConfig):
    """Hyperparameters of SLMRec."""

    learning_rate: PositiveFloat = 0.01
    """Step size of Adam at the first epoch."""
    weight_decay: NonNegativeFloat = 1e-4
    """L2 penalty that Adam adds to every gradient; the model has no other regulariser."""
    layers: NonNegativeInt = 3
    """Propagation layers L of every channel."""
    temperature: PositiveFloat = 0.2
    """τ₀ of the contrast of users with their items."""
    task: Literal["FAC", "FD", "FM", "FD+FM"] = "FAC"
    """What supervises the modalities: fine and coarse alignment, feature dropout, feature masking, or both of these."""
    task_weight: NonNegativeFloat = 0.1
    """α, weight of the task."""
    task_temperature: PositiveFloat = 0.2
    """τ_s of the task's contrasts."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """`FD` and `FD+FM`: share of entries dropped after each layer."""
    variant: Literal["paper", "official", "mmrec"] = "paper"
    """`official`: in `FM` the unpropagated layer is masked as in the other view, and with one modality IDs are never
    masked; `mmrec`: in `FAC` one more linear map before the last alignment. Otherwise as `paper`."""


class _Rows(NamedTuple):
    """The distinct users `[n_U]` and items `[n_I]` of a batch, and where each pair finds its own, `[B]`."""

    users: Tensor
    user_places: Tensor
    items: Tensor
    item_places: Tensor


class SLMRec(Recommender):
    """Each user's items told from the rest of the batch, with a LightGCN per modality supervised by the others."""

    name = "SLMRec"
    paper = "Tao et al., IEEE TMM 2022"
    cost = (
        "I Σ F_m d to project, E d (M + 2) L to propagate (FD: 4 E d (M + 1) L more), at most B² d (M + 1) to contrast"
    )
    min_modalities = 1
    bf16_features = True
    repeats_steps = True
    Config = SLMRecConfig
    config: SLMRecConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: SLMRecConfig) -> None:
        super().__init__(train, features, config)
        modalities = Features(features)
        d, M = config.embedding_size, len(modalities)
        self.encoder = ChannelEncoder(train, modalities, d, config.layers)
        if config.task == "FAC":
            widths = [d] * (M - 1) + [max(d // 2, 1) if M > 1 else d]
            self.code_heads = nn.ModuleList(xavier_linear(d, width) for width in widths)  # S_k
            self.modality_heads = nn.ModuleList(xavier_linear(d, width) for width in widths)  # T_k
            if config.variant == "mmrec":
                self.extra_head = xavier_linear(d, d)

    def embed(self) -> Embeddings:
        return self.encoder.embed()

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        inputs = self.encoder.inputs()  # C [I, M + 1, d]
        channels = self.encoder.propagate(inputs)
        # Users and items that repeat within the batch are computed once: n_U and n_I of them.
        batch_rows = _Rows(*distinct_rows(batch.users, self.num_users), *distinct_rows(batch.positives, self.num_items))
        users, items = channels.users(batch_rows.users), channels.items(batch_rows.items)  # H [n, M + 1, d]
        sides = self.encoder.unit_fused(users, items)
        places = batch_rows.user_places, batch_rows.item_places
        terms = {"main": info_nce_of_pairs(*sides, *places, self.config.temperature, cosines=True)}
        if self.config.task_weight:
            if self.config.task == "FAC":
                task = self._align(items, batch_rows.item_places)
            else:
                task = self._two_views(inputs, channels, batch_rows)
            terms[self.config.task] = self.config.task_weight * task
        return terms

    def _align(self, items: Tensor, places: Tensor) -> Tensor:
        """FAC: the code of IDs meets one modality after the other, each in its own space; rows `[n_I, M + 1, d]`."""
        code, terms = items[:, 0], []
        heads = zip(self.code_heads, self.modality_heads, items[:, 1:].unbind(1), strict=True)
        for number, (code_head, modality_head, rows) in enumerate(heads, start=1):
            if self.config.variant == "mmrec" and 1 < number == len(self.code_heads):
                code = self.extra_head(code)
            code = code_head(code)  # r_k = S_k(r_{k-1}) [n_I, d], the last [n_I, d / 2]
            terms.append(info_nce_of_pairs(code, modality_head(rows), places, places, self.config.task_temperature))
        return torch.stack(terms).sum()

    def _two_views(self, inputs: Tensor, channels: Channels, batch: _Rows) -> Tensor:
        """FD, FM, FD+FM: users and items each recognised from one view to the other."""
        count, is_official = inputs.shape[1], self.config.variant == "official"
        kept = inputs.new_ones(2, count, 1)  # [view, M + 1, 1]
        if self.config.task != "FD":
            masked = torch.randperm(count, device=inputs.device)[:2]  # r_1 ≠ r_2
            if is_official and count == 2:
                masked = masked + 1  # the modality in one view, nothing in the other
            kept = (torch.arange(count, device=inputs.device) != masked[:, None]).to(inputs)[:, :, None]
        deeper = kept.flip(0) if is_official else kept
        first_view, second_view = (
            self.encoder.unit_fused(*self._view(inputs, channels, batch, *masks))
            for masks in zip(kept, deeper, strict=True)
        )
        terms = (
            info_nce_of_pairs(first, second, places, places, self.config.task_temperature, cosines=True)
            for first, second, places in zip(
                first_view, second_view, (batch.user_places, batch.item_places), strict=True
            )
        )
        return torch.stack(list(terms)).sum()

    def _view(
        self, inputs: Tensor, channels: Channels, batch: _Rows, first: Tensor, deeper: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rows `[n, M + 1, d]` of users and items with item inputs masked by 0 or 1 per channel `[M + 1, 1]`.

        Layer 0 is masked by `first`, the layers 1..L by `deeper`.
        """
        layers = self.config.layers + 1
        rows = take_rows(inputs, batch.items)
        if self.config.task == "FM":  # a masked channel holds what came from users alone
            users = take_rows(channels.users_from_users, batch.users) + deeper * take_rows(
                channels.users_from_items, batch.users
            )
            propagated = take_rows(channels.items_from_items, batch.items) - rows / layers
            return users, take_rows(
                channels.items_from_users, batch.items
            ) + deeper * propagated + first * rows / layers
        all_users, all_items = self._dropped_layers(inputs * deeper)
        users = take_rows(self.encoder.user_table, batch.users).unsqueeze(1) + take_rows(all_users, batch.users)
        return users / layers, (first * rows + take_rows(all_items, batch.items)) / layers

    def _dropped_layers(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of layers 1..L, entries dropped after each: users `[U, M + 1, d]` and items `[I, M + 1, d]`."""
        users, items = self.encoder.user_table.repeat(1, inputs.shape[1]), inputs.flatten(1)
        sum_users, sum_items = torch.zeros_like(users), torch.zeros_like(items)
        for _ in range(self.config.layers):
            propagated = self.encoder.graph(users, items)
            users, items = (dropout(rows, self.config.dropout, self.training) for rows in propagated)
            sum_users, sum_items = sum_users + users, sum_items + items
        return sum_users.unflatten(1, inputs.shape[1:]), sum_items.unflatten(1, inputs.shape[1:])
