"""Compare runs on the same data, user by user."""

from collections.abc import Sequence
from dataclasses import dataclass

from prismrec.errors import InputError, ParameterError, check_list, check_type
from prismrec.evaluation import Comparison, compare, holm, parse_metric
from prismrec.runs.run import Run
from prismrec.types import Interactions


@dataclass(frozen=True)
class RunComparison:
    """One run beside the first one, on one metric.

    Attributes:
        run: position of the run in the list.
        metric: such as "recall@20".
        tests: the difference to the first run, its 95 % interval, and the p-values.
        t_p_holm: p-value of the t-test, adjusted for all comparisons of the table.
        wilcoxon_p_holm: p-value of the Wilcoxon test, likewise.
    """

    run: int
    metric: str
    tests: Comparison
    t_p_holm: float
    wilcoxon_p_holm: float


@dataclass(frozen=True)
class RunTable:
    """Several runs on the same data.

    Attributes:
        split: "valid" or "test".
        num_users: number of evaluated users.
        means: for each run, the mean of each metric by name.
        comparisons: every run but the first, compared with the first one on each metric.
    """

    split: str
    num_users: int
    means: tuple[dict[str, float], ...]
    comparisons: tuple[RunComparison, ...]


def compare_runs(
    runs: Sequence[Run], metrics: Sequence[str] = ("recall@20", "ndcg@20"), *, split: str = "test"
) -> RunTable:
    """Evaluate runs and test the differences between the first run and each of the others, paired by user.

    The tests are two-sided. Holm's method adjusts the p-values for the number of runs and metrics.

    Args:
        runs: two or more, on the same data with the same split.
        metrics: such as "recall@20".
        split: "valid" or "test".

    Raises:
        InputError: there are fewer than two runs or evaluated users, the data of a run differ from those of the first
            one, or a metric or the split is unknown.
    """
    runs = check_list("runs", runs, "a list of runs")
    for run in runs:
        check_type("runs", run, Run, "runs, from prismrec.train or Run.load")
    if len(runs) < 2:
        raise ParameterError("runs", f"{len(runs)}", "two or more")
    for number, run in enumerate(runs[1:], 2):
        check_same_data(runs[0], run, f"run {number}" if run.folder is None else str(run.folder))
    metrics = check_list("metrics", metrics, "a list of metrics")
    for metric in metrics:
        check_type("metrics", metric, str, "metrics such as 'recall@20'")
    cutoffs = [parse_metric(metric)[1] for metric in metrics]
    evaluations = [run.evaluate(split, cutoffs=cutoffs) for run in runs]
    first = evaluations[0]
    if first.num_users < 2:
        raise InputError(f"split {split!r}", f"{first.num_users} user with interactions", "two users or more")
    pairs = [(number, metric) for number in range(1, len(runs)) for metric in metrics]
    tests = [
        compare(evaluations[number].per_user[metric], first.per_user[metric], alternative="two-sided")
        for number, metric in pairs
    ]
    t_adjusted = holm([test.t_p for test in tests])
    wilcoxon_adjusted = holm([test.wilcoxon_p for test in tests])
    comparisons = [
        RunComparison(number, metric, tests[n], float(t_adjusted[n]), float(wilcoxon_adjusted[n]))
        for n, (number, metric) in enumerate(pairs)
    ]
    means = [{metric: evaluation[metric] for metric in metrics} for evaluation in evaluations]
    return RunTable(split, first.num_users, tuple(means), tuple(comparisons))


def check_same_data(first: Run, other: Run, name: str) -> None:
    """Check that two runs have the same users, items and splits.

    Args:
        first: a run.
        other: another run.
        name: of the other run, for the error message.

    Raises:
        InputError: they differ.
    """
    expected = "the data and the split of the first run"
    if not first.users.ids.equals(other.users.ids):
        raise InputError(name, "other users", expected)
    if not first.items.ids.equals(other.items.ids):
        raise InputError(name, "other items", expected)
    for split in ("train", "valid", "test"):
        if not _equal(getattr(first, split), getattr(other, split)):
            raise InputError(name, f"other interactions in the split {split!r}", expected)


def _equal(first: Interactions, other: Interactions) -> bool:
    is_same_size = len(first) == len(other)
    return is_same_size and bool((first.users == other.users).all() and (first.items == other.items).all())
