"""Finished runs as a table: what `prismrec compare --out` reports."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from prismrec.errors import InputError, ParameterError
from prismrec.evaluation import Evaluation, parse_metric
from prismrec.evaluation.significance import spread
from prismrec.experiments.tables.outcome import (
    Measurement,
    Outcome,
    RowOutcome,
    Test,
    Users,
    mean_over_seeds,
    run_tests,
)
from prismrec.experiments.tables.result import Result, curve_of
from prismrec.models import find_model
from prismrec.records import Settings
from prismrec.runs import Manifest, Run
from prismrec.runs.compare import check_same_data


def outcome_of_runs(
    name: str, runs: Mapping[str, Run], metrics: Sequence[str], *, split: str = "test", command: str = ""
) -> Outcome:
    """A table of runs on the same data. Runs that differ only in their seed share a row.

    Args:
        name: of the table.
        runs: by label; all rows are compared with that of the first one.
        metrics: such as "recall@20".
        split: "valid" or "test".
        command: the command line that repeats this.

    Raises:
        InputError: there is no run or no evaluated user, the data of a run differ from those of the first one, or a
            metric or the split is unknown.
    """
    if not runs:
        raise ParameterError("runs", "none", "one or more")
    first = next(iter(runs.values()))
    for label, run in runs.items():
        check_same_data(first, run, label)
    cutoffs = [parse_metric(metric)[1] for metric in metrics]
    rows, users = [], {}
    for label, members in _groups(runs).items():
        evaluations = [run.evaluate(split, cutoffs=cutoffs) for run in members]
        if evaluations[0].num_users < 2:
            raise InputError(f"split {split!r}", "fewer than two users with interactions", "two users or more")
        rows.append(_row(label, members, evaluations, metrics))
        users[label] = mean_over_seeds([_users(evaluation) for evaluation in evaluations])
    others = [row.label for row in rows[1:]]
    pairs = [(label, rows[0].label, metric) for label in others for metric in metrics]
    return _outcome(name, list(runs.values()), rows, run_tests(pairs, users, first.manifest.data), split, command)


def _outcome(
    name: str, runs: Sequence[Run], rows: Sequence[RowOutcome], tests: Sequence[Test], split: str, command: str
) -> Outcome:
    manifest = runs[0].manifest
    metrics = tuple(rows[0].metrics)
    return Outcome(
        name=name,
        title=f"Comparison of {len(runs)} runs",
        cite="",
        place="",
        display="table",
        metrics=metrics,
        decisive=metrics[0],
        reference=rows[0].label,
        protocol={"split": split, "candidates": "all items except the training items of the user"},
        published_protocol="",
        notes=(),
        command=command,
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        versions=manifest.versions,
        data={manifest.data: _facts(runs[0])},
        missing={},
        rows=tuple(rows),
        tests=tuple(tests),
        verdicts=(),
    )


def _groups(runs: Mapping[str, Run]) -> dict[str, list[Run]]:
    """Runs that differ only in their seed, by the label of the first; a single run keeps its label.

    A second run with a seed is in another group: it is a repetition, not another sample.
    """
    groups: dict[tuple[str, int], dict[str, Run]] = {}
    repetitions: Counter[tuple[str, int]] = Counter()
    for label, run in runs.items():
        manifest = run.manifest
        settings = manifest.settings.model_dump(exclude={"seed", "device"})
        key = f"{manifest.model} {manifest.config} {settings} {manifest.custom} {manifest.fingerprint}"
        key += f" {manifest.init is None}"
        seed = key, manifest.settings.seed
        groups.setdefault((key, repetitions[seed]), {})[label] = run
        repetitions[seed] += 1
    named: dict[str, list[Run]] = {}
    for group in groups.values():
        label, run = next(iter(group.items()))
        members = list(group.values())
        name = label if len(members) == 1 else f"{run.manifest.model}, {len(members)} seeds"
        named[name if name not in named else f"{name} ({label})"] = members
    return named


def _users(evaluation: Evaluation) -> Users:
    return {**evaluation.per_user, "users": evaluation.users.astype(np.float64)}


def _row(label: str, runs: Sequence[Run], evaluations: Sequence[Evaluation], metrics: Sequence[str]) -> RowOutcome:
    measurements = {}
    for metric in metrics:
        values = tuple(evaluation[metric] for evaluation in evaluations)
        found = spread(values)
        sd = found.sd if len(values) > 1 else None
        measurements[metric] = Measurement(mean=found.mean, sd=sd, values=values)
    cells = tuple(_result(run, evaluation) for run, evaluation in zip(runs, evaluations, strict=True))
    manifest = runs[0].manifest
    return RowOutcome(
        label=label,
        model=manifest.model,
        data=runs[0].manifest.data,
        metrics=measurements,
        settings={**manifest.config, **_chosen(runs), **_changed(manifest)},
        chosen_by="the config of the run",
        cells=cells,
    )


def _chosen(runs: Sequence[Run]) -> dict[str, object]:
    """The hyperparameters that the model chose by validation; all values if they depend on the seed."""
    chosen: dict[str, object] = {}
    for name in runs[0].chosen:
        values = list(dict.fromkeys([run.chosen.get(name) for run in runs]))
        chosen[name] = values[0] if len(values) == 1 else " or ".join(map(str, values))
    return chosen


def _changed(manifest: Manifest) -> dict[str, object]:
    """The settings of the training that are not the defaults, without the seed and the device."""
    defaults = Settings().model_dump(exclude={"seed", "device"})
    settings = manifest.settings.model_dump(exclude={"seed", "device"})
    return {name: value for name, value in settings.items() if value != defaults[name]}


def _modalities(manifest: Manifest) -> tuple[str, ...]:
    """The modalities of the data; none if the model takes no features."""
    try:
        kind = find_model(manifest.model)
    except InputError:  # a model that this process does not know
        return tuple(manifest.modalities)
    return tuple(manifest.modalities) if kind.takes_features else ()


def _result(run: Run, evaluation: Evaluation) -> Result:
    manifest = run.manifest
    history = run.history
    best = next((record.valid for record in history if record.epoch == run.best_epoch and record.valid), {})
    seconds = [record.seconds for record in history]
    return Result(
        key="",
        model=manifest.model,
        config=manifest.config,
        settings=manifest.settings,
        data=manifest.data,
        fingerprint=manifest.fingerprint,
        modalities=_modalities(manifest),
        versions=manifest.versions,
        machine=manifest.machine,
        best_epoch=run.best_epoch,
        epochs=len(history),
        ended_by=run.ending.reason,
        seconds=sum(seconds),
        seconds_per_epoch=float(np.median(seconds or [0.0])),
        peak_bytes=None,
        parameters=None,
        valid=dict(best),
        test=evaluation.to_dict(),
        measured={},
        picture=None,
        curve=curve_of(history, manifest.settings.metric),
    )


def _facts(run: Run) -> dict[str, object]:
    sizes = {"train": len(run.train), "valid": len(run.valid), "test": len(run.test)}
    return {
        "users": len(run.users),
        "items": len(run.items),
        "interactions": sum(sizes.values()),
        **sizes,
        "modalities": run.manifest.modalities,
        "fingerprint": run.manifest.fingerprint,
    }
