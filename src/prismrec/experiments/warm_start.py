"""Start a training from the weights of another run."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from prismrec.data import Dataset
from prismrec.errors import InputError, ParameterError, check_type
from prismrec.experiments.matching import LARGER, RowMatch, WeightCopy, match_weights
from prismrec.models import Recommender
from prismrec.runs import InitialWeights, RowsTaken, Run, check_run
from prismrec.runs.folder import read_weights
from prismrec.types import FloatArray, Interactions, Vocabulary


@dataclass(frozen=True)
class WarmStart(WeightCopy):
    """Copies the weights of an earlier run into the model of a new one.

    Attributes:
        record: what is taken.
    """

    record: InitialWeights


@dataclass(frozen=True)
class Source:
    """A run to start from.

    Attributes:
        run: the run.
        weights: of its best epoch.
        record: its folder and the digest of its weights.
    """

    run: Run
    weights: Mapping[str, Tensor]
    record: InitialWeights

    @classmethod
    def of(cls, init: Run | Path | str, kind: type[Recommender]) -> "Source":
        """Read the weights of a run.

        Args:
            init: the run or its folder.
            kind: the model to train.

        Raises:
            InputError: it is not a finished run of this model, or its weights are missing or damaged.
        """
        check_type("init", init, (Run, str, PathLike), "a run or its folder")
        run = init if isinstance(init, Run) else Run.load(init)
        name = str(run.folder or "a run in memory")
        if run.manifest.model != kind.name:
            raise ParameterError("init", f"{name}, a run of {run.manifest.model}", f"a run of {kind.name}")
        weights = run.weights
        if weights is None and run.folder is not None:
            check_run(run.folder, whole=True)
            weights = read_weights(run.folder)
        if weights is None:
            raise ParameterError("init", "a run without weights", "a run that was trained or loaded")
        for weight, values in weights.items():
            if not torch.isfinite(values).all():
                raise ParameterError("init", f"{name}, whose weight {weight!r} is not finite", "finite weights")
        folder = None if run.folder is None else str(run.folder)
        return cls(run, weights, InitialWeights(run=folder, digest=_digest(weights)))

    def match(self, model: Recommender, dataset: Dataset, build: Callable[[Dataset], Recommender]) -> WarmStart:
        """Compare the weights with those of a new model.

        Args:
            model: the new model.
            dataset: its data set.
            build: makes such a model for a data set.

        Raises:
            InputError: the modalities or the width of the rows differ, or the runs have nothing in common.
        """
        if model.takes_features:
            _check_modalities(list(self.run.manifest.modalities), list(dataset.features))
        old_users, old_items = ids_of_weights(self.run)
        users = RowMatch.by_id(old_users, dataset.users)
        items = RowMatch.by_id(old_items, dataset.items)
        new = dict(model.named_parameters())

        @cache
        def larger() -> dict[str, nn.Parameter]:
            return dict(build(_enlarged(dataset)).named_parameters())

        try:
            matches = match_weights(self.weights, new, users, items, larger)
        except InputError as error:
            name = self.record.run or "a run in memory"
            raise ParameterError("init", f"{name}, {error.where}: {error.found}", error.expected) from error
        if not any(len(match.new) for match in matches.values()):
            found = f"{self.record.run or 'a run in memory'}, which shares no user, item or weight with this training"
            raise ParameterError("init", found, "a run whose weights fit")
        update = {
            "users": _rows_taken(users),
            "items": _rows_taken(items),
            "not_taken": tuple(_describe_missing(self.weights, new, matches)),
        }
        return WarmStart(self.weights, matches, self.record.model_copy(update=update))


def find_source(record: InitialWeights, kind: type[Recommender], init: Run | Path | str | None = None) -> Source:
    """The run that another training started from.

    Args:
        record: what that training recorded.
        kind: the model to train.
        init: the run or its folder, if it is no longer where it was.

    Raises:
        InputError: it was in memory, is gone, or has other weights now.
    """
    if init is None and record.run is None:
        raise ParameterError("init", "none, for a training that started from a run in memory", "that run")
    source = Source.of(init or record.run or "", kind)
    if source.record.digest != record.digest:
        name = source.record.run or "a run in memory"
        raise ParameterError("init", f"{name} with other weights", "the weights that the training started from")
    return source


def ids_of_weights(run: Run) -> tuple[Vocabulary, Vocabulary]:
    """The users and items with rows in the weights of a run. Updates add users and items without rows."""
    sizes = run.manifest.weights_of or (len(run.users), len(run.items))
    return Vocabulary(run.users.ids[: sizes[0]], "user"), Vocabulary(run.items.ids[: sizes[1]], "item")


def _rows_taken(match: RowMatch) -> RowsTaken:
    taken = len(match.new)
    return RowsTaken(taken=taken, new=match.num_new - taken, unused=match.num_old - taken)


def _describe_missing(
    old: Mapping[str, Tensor], new: Mapping[str, Tensor], matches: Mapping[str, RowMatch]
) -> Iterable[str]:
    for name, weight in new.items():
        if name not in old:
            yield f"{name} (absent)"
        elif name not in matches:
            yield f"{name} ({list(old[name].shape)}, here {list(weight.shape)})"


def _check_modalities(old: list[str], new: list[str]) -> None:
    """Refuse modalities in another order, because weights are numbered by modality.

    Raises:
        ParameterError: the shorter list does not start the longer one.
    """
    common = min(len(old), len(new))
    if old[:common] != new[:common]:
        raise ParameterError("init", f"a run with the modalities {', '.join(old)}", f"{', '.join(new)}, in this order")


def _enlarged(dataset: Dataset) -> Dataset:
    """The data set with one more user and two more items (`LARGER`), which have no interactions."""
    more_users, more_items = LARGER

    def enlarged(pairs: Interactions) -> Interactions:
        return Interactions(pairs.users, pairs.items, pairs.num_users + more_users, pairs.num_items + more_items)

    def repeated(rows: FloatArray) -> FloatArray:
        return np.concatenate([rows, rows[:1].repeat(more_items, axis=0)])

    return replace(
        dataset,
        train=enlarged(dataset.train),
        valid=enlarged(dataset.valid),
        test=enlarged(dataset.test),
        features={name: repeated(rows) for name, rows in dataset.features.items()},
        present={name: np.append(present, [True] * more_items) for name, present in dataset.present.items()},
        users=_extended(dataset.users, more_users),
        items=_extended(dataset.items, more_items),
        catalog=None,
    )


def _extended(vocabulary: Vocabulary, count: int) -> Vocabulary:
    longest = int(vocabulary.ids.str.len_bytes().max() or 0)  # type: ignore[arg-type]
    added = pl.Series(["x" * (longest + 1 + number) for number in range(count)])
    return Vocabulary(pl.concat([vocabulary.ids, added.alias(vocabulary.ids.name)]), vocabulary.kind)


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{list(values.shape)}\0{values.dtype}\0".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
