"""The results of a table: means over seeds, tests over users, and what they say about the paper's claims."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from prismrec.evaluation import UserGroups, compare, holm
from prismrec.evaluation.significance import Comparison, spread
from prismrec.experiments.tables.cells import Values
from prismrec.experiments.tables.plan import Entry, train_command
from prismrec.experiments.tables.published import Published, published_for
from prismrec.experiments.tables.result import Result
from prismrec.experiments.tables.schema import Claim, Table

ALPHA = 0.05
NOT_COMPUTED = "not computed yet"
"""Why a row has no result that has not been trained."""
_CLOSED = ConfigDict(frozen=True)
Users = Mapping[str, Values]
"""The metrics of the evaluated users by name, `[n]` each, means over the seeds; "users" are their numbers."""


class Measurement(BaseModel):
    """One metric over the seeds."""

    model_config = _CLOSED

    mean: float
    sd: float | None
    """Sample standard deviation; None for one seed."""
    values: tuple[float, ...]
    """One per seed."""


class RowOutcome(BaseModel):
    """One row on one data set."""

    model_config = _CLOSED

    label: str
    model: str
    data: str
    panel: str | None = None
    at: float | str | None = None
    metrics: dict[str, Measurement] = {}
    published: tuple[Published, ...] = ()
    groups: dict[str, dict[str, float]] = {}
    """The metrics by group of users."""
    item_groups: dict[str, dict[str, float]] = {}
    """The metrics by group of held-out items."""
    settings: dict[str, object] = {}
    """Hyperparameters that were chosen on validation, and those of the variant."""
    chosen_by: str = ""
    command: str = ""
    """The command line that trains the first seed."""
    cells: tuple[Result, ...] = ()
    reason: str = ""
    """Why the row was not run; empty if it was."""
    error: str = ""
    """The error of the row; empty without one."""


class Test(BaseModel):
    """A row compared with another one on one metric, paired by user."""

    model_config = _CLOSED

    data: str
    label: str
    other: str
    metric: str
    users: int
    difference: float
    """Mean of `label` minus `other`."""
    relative: float | None
    """The difference divided by the mean of `other`."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the difference."""
    p: float
    """Two-sided paired t-test."""
    p_holm: float
    """Adjusted for all comparisons of the table on this data set."""


class Verdict(BaseModel):
    """What our results say about a claim of the paper."""

    model_config = _CLOSED

    says: str
    data: str
    metric: str
    verdict: Literal["holds", "holds in part", "undecided", "does not hold"]
    tests: tuple[Test, ...]
    missing: int = 0
    """Number of pairs of rows that could not be compared, because one has no result."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of comparisons that agree, are undecided, and disagree."""
        return _counts(self.tests)


class Outcome(BaseModel):
    """The results of a table."""

    model_config = _CLOSED

    name: str
    title: str
    cite: str
    place: str
    display: str
    metrics: tuple[str, ...]
    decisive: str
    """The metric by which claims are judged."""
    reference: str | None
    protocol: dict[str, object]
    published_protocol: str
    notes: tuple[str, ...]
    command: str
    finished: str
    """Date and time, UTC."""
    versions: dict[str, str]
    data: dict[str, dict[str, object]]
    """Facts of the data sets by name."""
    missing: dict[str, str]
    """Data sets of the paper that were not found, and where to get them."""
    rows: tuple[RowOutcome, ...]
    tests: tuple[Test, ...]
    verdicts: tuple[Verdict, ...]


def summarise(
    entry: Entry, table: Table, results: Sequence[Result], users: Users | None, error: str = ""
) -> RowOutcome:
    """The outcome of one row.

    Args:
        entry: the row on a data set.
        table: its table.
        results: of its cells.
        users: the metrics of the evaluated users; None without results.
        error: the error of the row.
    """
    row = entry.row
    metrics = {}
    for metric in table.metrics if results else ():
        values = [{**result.test, **result.measured}.get(metric) for result in results]
        known = [value for value in values if value is not None]
        if known:
            found = spread(known)
            metrics[metric] = Measurement(mean=found.mean, sd=found.sd if len(known) > 1 else None, values=tuple(known))
    return RowOutcome(
        label=row.label,
        model=row.model,
        data=entry.source.name,
        panel=row.panel,
        at=row.at,
        metrics=metrics,
        published=published_for(entry, table),
        groups=_by_group(entry, table, users) if users is not None and table.groups else {},
        item_groups=_by_item_group(results),
        settings={**entry.settings.values, **row.config},
        chosen_by=entry.settings.source,
        command=train_command(entry),
        cells=tuple(results),
        reason=entry.reason,
        error=error,
    )


def mean_over_seeds(parts: Sequence[Users]) -> Users:
    """The mean of each metric of each user over the seeds."""
    return {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}


def _by_group(entry: Entry, table: Table, users: Users) -> dict[str, dict[str, float]]:
    train = entry.source.dataset.train
    groups = UserGroups.by_quantile(train, table.groups or 1)
    numbers = users["users"].astype(np.int64)
    of_user = groups.of_user[numbers]
    found: dict[str, dict[str, float]] = {}
    for number, label in enumerate(groups.labels):
        inside = of_user == number
        if inside.any():
            means = {metric: float(users[metric][inside].mean()) for metric in table.ranking_metrics}
            found[label] = {**means, "users": float(inside.sum())}
    return found


def _by_item_group(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """The means over the seeds."""
    groups = results[0].item_groups if results else {}
    return {
        label: {key: float(np.mean([result.item_groups[label][key] for result in results])) for key in group}
        for label, group in groups.items()
    }


def compare_with_reference(table: Table, users: Mapping[str, Users], data: str) -> tuple[Test, ...]:
    """Every row of a data set, compared with the reference row on every metric.

    Args:
        table: the table.
        users: the metrics of the evaluated users by label.
        data: the name of the data set.
    """
    if table.reference is None or table.reference not in users:
        return ()
    others = [label for label in users if label != table.reference]
    pairs = [(label, table.reference, metric) for label in others for metric in table.ranking_metrics]
    return run_tests(pairs, users, data)


def judge(table: Table, users: Mapping[str, Users], data: str) -> tuple[Verdict, ...]:
    """What the results on a data set say about each claim, by the decisive metric of the table."""
    metric = table.decisive
    labels = [row.label for row in table.all_rows]
    claims = {claim.says: claim for claim in table.claims}
    pairs = {says: _pairs(claim, users, metric) for says, claim in claims.items()}
    tests = iter(run_tests([pair for each in pairs.values() for pair in each], users, data))
    verdicts = []
    for says, each in pairs.items():
        if each:
            own = tuple(next(tests) for _ in each)
            missing = len(_pairs(claims[says], labels, metric)) - len(each)
            verdict = _verdict(own)
            verdicts.append(Verdict(says=says, data=data, metric=metric, verdict=verdict, tests=own, missing=missing))
    return tuple(verdicts)


def _pairs(claim: Claim, labels: Collection[str], metric: str) -> list[tuple[str, str, str]]:
    """The comparisons of a claim among some rows."""
    worse = [label for label in labels if label not in claim.better] if claim.worse == "others" else claim.worse
    return [(better, each, metric) for better in claim.better for each in worse if better in labels and each in labels]


def _verdict(tests: Sequence[Test]) -> Literal["holds", "holds in part", "undecided", "does not hold"]:
    agree, undecided, against = _counts(tests)
    if not undecided and not against:
        return "holds"
    if agree:
        return "holds in part"
    return "does not hold" if against else "undecided"


def _counts(tests: Sequence[Test]) -> tuple[int, int, int]:
    """Numbers of comparisons that agree with a claim, are undecided, and disagree."""
    agree = sum(test.p_holm <= ALPHA and test.difference > 0 for test in tests)
    against = sum(test.p_holm <= ALPHA and test.difference < 0 for test in tests)
    return agree, len(tests) - agree - against, against


def run_tests(pairs: Sequence[tuple[str, str, str]], users: Mapping[str, Users], data: str) -> tuple[Test, ...]:
    """Paired tests of (row, other row, metric), with p-values adjusted for all of them."""
    found: list[Comparison] = [
        compare(users[label][metric], users[other][metric], alternative="two-sided") for label, other, metric in pairs
    ]
    adjusted = holm([each.t_p for each in found])
    tests = []
    for (label, other, metric), each, p_holm in zip(pairs, found, adjusted, strict=True):
        base = float(users[other][metric].mean())
        tests.append(
            Test(
                data=data,
                label=label,
                other=other,
                metric=metric,
                users=each.num_users,
                difference=each.difference,
                relative=each.difference / base if base else None,
                interval=each.interval,
                p=each.t_p,
                p_holm=float(p_holm),
            )
        )
    return tuple(tests)
