"""The hyperparameters of the models of a table, chosen on validation."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prismrec.experiments.space import grid_of
from prismrec.experiments.tables.plan import Choose, Chosen, Options, known_choice, make_settings
from prismrec.experiments.tables.schema import Table
from prismrec.experiments.tables.sources import Source
from prismrec.experiments.tune import make_search, run_search, stored_result
from prismrec.models import find_model
from prismrec.models.base import Recommender

if TYPE_CHECKING:
    from prismrec.experiments.search import TuneProgress

Report = Callable[[str, "TuneProgress"], None]
"""Called with the model and the data that a search is about, and how far it is."""


Searches = Literal["run", "finished", "preview"]
"""What to do about searches that are not finished: run them, take the best trial so far, or count the trials left."""


def chooser(
    table: Table,
    out: Path,
    trials: int,
    options: Options,
    report: Report | None = None,
    *,
    searches: Searches = "run",
) -> Choose:
    """How a table chooses hyperparameters: the known settings for the data, else by `tune`, else the defaults.

    Args:
        table: the table.
        out: the folder of the results; `out/tuning` keeps the trials.
        trials: number of settings to try per model and data set; 0 takes the defaults.
        options: of the table.
        report: called during a search with what it is about.
        searches: what to do about searches that are not finished.
    """
    made: dict[tuple[str, str], Chosen] = {}

    def choose(model: str, source: Source) -> Chosen:
        name = find_model(model).name
        place = (name, source.dataset.fingerprint)
        if place not in made:
            known = known_choice(name, source)
            made[place] = known or _search(table, name, source, out, trials, options, report, searches)
        return made[place]

    return choose


def _search(
    table: Table,
    model: str,
    source: Source,
    out: Path,
    trials: int,
    options: Options,
    report: Report | None,
    searches: Searches,
) -> Chosen:
    space = table.spaces.get(model)
    if not space and find_model(model).select is not Recommender.select:
        return Chosen({}, "defaults; each training chooses the others on validation")
    if not trials or not (space or grid_of(find_model(model).Config)):
        return Chosen({}, "defaults")
    settings = make_settings(table, 0, options)
    identity = f"{source.dataset.fingerprint} {settings.model_dump_json()} {space}"
    folder = out / "tuning" / f"{model}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    search = make_search(model, source.dataset, space, folder, None, settings, trials)
    if searches == "run":
        tell = None if report is None else partial(report, f"{model} on {source.name}")
        run_search(search, options.engine, options.workers, tell)
    result, left = stored_result(search)
    if result is None or (searches == "preview" and left):
        return Chosen({}, "defaults", trials=left)
    done = sum(trial.state == "done" for trial in result.trials)
    chosen_by = f"prismrec tune: {done} trials, validation {settings.metric} {result.value:.4f}"
    return Chosen(result.config, chosen_by)
