"""Choosing hyperparameters on the validation split."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prismrec.cluster import check_ray
from prismrec.data import Dataset
from prismrec.errors import InputError, ParameterError
from prismrec.evaluation import parse_metric
from prismrec.experiments.arguments import check_tune_arguments, check_workers
from prismrec.experiments.config_file import write_config_file
from prismrec.experiments.space import Space
from prismrec.experiments.train import check_modalities, make_config
from prismrec.experiments.trial import CHECKPOINTS, JOURNAL, Trial, TrialRunner
from prismrec.files import names_in
from prismrec.models import GridValue, Recommender, find_model
from prismrec.ops.device import pick_device
from prismrec.records import Settings
from prismrec.runs.lock import LOCK_NAME
from prismrec.temporary import require_utf8

if TYPE_CHECKING:
    from prismrec.experiments.journal import Journal
    from prismrec.experiments.search import Report, Search

Engine = Literal["ray"]
TRIALS = 50
"""The largest number of trials if none is given."""
BEST = "best.yaml"


@dataclass(frozen=True)
class TuneResult:
    """The chosen hyperparameters, and how they were found.

    Attributes:
        settings: the chosen values of the hyperparameters that were searched.
        config: these, and the fixed ones: what `train` takes.
        epochs: the best epoch of the chosen trial.
        value: its validation metric.
        trials: all trials by number.
        journal: the file of Optuna's journal.
    """

    settings: Mapping[str, GridValue]
    config: Mapping[str, object]
    epochs: int
    value: float
    trials: tuple[Trial, ...]
    journal: Path


def tune(
    model: str | type[Recommender],
    dataset: Dataset,
    space: Space | Mapping[str, object] | None = None,
    *,
    folder: Path | str,
    config: Mapping[str, object] | None = None,
    settings: Settings | None = None,
    metric: str | None = None,
    seed: int | None = None,
    trials: int | None = None,
    engine: Engine | None = None,
    workers: int | None = None,
    time_limit: float | None = None,
    report: "Report | None" = None,
) -> TuneResult:
    """Choose hyperparameters on the validation split; the test split is not reachable.

    A space of at most `trials` combinations is tried completely. From a larger one, Optuna draws `trials` combinations.
    Repeat the call to continue an interrupted search; several processes may work in one folder at the same time. A
    trial that was interrupted resumes from its last checkpoint. A trial that fails is recorded with its error.

    Args:
        model: its name or class.
        dataset: the data; of its splits, only train and valid are used.
        space: hyperparameters to search, as `Space.of` takes them; None means the grid of the model.
        folder: a new folder, or that of the same search.
        config: hyperparameters that have the same value in all trials.
        settings: epochs, patience, device and so on of the trials.
        metric: the validation metric, instead of that of `settings`.
        seed: of the trials and of the search, instead of that of `settings`.
        trials: the largest number of trials; 50 if not given.
        engine: "ray" runs the trials on a Ray cluster, or on the cores of this machine if there is none.
        workers: trials that run at the same time; 1 if not given, or with Ray one per core.
        time_limit: seconds after which the search stops; the result is the best trial so far.
        report: called when a trial begins or ends, and after each epoch of a trial in this process.

    Raises:
        InputError: an argument cannot be used, the folder holds something else, an extra is not installed, or no trial
            has a result.
    """
    check_tune_arguments(dataset, space, folder, config, settings, trials, time_limit)
    check_workers(workers, report)
    settings = _settings(settings, metric, seed)
    search = make_search(model, dataset, space, Path(folder), config, settings, trials, time_limit)
    return run_search(search, engine, workers, report)


def run_search(
    search: "Search", engine: Engine | None = None, workers: int | None = None, report: "Report | None" = None
) -> TuneResult:
    """Run a search to its end, or continue it.

    Args:
        search: from `make_search`.
        engine: as in `tune`.
        workers: as in `tune`.
        report: as in `tune`.

    Raises:
        InputError: as in `tune`.
    """
    check_workers(workers, report)
    check_engine(engine)
    check_tune_folder(search.folder)
    _make_folder(search.folder)
    with search.open() as journal:
        if engine == "ray":
            search.run_on_ray(journal, workers, report)
        else:
            search.run(journal, workers or 1, report)
        result = _result(search, journal, journal.trials())
    _write_best(search, result)
    return result


def stored_result(search: "Search") -> tuple[TuneResult | None, int]:
    """What a search has found so far, and the number of trials that are left; runs nothing.

    Args:
        search: from `make_search`.

    Returns:
        The result of the trials that have ended, or None if the search has not begun or no trial has ended; and the
        number of the others.

    Raises:
        InputError: the folder holds another search, the journal cannot be read, or all trials failed.
    """
    if not (search.folder / JOURNAL).exists():
        return None, search.size
    journal = search.open()
    ended = [trial for trial in journal.trials() if trial.state != "running"]
    if not ended:
        return None, search.size
    return _result(search, journal, ended), max(search.size - len(ended), 0)


def make_search(
    model: str | type[Recommender],
    dataset: Dataset,
    space: Space | Mapping[str, object] | None,
    folder: Path,
    config: Mapping[str, object] | None = None,
    settings: Settings | None = None,
    trials: int | None = None,
    time_limit: float | None = None,
) -> "Search":
    """Check the arguments of `tune`, and take the test split away.

    Raises:
        InputError: an argument cannot be used, or Optuna is not installed.
    """
    check_tune_arguments(dataset, space, folder, config, settings, trials, time_limit)
    kind, fixed, settings = find_model(model), dict(config or {}), settings or Settings()
    pick_device(settings.device)
    parse_metric(settings.metric)
    defaults = make_config(kind, fixed)
    checked = Space.of(kind, space, fixed)
    check_modalities(kind, dataset)
    if not len(dataset.valid):
        raise InputError(dataset.name, "no validation interactions", "a split with validation interactions")
    visible = dataset.without_test()
    first = {name: getattr(defaults, name) for name in checked.settings}
    deadline = None if time_limit is None else time.time() + time_limit
    identity = {
        "model": kind.name,
        "space": checked.to_json(),
        "config": fixed,
        "settings": settings.model_dump(mode="json", exclude={"device"}),
        "data": visible.fingerprint,
    }
    runner = TrialRunner(kind, visible, fixed, settings, folder / CHECKPOINTS, deadline)
    return _search_class()(folder, identity, checked, first if first in checked else None, trials or TRIALS, runner)


def check_engine(engine: str | None) -> None:
    """Refuse an engine that is unknown or not installed.

    Raises:
        ParameterError: it is.
    """
    if not (engine is None or (isinstance(engine, str) and engine == "ray")):
        raise ParameterError("engine", repr(engine), "'ray' or None")
    if engine == "ray":
        check_ray()


def check_tune_folder(folder: Path) -> None:
    """Refuse a folder that holds something other than a search, before the data are read.

    Raises:
        InputError: there is something else.
    """
    try:
        if not folder.exists():
            return
        others = names_in(folder) - {LOCK_NAME}
        is_other = bool(others) and not (folder / JOURNAL).exists()
    except (OSError, ValueError) as error:  # a path with a NUL character is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(folder, reason, "a folder that can be read") from error
    if is_other:
        raise InputError(folder, "something other than a search", "a new or empty folder, or that of the same search")


def _make_folder(folder: Path) -> None:
    try:
        require_utf8(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(folder, reason, "a folder that can be written") from error


def _search_class() -> "type[Search]":
    """The class `Search`, which needs Optuna."""
    try:
        from prismrec.experiments.search import Search
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise InputError("prismrec tune", "no Optuna", "pip install 'prismrec[tune]'") from error
    return Search


def _settings(settings: Settings | None, metric: str | None, seed: int | None) -> Settings:
    given = {name: value for name, value in (("metric", metric), ("seed", seed)) if value is not None}
    return Settings(**{**(settings or Settings()).model_dump(exclude_unset=True), **given})


def _result(search: "Search", journal: "Journal", trials: Sequence[Trial]) -> TuneResult:
    """The best trial; of several, the first in the order of the search.

    Raises:
        InputError: no trial has a result.
    """
    done = [trial for trial in trials if trial.value is not None and trial.epochs is not None]
    failed = [trial for trial in trials if trial.state == "failed"]
    if not done and failed:
        found = f"{len(failed)} trials that failed, the first with: {failed[0].error}"
        raise InputError(search.folder, found, "one or more with a result")
    if not done:
        raise ParameterError("time_limit", "a time in which no trial ended", "a longer time; the search continues")
    highest = max(trial.value for trial in done if trial.value is not None)
    best = min([trial for trial in done if trial.value == highest], key=journal.place)
    assert best.value is not None and best.epochs is not None
    config = {**search.runner.config, **best.settings}
    return TuneResult(dict(best.settings), config, best.epochs, best.value, tuple(trials), journal.path)


def _write_best(search: "Search", result: TuneResult) -> None:
    """Write the config file with which `train` trains the best trial again."""
    runner = search.runner
    content: dict[str, object] = {"model": runner.model.name}
    origin = runner.dataset.origin
    if origin is not None:
        content["source"] = origin.source
        content["options"] = dict(origin.options)
    content["config"] = dict(result.config)
    content["settings"] = runner.settings.model_dump(mode="json", exclude_unset=True)
    write_config_file(search.folder / BEST, content)
