"""SLMRec.

Tao, Liu, Xia, Wang, Yang, Huang, Chua. "Self-Supervised Learning for Multimedia Recommendation." IEEE Transactions on
Multimedia 2022.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.models.base import Grid, Layers, ModelConfig, Recommender, Temperature
from prismrec.nn import Features
from prismrec.nn.channels import ChannelEncoder, Channels, xavier_linear
from prismrec.ops import distinct_rows, dropout, take_rows
from prismrec.ops.contrast import info_nce_of_pairs
from prismrec.ops.rows import DistinctRows
from prismrec.types import Embeddings, Interactions, Triplets


class SLMRecConfig(ModelConfig):
    """Hyperparameters of SLMRec, with the numbers of the official settings and the grid of MMRec."""

    learning_rate: Annotated[PositiveFloat, Grid(1e-4, 1e-3, 1e-2, 0.1)] = 0.01
    """Learning rate of Adam in the first epoch."""
    weight_decay: NonNegativeFloat = 1e-4
    """L2 penalty that Adam adds to every gradient. The model has no other regulariser."""
    layers: Layers = 3
    """Propagation layers L of every channel."""
    temperature: Temperature = 0.2
    """Temperature τ₀ of the contrast of users with their items."""
    task: Literal["FAC", "FD", "FM", "FD+FM"] = "FAC"
    """Self-supervised task. `FAC`: fine and coarse alignment; `FD`: feature dropout; `FM`: feature masking; `FD+FM`:
    both."""
    task_weight: Annotated[NonNegativeFloat, Grid(0.01, 0.05, 0.1, 0.5, 1.0)] = 0.1
    """Weight α of the task."""
    task_temperature: Annotated[Temperature, Grid(0.1, 0.2, 0.5, 1.0)] = 0.2
    """Temperature τ_s of the contrasts of the task."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of entries dropped after each layer in the tasks `FD` and `FD+FM`."""
    variant: Literal["paper", "official", "mmrec"] = "paper"
    """`official`: in the masking tasks, layer 0 of each view has the mask of this view and the other layers that of the
    other view; with one modality, one view masks it and the other masks nothing. `mmrec`: `FAC` has one more linear map
    before the last alignment. Everything else is as in `paper`."""


class SLMRec(Recommender):
    """One LightGCN per modality, with contrastive losses between users and items and between modalities.

    Its steps, with channels k = 0..M for the item IDs and the M modalities:

    - propagation of each channel, H_k = LG([P; C_k]), and the readout of all channels: `ChannelEncoder`;
    - main loss, a contrast of users with their items: `forward`;
    - `FAC`, r_k = S_k(r_{k-1}) from r_0 = H_0, aligned with T_k(H_k): `_align`;
    - `FD` and `FM`, two views of every user and item, contrasted: `_contrast_views`.

    Users and items that a batch repeats are computed once and counted as often as they occur. `FM` needs no further
    propagation: a masked channel keeps the part that comes from users (`_masked_rows`). `dense_channels` and
    `dense_readouts` in tests/models/test_slmrec.py are the same on full matrices.
    """

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
        d, M = config.embedding_size, len(features)
        self.encoder = ChannelEncoder(train, Features(features), d, config.layers)
        if config.task == "FAC":
            last = max(d // 2, 1) if M > 1 else d
            widths = [d] * (M - 1) + [last]
            self.code_heads = nn.ModuleList(xavier_linear(d, width) for width in widths)  # S_k
            self.modality_heads = nn.ModuleList(xavier_linear(d, width) for width in widths)  # T_k
            if config.variant == "mmrec":
                self.extra_head = xavier_linear(d, d)

    def embed(self) -> Embeddings:
        return self.encoder.embed()

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        inputs = self.encoder.inputs()  # C [I, M + 1, d]
        channels = self.encoder.propagate(inputs)
        users = distinct_rows(batch.users, self.num_users)
        items = distinct_rows(batch.positives, self.num_items)
        user_channels = channels.users(users.rows)  # H [n_U, M + 1, d]
        item_channels = channels.items(items.rows)  # H [n_I, M + 1, d]
        unit_users, unit_items = self.encoder.unit_fused(user_channels, item_channels)  # [n_U, d], [n_I, d]
        main = info_nce_of_pairs(
            unit_users, unit_items, users.inverse, items.inverse, self.config.temperature, cosines=True
        )
        terms = {"main": main}
        if self.config.task_weight:
            if self.config.task == "FAC":
                task = self._align(item_channels, items.inverse)
            else:
                task = self._contrast_views(inputs, channels, users, items)
            terms[self.config.task] = self.config.task_weight * task
        return terms

    def _align(self, items: Tensor, inverse: Tensor) -> Tensor:
        """FAC: align the code, which starts from the item IDs, with one modality after the other.

        Args:
            items: H of the distinct items of the batch `[n_I, M + 1, d]`.
            inverse: the position of each item of the batch among them, int64 `[B]`.
        """
        code = items[:, 0]  # r_0 [n_I, d]
        modalities = items[:, 1:].unbind(1)  # H_k, M × [n_I, d]
        temperature = self.config.task_temperature
        terms = []
        for number, rows in enumerate(modalities):
            if self.config.variant == "mmrec" and 0 < number == len(modalities) - 1:
                code = self.extra_head(code)
            code = self.code_heads[number](code)  # r_k [n_I, d], the last one [n_I, d / 2]
            target = self.modality_heads[number](rows)  # like r_k
            terms.append(info_nce_of_pairs(code, target, inverse, inverse, temperature))
        return torch.stack(terms).sum()

    def _contrast_views(self, inputs: Tensor, channels: Channels, users: DistinctRows, items: DistinctRows) -> Tensor:
        """FD, FM and FD+FM: contrast the first view of each user and item with all second views of the batch."""
        masks = self._masks(inputs)  # [2, M + 1, 1]
        deep_masks = masks.flip(0) if self.config.variant == "official" else masks
        first_users, first_items = self._view(inputs, channels, users, items, masks[0], deep_masks[0])
        second_users, second_items = self._view(inputs, channels, users, items, masks[1], deep_masks[1])
        temperature = self.config.task_temperature
        user_term = info_nce_of_pairs(
            first_users, second_users, users.inverse, users.inverse, temperature, cosines=True
        )
        item_term = info_nce_of_pairs(
            first_items, second_items, items.inverse, items.inverse, temperature, cosines=True
        )
        return user_term + item_term

    def _masks(self, inputs: Tensor) -> Tensor:
        """The factors of the channels in both views, 0 if masked and 1 otherwise, `[2, M + 1, 1]`. FD masks nothing."""
        count = inputs.shape[1]  # M + 1
        if self.config.task == "FD":
            return inputs.new_ones(2, count, 1)
        masked = torch.randperm(count, device=inputs.device)[:2]  # different channels
        if self.config.variant == "official" and count == 2:
            masked = masked + 1  # the modality in one view, nothing in the other
        return (torch.arange(count, device=inputs.device) != masked[:, None]).to(inputs)[:, :, None]

    def _view(
        self,
        inputs: Tensor,
        channels: Channels,
        users: DistinctRows,
        items: DistinctRows,
        mask: Tensor,
        deep_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """One view of the users `[n_U, d]` and items `[n_I, d]` of a batch, fused, with rows of length 1.

        Args:
            inputs: C of all items `[I, M + 1, d]`.
            channels: their propagation without a mask.
            users: the users of the batch.
            items: the items of the batch.
            mask: factors of the item inputs in layer 0 `[M + 1, 1]`.
            deep_mask: factors of the item inputs that layers 1..L propagate `[M + 1, 1]`.
        """
        if self.config.task == "FM":
            user_rows, item_rows = self._masked_rows(inputs, channels, users.rows, items.rows, mask, deep_mask)
        else:
            user_rows, item_rows = self._dropped_rows(inputs, users.rows, items.rows, mask, deep_mask)
        return self.encoder.unit_fused(user_rows, item_rows)

    def _masked_rows(
        self, inputs: Tensor, channels: Channels, users: Tensor, items: Tensor, mask: Tensor, deep_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """H of users `[n_U, M + 1, d]` and items `[n_I, M + 1, d]` with masked inputs; arguments as in `_view`."""
        depth = self.config.layers + 1
        layer_0 = take_rows(inputs, items)  # [n_I, M + 1, d]
        users_from_users = take_rows(channels.users_from_users, users)
        users_from_items = take_rows(channels.users_from_items, users)
        items_from_items = take_rows(channels.items_from_items, items) - layer_0 / depth  # of the layers 1..L
        items_from_users = take_rows(channels.items_from_users, items)
        user_rows = users_from_users + deep_mask * users_from_items
        item_rows = items_from_users + deep_mask * items_from_items + mask * layer_0 / depth
        return user_rows, item_rows

    def _dropped_rows(
        self, inputs: Tensor, users: Tensor, items: Tensor, mask: Tensor, deep_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same with dropout after each layer, which needs a propagation of its own."""
        layer_0_items = mask * take_rows(inputs, items)  # [n_I, M + 1, d]
        user_sum, item_sum = self._dropped_layers(inputs * deep_mask)  # [U, M + 1, d], [I, M + 1, d]
        layer_0_users = take_rows(self.encoder.user_table, users).unsqueeze(1)  # [n_U, 1, d]
        user_rows = (layer_0_users + take_rows(user_sum, users)) / (self.config.layers + 1)
        item_rows = (layer_0_items + take_rows(item_sum, items)) / (self.config.layers + 1)
        return user_rows, item_rows

    def _dropped_layers(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the layers 1..L with entries dropped after each, `[U, M + 1, d]` and `[I, M + 1, d]`."""
        shape = inputs.shape[1:]  # M + 1, d
        users = self.encoder.user_table.repeat(1, shape[0])  # [U, (M + 1) d]
        items = inputs.flatten(1)  # [I, (M + 1) d]
        user_sum = torch.zeros_like(users)
        item_sum = torch.zeros_like(items)
        for _ in range(self.config.layers):
            users, items = self.encoder.graph(users, items)
            users = dropout(users, self.config.dropout, self.training)
            items = dropout(items, self.config.dropout, self.training)
            user_sum = user_sum + users
            item_sum = item_sum + items
        return user_sum.unflatten(1, shape), item_sum.unflatten(1, shape)
