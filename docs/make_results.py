"""Write docs/results.md from docs/tables and benchmarks/results.json: `python docs/make_results.py`."""

import itertools
import json
from pathlib import Path
from textwrap import fill

from ruamel.yaml import YAML

from prismrec.experiments.tables.grids import Grid, claims_grid, group_grids, result_grids
from prismrec.experiments.tables.outcome import Outcome
from prismrec.experiments.tables.write import markdown_grid

DOCS = Path(__file__).parent
TABLES = DOCS / "tables"
EARLIER = DOCS.parent / "benchmarks" / "results.json"
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
HEAD = """# Results on real data

This page has two parts: tables and figures of the papers, and all models on two data sets.
`python docs/make_results.py` generates it from the files in [docs/tables](tables) and from `benchmarks/results.json`.

DATA is the folder of the data sets ([benchmarks/README.md](../benchmarks/README.md#prepare-the-data)). `tiktok` has
visual and acoustic features, so all models can use it. For `baby`, we have only the interactions, so its tables contain
only models that use no features. `books` (Book-Crossing) has texts that `prismrec features` encoded with its default
encoder. The machine had 2 virtual cores of an Intel Xeon at 2.1 GHz and was busy.

## Tables and figures of the papers

[reproduce.md](reproduce.md) describes the protocol and the tests. Each heading links to all numbers. The command below
each table computes it, with PRISMREC_DATA=DATA.
"""
ALL_MODELS = """## All models

These results are older than `prismrec reproduce`: they were measured at commits ce1490c, 01f462e and 32dcbc0 (21
November 2026) by a script that later commits removed, and only means and deviations are known. At these commits,
HCCF-torch was HCCF with `variant=torch`, and SHT-light was SHT with `variant=light`. `prismrec reproduce all-models`
measures the same models with the chosen hyperparameters again, and tests the differences.

The last column of each row is the command that trains the model with its first seed. RUN is a new folder. For the other
seeds, use `--seed 1` and `--seed 2`. The commands set the patience of these runs. With `--patience 20`, training can
stop on a plateau and give lower results than with the present default, `auto`
([training.md](training.md#early-stopping)).

- **Protocol.** Each run keeps the epoch with the best recall@20 on the validation split, and evaluates it once on the
  test split. The ranking contains all items except the training items of the user.
- **Metrics** are the mean ± the sample standard deviation over the seeds 0, 1 and 2. If "seeds" is 1, they are the
  values of seed 0. We trained a model with only one seed if it has no randomness or an epoch takes more than 3 seconds;
  SGL on `tiktok` is an exception.
- **"tried"** is the number of hyperparameter configurations that were trained with seed 0; `benchmarks/results.json`
  lists them. The row shows the configuration with the best validation recall@20. Its command sets the chosen
  hyperparameters; all others have the defaults on [the page of the model](models.md).
- **"reference"** is the test recall@20 of the same model from another source. For `tiktok`, it is one untuned run of
  MMRec at commit e775373 on the same data, with other hyperparameters. For `baby`, it is Table 2 of the LGMRec paper,
  which uses the same split. We compare its HCCF and SHT with HCCF-torch and SHT-light.
- **"epochs"** is the number of epochs until training stopped, for each seed.
- **"s/epoch"** is the median time of three epochs after one warm-up epoch, and **"MB"** is the peak memory of the
  process. Both were measured on one core (`OMP_NUM_THREADS=1 taskset -c 0`) while the other core was busy.

Two models have no row because they were lower on validation than their variants: HCCF on `tiktok` (with
`contrast_weight=1e-5`) was lower than HCCF-torch, and SHT on `baby` (best of five configurations) was lower than
SHT-light. [fidelity.md](fidelity.md#experiments-on-baby) describes the experiments on `baby`.
"""


def page() -> str:
    """The text of docs/results.md."""
    comments = YAML(typ="safe").load((TABLES / "comments.yaml").read_text(encoding="utf-8")) or {}
    parts = [HEAD]
    for name, comment in comments.items():
        outcome = Outcome.model_validate_json((TABLES / f"{name}.json").read_text(encoding="utf-8"))
        parts += [f"### [{outcome.title} ({', '.join(outcome.data)})](tables/{name}.md)", ""]
        parts += [paragraph(comment), ""]
        groups = group_grids(outcome)
        for grid in (*result_grids(outcome), *groups, *claims_grid(outcome)):
            caption = grid.caption.replace("*", r"\*")
            parts += [f"{grid.title[0].upper()}{grid.title[1:]}:", ""] if grid in groups else []
            parts += [markdown_grid(grid), "", *([paragraph(caption), ""] if caption else [])]
        parts += [f"    {outcome.command}", ""]
    parts.append(ALL_MODELS)
    rows = json.loads(EARLIER.read_text(encoding="utf-8"))
    for data, group in itertools.groupby(rows, key=lambda row: row["data"]):
        header = ("model", *METRICS, "reference", "seeds", "tried", "epochs", "s/epoch", "MB", "command")
        parts += [f"### {data}", "", markdown_grid(Grid(data, header, tuple(cells(row) for row in group))), ""]
    return "\n".join(parts).rstrip() + "\n"


def paragraph(text: str) -> str:
    return fill(" ".join(text.split()), 120, break_on_hyphens=False)


def cells(row: dict) -> tuple[str, ...]:
    """One line of the tables of all models."""
    scores = []
    for metric in METRICS:
        sd = row[metric]["sd"]
        scores.append(f"{row[metric]['mean']:.4f}" + (f" ± {sd:.4f}" if sd else ""))
    reference = f"{row['reference recall@20']:.4f}" if row["reference recall@20"] else ""
    timed = row["cost"]
    costs = [f"{timed['epoch_seconds']:.2f}", f"{timed['peak_bytes'] / 1e6:.0f}"] if timed else ["", ""]
    epochs = ", ".join(str(count) for count in row["epochs"])
    tried = str(len(row["tried"]))
    return (row["model"], *scores, reference, str(row["seeds"]), tried, epochs, *costs, f"`{train_command(row)}`")


def train_command(row: dict) -> str:
    """The command line that trains the first seed of a row."""
    settings = [] if row["settings"] == "defaults" else row["settings"].split(",")
    options = [f"--set {setting}" for setting in settings]
    start = f"prismrec train {row['model']} DATA/{row['data']} --out RUN --seed 0 --patience {row['patience']}"
    return " ".join([start, *options])


if __name__ == "__main__":
    (DOCS / "results.md").write_text(page(), encoding="utf-8")
