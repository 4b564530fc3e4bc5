"""From a table and data sets to the trainings that it needs."""

import json
import shlex
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prismrec.errors import InputError, ParameterError
from prismrec.evaluation import parse_metric
from prismrec.experiments.tables.cells import CUTOFFS, Cell
from prismrec.experiments.tables.library import known_settings
from prismrec.experiments.tables.schema import Row, Table, match_modality
from prismrec.experiments.tables.sources import Source, hide_features, with_modality
from prismrec.experiments.train import make_config
from prismrec.models import find_model
from prismrec.records import Normalisation, Settings


@dataclass(frozen=True)
class Options:
    """Options that select rows of a table or change its settings.

    Attributes:
        models: names of models; rows of other models are left out. Empty for all.
        only: labels of rows; other rows are left out. Empty for all.
        seeds: number of seeds; None for that of the table.
        epochs: largest number of epochs; None for the default.
        patience: early stopping; None for that of the table.
        sweep_values: largest number of rows of each series; None for all.
        device: auto, cpu or cuda.
        normalise: what happens to features before a model gets them, as in `Settings`.
        engine: "ray" runs trainings on a Ray cluster, or on the cores of this machine.
        workers: trainings at the same time on Ray; None means one per core, or per GPU.
    """

    models: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    seeds: int | None = None
    epochs: int | None = None
    patience: int | str | None = None
    sweep_values: int | None = None
    device: str = "auto"
    normalise: Normalisation = "none"
    engine: Literal["ray"] | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Entry:
    """One row of a table on one data set.

    Attributes:
        row: the row.
        source: the data set.
        cells: its trainings, one per seed; none if it is not run.
        reason: why it is not run; empty if it is.
        error: why its hyperparameters could not be chosen; empty if they were.
        settings: hyperparameters that were chosen on validation, and where they come from.
    """

    row: Row
    source: Source
    cells: tuple[Cell, ...] = ()
    reason: str = ""
    error: str = ""
    settings: "Chosen" = field(default_factory=lambda: Chosen({}, ""))


@dataclass(frozen=True)
class Chosen:
    """Hyperparameters of a model, and how they were chosen.

    Attributes:
        values: the hyperparameters that differ from the defaults.
        source: how they were chosen.
        trials: the trials to run before they are chosen; 0 if they are.
    """

    values: Mapping[str, Any]
    source: str
    trials: int = 0


Choose = Callable[[str, Source], Chosen]
"""Finds the hyperparameters of a model for a data set on its validation split."""


def chosen_rows(table: Table, options: Options) -> tuple[Row, ...]:
    """The rows of a table that the options keep.

    Raises:
        ParameterError: an option names a row or a model that the table does not have.
    """
    rows = _thinned(table, options.sweep_values)
    if options.only:
        _check_known("only", options.only, [row.label for row in table.all_rows])
        rows = tuple(row for row in rows if row.label in options.only)
    if options.models:
        wanted = {find_model(name).name for name in options.models}
        _check_known("models", wanted, [row.model for row in table.all_rows])
        rows = tuple(row for row in rows if row.model in wanted)
    if not rows:
        raise ParameterError("only", "options that leave no row", "a row of the table")
    return rows


def _check_known(parameter: str, names: Collection[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ParameterError(parameter, repr(name), f"one of {', '.join(dict.fromkeys(known))}")


def _thinned(table: Table, values: int | None) -> tuple[Row, ...]:
    """All rows, but at most `values` rows of each series, from the first to the last."""
    if values is None:
        return table.all_rows
    rows = list(table.single_rows)
    for series in table.series:
        count = min(values, len(series))
        rows += [series[round(n * (len(series) - 1) / max(count - 1, 1))] for n in range(count)]
    return tuple(rows)


def make_entries(table: Table, sources: Sequence[Source], options: Options, choose: Choose) -> list[Entry]:
    """The trainings of all rows on all data sets. A row whose hyperparameters cannot be chosen has an error instead.

    Args:
        table: the table.
        sources: the data sets.
        options: what to leave out or to change.
        choose: finds the hyperparameters of a model.

    Raises:
        ParameterError: an option names a row or a model that the table does not have.
    """
    entries = []
    for source in sources:
        for row in chosen_rows(table, options):
            try:
                entries.append(make_entry(table, row, source, options, choose))
            except Exception as error:  # a failed search leaves the other rows alone
                entries.append(Entry(row, source, error=describe_error(error)))
    return entries


def describe_error(error: Exception) -> str:
    """An error in one line, with its place unless it is about the input."""
    if isinstance(error, InputError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"


def make_entry(table: Table, row: Row, source: Source, options: Options, choose: Choose) -> Entry:
    """The trainings of one row on one data set.

    Args:
        table: the table.
        row: one of its rows.
        source: the data set.
        options: seeds, epochs, patience.
        choose: finds the hyperparameters of a model.
    """
    dataset = source.dataset
    kind = find_model(row.model)
    for name, split in (("validation", dataset.valid), ("test", dataset.test)):
        if not len(split):
            return Entry(row, source, reason=f"{source.name} has no {name} interactions")
    if row.modality is not None:
        modality = match_modality(row.modality, list(dataset.features))
        if modality is None:
            return Entry(row, source, reason=f"{source.name} has no {row.modality} features")
        dataset = with_modality(dataset, modality)
    if kind.takes_features and not dataset.features and not row.without_features:
        return Entry(row, source, reason=f"{source.name} has no features")
    if len(dataset.features) < kind.min_modalities:
        return Entry(row, source, reason=f"{source.name} has too few modalities for {kind.name}")
    settings = choose(row.model, source)
    config = make_config(row.model, {**settings.values, **row.config})
    own_cutoffs = {parse_metric(metric)[1] for metric in table.ranking_metrics}
    cutoffs = tuple(sorted({*CUTOFFS, *own_cutoffs}))
    # Hidden features change nothing for other models: their rows share one training.
    share = row.hide if kind.takes_features else 0.0
    cells = tuple(
        Cell(
            kind.name,
            config,
            make_settings(table, seed, options),
            hide_features(dataset, share, seed),
            table.probe,
            cutoffs,
            table.item_groups,
        )
        for seed in range(options.seeds or table.seeds)
    )
    return Entry(row, source, cells, settings=settings)


def make_settings(table: Table, seed: int, options: Options) -> Settings:
    """How the trainings of a table run."""
    values: dict[str, Any] = {
        "seed": seed,
        "patience": table.patience if options.patience is None else options.patience,
        "metric": table.choose,
        "device": options.device,
        "normalise": options.normalise,
    }
    if options.epochs is not None:
        values["epochs"] = options.epochs
    return Settings.model_validate(values)


def train_command(entry: Entry) -> str:
    """The command line that trains the first seed of a row; empty if it is not run, or on hidden features."""
    if not entry.cells or entry.row.hide:
        return ""
    cell = entry.cells[0]
    defaults = Settings()
    words = ["prismrec", "train", cell.model, f"DATA/{entry.source.name}", "--out", "RUN", "--seed", "0"]
    for name in ("patience", "metric", "epochs", "normalise"):
        value = getattr(cell.settings, name)
        words += [f"--{name}", str(value)] if value != getattr(defaults, name) else []
    words += ["--by", entry.source.split] if entry.source.split else []
    if entry.row.modality is not None:
        words += ["--modality", next(iter(cell.dataset.features))]
    for name, value in {**entry.settings.values, **entry.row.config}.items():
        words += ["--set", f"{name}={json.dumps(value) if not isinstance(value, str) else value}"]
    return shlex.join(words)


def known_choice(model: str, source: Source) -> Chosen | None:
    """The settings that prismrec knows for a data set; None if it knows none."""
    known = known_settings(source.dataset)
    name = find_model(model).name
    if known is None or name not in known.settings:
        return None
    return Chosen(known.settings[name], known.source)
