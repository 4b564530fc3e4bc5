"""Parts of a training that the caller brings: a sampler and terms of the loss."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from prismrec.errors import ParameterError
from prismrec.models.base import Recommender
from prismrec.training.outputs import is_real_scalar, kind_of
from prismrec.types import Interactions, Triplets

LossTerm = Callable[[Recommender, Triplets], Tensor]
"""A term of the loss: a weighted scalar, from the model in training mode and a batch."""

Start = Callable[[Recommender], None]
"""Sets weights of a model on its device before the first epoch."""


class TripletSampler(Protocol):
    """Draws the batches of a training."""

    def epoch(self, generator: torch.Generator) -> Iterable[Triplets]:
        """The batches of one epoch, each with user and item numbers, int64 `[B]`.

        A sampler that draws all its random numbers from `generator` keeps runs repeatable.
        """
        ...


@dataclass(frozen=True)
class CustomParts:
    """What the caller brings to a training.

    Attributes:
        sampler: draws the batches instead of the sampler of the config; None for that one.
        loss_terms: further terms of the loss by name.
        start: sets the weights before the first epoch; None for those of the constructor.
    """

    sampler: TripletSampler | None
    loss_terms: Mapping[str, LossTerm]
    start: Start | None


class CheckedSampler:
    """A sampler of the caller, whose batches are checked and moved to the device of the model."""

    def __init__(self, sampler: TripletSampler, train: Interactions, device: torch.device) -> None:
        """Wrap a sampler.

        Args:
            sampler: of the caller.
            train: the training interactions, whose numbers of users and items limit the batches.
            device: where the batches go.
        """
        self._sampler = sampler
        self._train = train
        self._device = device

    def epoch(self, generator: torch.Generator) -> Iterator[Triplets]:
        """The batches of one epoch; the sampler gets a generator on the CPU with the seed of `generator`.

        Raises:
            ParameterError: there is no batch, or a batch has numbers that do not exist, or another type or shape.
        """
        is_empty = True
        batches = self._sampler.epoch(torch.Generator().manual_seed(generator.initial_seed()))
        if not isinstance(batches, Iterable):
            raise ParameterError("sampler", f"an epoch of type {type(batches).__name__}", "batches of type Triplets")
        for batch in batches:
            if not isinstance(batch, Triplets):
                raise ParameterError("sampler", f"a batch of type {type(batch).__name__}", "batches of type Triplets")
            _check_numbers("users", batch.users, batch, self._train.num_users)
            _check_numbers("positives", batch.positives, batch, self._train.num_items)
            _check_numbers("negatives", batch.negatives, batch, self._train.num_items)
            is_empty = False
            yield batch.to(self._device)
        if is_empty:
            raise ParameterError("sampler", "an epoch without a batch", "one batch or more")


def _check_numbers(name: str, numbers: Tensor, batch: Triplets, count: int) -> None:
    if not isinstance(numbers, Tensor) or numbers.is_meta:
        raise ParameterError("sampler", f"{name} of type {type(numbers).__name__}", "tensors with values")
    size = len(batch)
    if numbers.dtype != torch.int64 or numbers.shape != (size,) or not size:
        found = f"{name} of type {numbers.dtype} and shape {list(numbers.shape)}"
        raise ParameterError("sampler", found, "int64 [B] for users, positives and negatives, B of 1 or more")
    low, high = numbers.aminmax()
    if low < 0 or high >= count:
        raise ParameterError("sampler", f"{name} {int(low)}..{int(high)}", f"numbers within 0..{count - 1}")


def custom_terms(
    loss_terms: Mapping[str, LossTerm], model: Recommender, batch: Triplets, terms: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The terms of the caller by name, scalars.

    Args:
        loss_terms: of the caller.
        model: in training mode.
        batch: the batch of this step.
        terms: the terms of the model, whose names are taken.

    Raises:
        ParameterError: a name is taken, or a term is not a scalar.
    """
    found = {}
    for name, loss_term in loss_terms.items():
        if name in terms:
            raise ParameterError("loss_terms", f"{name!r}, a term of {model.name}", "another name")
        term = loss_term(model, batch)
        if not is_real_scalar(term):
            raise ParameterError("loss_terms", f"{name!r} with {kind_of(term)}", "a real scalar tensor")
        found[name] = term
    return found


def name_of(part: object) -> str:
    """The name of a function, a class or an object of the caller, for logs and manifests."""
    return str(getattr(part, "__name__", type(part).__name__))
