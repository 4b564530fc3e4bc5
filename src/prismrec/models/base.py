"""The base class of all models and of their configs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.parameters import Parameters
from prismrec.types import Embeddings, Interactions, Triplets

SamplerName = Literal["interaction", "user"]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
"""A number of neighbours, hyperedges, epochs and the like."""
PositiveCount = Annotated[int, Field(ge=1, le=1_000_000)]
Layers = Annotated[int, Field(ge=0, le=100)]
"""A number of layers."""
PositiveLayers = Annotated[int, Field(ge=1, le=100)]
Width = Annotated[int, Field(ge=1, le=65_536)]
"""A number of columns of a weight."""
BatchSize = Annotated[int, Field(ge=1, le=2**24)]
Temperature = Annotated[float, Field(ge=1e-3, le=1e3)]
"""A temperature; smaller ones overflow float32."""
GridValue = bool | int | float | str | None


class Grid:
    """The values of a hyperparameter that `prismrec tune` tries if no others are given.

    They are part of the type of the field: `layers: Annotated[Layers, Grid(1, 2, 3, 4)] = 2`. They are the values that
    the authors of the model searched; where these are unknown, the docstring of the config says so.
    """

    def __init__(self, *values: GridValue) -> None:
        self.values = values


class ModelConfig(Parameters):
    """The hyperparameters that all models share. Each model adds its own and sets the defaults of its paper."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
    noun = "hyperparameter"

    embedding_size: Width = 64
    """Width d of user and item vectors."""
    batch_size: BatchSize = 2048
    """Training pairs per step, B."""
    learning_rate: PositiveFloat = 1e-3
    """Learning rate of Adam in the first epoch."""
    lr_decay: float = Field(1.0, gt=0, le=1)
    """The learning rate in epoch e (from 0) is learning_rate * lr_decay ** (e / lr_decay_epochs)."""
    lr_decay_epochs: PositiveCount = 1
    """Number of epochs in which the learning rate falls by the factor lr_decay."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty that Adam adds to every gradient, in addition to the regulariser of the model."""
    sampler: SamplerName = "interaction"
    """`interaction`: every training pair once per epoch; `user`: uniform users, then one of their items."""


class Recommender(nn.Module, ABC):
    """A model: user and item matrices as functions of its weights, and a loss that fits the weights.

    A model knows the training interactions, the feature matrices and its own config. It never sees a file, a data set,
    an evaluation or a device name. It draws random numbers from PyTorch's global generator, which the trainer seeds.

    Attributes:
        name: its name, as its paper gives it.
        Config: the type of its config.
        paper: where it was published.
        cost: multiply-adds of the forward pass of one step; the gradient takes about twice as many.
        takes_features: whether it uses modality features.
        min_modalities: the smallest number of modalities.
        accepts_missing: whether it tells items that lack a modality apart: their rows of features are then NaN.
            For all other models they are filled.
        bf16_features: whether it supports features in bfloat16.
        repeats_steps: whether all steps of an epoch after the first do the same work on the same memory for every batch
            of one size, without waiting for the host. A GPU then records one step and replays it.
        config: its hyperparameters.
        num_users: U.
        num_items: I.
    """

    name: ClassVar[str]
    Config: ClassVar[type[ModelConfig]] = ModelConfig
    paper: ClassVar[str]
    cost: ClassVar[str]
    takes_features: ClassVar[bool] = True
    min_modalities: ClassVar[int] = 0
    accepts_missing: ClassVar[bool] = False
    bf16_features: ClassVar[bool] = False
    repeats_steps: ClassVar[bool] = False

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: ModelConfig) -> None:
        """Check the features and keep the sizes; subclasses add weights, graphs and the features that they use.

        Args:
            train: the training interactions, R `[U, I]`.
            features: modality name to feature matrix `[I, F_m]`, in the order of the data set; bfloat16 only if the
                class has `bf16_features`. Rows of items that lack the modality are NaN if the class has
                `accepts_missing`, else they are filled.
            config: of the type `Config` of the class.

        Raises:
            ValueError: there are too few modalities, a matrix does not have I rows, or its precision is not supported.
        """
        super().__init__()
        if len(features) < self.min_modalities:
            raise ValueError(f"{self.name} needs {self.min_modalities} modality or more, found {len(features)}")
        for name, matrix in features.items():
            if matrix.ndim != 2 or len(matrix) != train.num_items:
                raise ValueError(f"modality {name!r} has shape {tuple(matrix.shape)}, expected [{train.num_items}, F]")
            if matrix.dtype == torch.bfloat16 and not self.bf16_features:
                raise ValueError(f"modality {name!r} is bfloat16, which {self.name} does not support")
        self.config = config
        self.num_users = train.num_users
        self.num_items = train.num_items

    @property
    def chosen(self) -> Mapping[str, float]:
        """The hyperparameters that the config leaves open, with the values that the model has chosen for them."""
        return {}

    @property
    def batch_size(self) -> int:
        """Training pairs per step, B; that of the config unless the model lets it grow with the data."""
        return self.config.batch_size

    @abstractmethod
    def embed(self) -> Embeddings:
        """Users `[U, d]` and items `[I, d]`; in eval mode a function of the weights alone."""

    @abstractmethod
    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        """The terms of the loss by name: scalars, already weighted. The trainer adds them up and logs each one."""

    def select(self, score: Callable[[Embeddings], float]) -> None:
        """Choose hyperparameters that the config leaves open, before the first epoch of a run with validation.

        The choice must be part of `state_dict`, because a resumed run does not repeat it. By default nothing is chosen.

        Args:
            score: the validation metric of embeddings; larger is better. The model does not see the validation pairs.
        """

    def refine(self, score: Callable[[Embeddings], float]) -> None:
        """Choose hyperparameters that training does not depend on, with the weights of the best epoch.

        The choice must be part of `state_dict`. By default nothing is chosen.

        Args:
            score: as in `select`.
        """

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Prepare an epoch, for example by drawing views or clustering; called before its first batch.

        Args:
            epoch: from 0.
            generator: on the CPU, seeded for this epoch.
        """

    def drifting_parameters(self) -> Iterable[nn.Parameter]:
        """Weights that get a gradient only in the first steps of an epoch and move by momentum in the others.

        Adam treats their absent gradients as zero, and applies those steps at the end of the epoch. The model must not
        read such a weight between a step without its gradient and the end of the epoch. By default there are none.
        """
        return ()
