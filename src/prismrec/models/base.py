"""What every model is: built from interactions and features, trained by its loss, read by its embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from prismrec.nn import Features
from prismrec.types import Embeddings, Interactions, Triplets


class ModelConfig(BaseModel):
    """The hyperparameters that all models share; each model adds its own and sets its paper's defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    embedding_size: PositiveInt = 64
    """Width d of user and item vectors."""
    batch_size: PositiveInt = 2048
    """Training pairs per step, B."""
    learning_rate: PositiveFloat = 1e-3
    """Step size of Adam at the first epoch."""
    lr_decay: float = Field(1.0, gt=0, le=1)
    """The learning rate at epoch e (from 0) is learning_rate * lr_decay ** (e / lr_decay_epochs)."""
    lr_decay_epochs: PositiveInt = 1
    """Epochs over which the learning rate falls by the factor lr_decay."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty that Adam adds to every gradient, on top of the model's own regulariser."""
    sampler: Literal["interaction", "user"] = "interaction"
    """`interaction`: every training pair once per epoch; `user`: users uniformly, then one of their items."""


class Recommender(nn.Module, ABC):
    """A model: two matrices as a function of its weights, and a loss to fit them.

    A model knows the training interactions, the feature matrices and its own config; it never sees a file, a data
    set, an evaluation, a device name. Randomness comes from PyTorch's global generator, which the trainer seeds.

    Attributes:
        Config: the type of its config.
        paper: where it was published.
        cost: multiply-adds of one step, forward; the gradient takes about twice as many again.
        takes_features: whether it looks at modality features at all.
        min_modalities: how many modalities it needs at least.
        bf16_features: whether it can compute with features in bfloat16.
        repeats_steps: whether all steps of an epoch after its first are the same work on the same memory for every
            batch of one size, done without the host. A GPU may then repeat one; else the class says why not.
        config: the hyperparameters it was built with.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    paper: ClassVar[str]
    cost: ClassVar[str]
    takes_features: ClassVar[bool] = True
    min_modalities: ClassVar[int] = 0
    bf16_features: ClassVar[bool] = False
    repeats_steps: ClassVar[bool] = True

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: ModelConfig) -> None:
        """Keep sizes and features; subclasses add weights and graphs.

        Args:
            train: the training interactions, R `[U, I]`.
            features: modality name to feature matrix `[I, F_m]`, in declared order; of any float type, but bfloat16
                only where the class has `bf16_features`, which then keeps it.
            config: of the type `Config` of the class.

        Raises:
            ValueError: too few modalities, a feature matrix without I rows or in a precision it cannot use.
        """
        super().__init__()
        if len(features) < self.min_modalities:
            raise ValueError(
                f"{type(self).__name__} needs {self.min_modalities} modality or more, found {len(features)}"
            )
        for name, matrix in features.items():
            if matrix.ndim != 2 or len(matrix) != train.num_items:
                raise ValueError(f"modality {name!r} has shape {tuple(matrix.shape)}, expected [{train.num_items}, F]")
            if matrix.dtype == torch.bfloat16 and not self.bf16_features:
                raise ValueError(f"modality {name!r} is bfloat16, which {type(self).__name__} cannot compute with")
        self.config = config
        self.num_users, self.num_items = train.num_users, train.num_items
        dtype = torch.get_default_dtype()
        used = features if self.takes_features else {}
        kept = {name: x if x.dtype == torch.bfloat16 else x.to(dtype) for name, x in used.items()}
        self.features = Features(kept)

    @abstractmethod
    def embed(self) -> Embeddings:
        """Users `[U, d]` and items `[I, d]`; in eval mode a function of the weights alone."""

    @abstractmethod
    def loss(self, batch: Triplets) -> dict[str, Tensor]:
        """The named scalar terms of the loss, already weighted; the trainer adds them up and logs each."""

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Called before the first batch of each epoch (from 0): rebuild graphs, cluster, resample views.

        Args:
            epoch: from 0.
            generator: on the CPU, seeded for this epoch.
        """

    def drifting_parameters(self) -> Iterable[nn.Parameter]:
        """Weights that have a gradient at the first steps of an epoch alone, and drift through the others by momentum.

        Adam then treats their absent gradient as zero, at the end of the epoch for all steps at once; so after a step
        that gives them no gradient, the model must not read them before the epoch is over (default: none).
        """
        return ()
