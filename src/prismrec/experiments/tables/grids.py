"""The results of a table as grids of text, for Markdown, LaTeX, HTML and the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prismrec.experiments.tables.outcome import ALPHA, NOT_COMPUTED, Measurement, Outcome, RowOutcome
from prismrec.experiments.tables.published import Published
from prismrec.words import seconds_text

NONE = "–"
OTHER = "†"
_PROTOCOLS = f"{OTHER} Published under another protocol, which is described under Protocol."
_OTHER_DATA = "Data with other counts of users, items or interactions. Do not compare these values with ours directly."


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Attributes:
        title: its title.
        header: names of the columns.
        rows: the cells, one text per column.
        caption: what a reader must know.
        best: positions (row, column) of the best values.
        texts: number of first columns that hold text; the others hold numbers.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    best: frozenset[tuple[int, int]] = frozenset()
    texts: int = 1


def _place(outcome: Outcome, data: str) -> tuple[str, ...]:
    """The cell that names a data set; none if there is only one."""
    return (data,) if len(outcome.data) > 1 else ()


def result_grids(outcome: Outcome) -> list[Grid]:
    """One grid per data set: published, ours and the difference, for each metric."""
    return [_results_on(outcome, data) for data in outcome.data]


def _results_on(outcome: Outcome, data: str) -> Grid:
    rows = [row for row in outcome.rows if row.data == data]
    has_published = {metric: any(metric in (same_data(row) or {}) for row in rows) for metric in outcome.metrics}
    seeds = {len(row.cells) for row in rows if row.cells}
    header = ["row", "seeds"] if len(seeds) > 1 else ["row"]
    for metric in outcome.metrics:
        header += [f"{metric} published{OTHER}", metric, "difference"] if has_published[metric] else [metric]
    starred = {(test.label, test.metric) for test in outcome.tests if test.data == data and test.p_holm <= ALPHA}
    best, texts = set(), []
    tops = {metric: _top(rows, metric) for metric in outcome.metrics}
    for number, row in enumerate(rows):
        cells = [row.label, str(len(row.cells))] if len(seeds) > 1 else [row.label]
        for metric in outcome.metrics:
            published = (same_data(row) or {}).get(metric)
            ours = row.metrics.get(metric)
            if ours is not None and len(rows) > 1 and ours.mean == tops[metric]:
                best.add((number, len(cells) + has_published[metric]))
            shown = _ours(row, ours) + ("*" if (row.label, metric) in starred else "")
            if has_published[metric]:
                cells += [NONE if published is None else f"{published:.4f}", shown, _difference(ours, published)]
            else:
                cells.append(shown)
        texts.append(tuple(cells))
    caption = _caption(outcome, rows, has_star=bool(starred), has_published=any(has_published.values()))
    return Grid(f"Results on {data}", tuple(header), tuple(texts), caption, frozenset(best))


def same_data(row: RowOutcome) -> dict[str, float] | None:
    """The published values of a row on the same data, from the table itself."""
    return next((each.values for each in row.published if each.same and not each.other_paper), None)


def _top(rows: Sequence[RowOutcome], metric: str) -> float | None:
    return max((row.metrics[metric].mean for row in rows if metric in row.metrics), default=None)


def _ours(row: RowOutcome, ours: Measurement | None) -> str:
    if ours is None:
        return "failed" if row.error else NONE
    return f"{ours.mean:.4f}" + ("" if ours.sd is None else f" ± {ours.sd:.4f}")


def _difference(ours: Measurement | None, published: float | None) -> str:
    if ours is None or not published:
        return NONE
    return f"{ours.mean - published:+.4f} ({ours.mean / published - 1:+.1%})"


def _caption(outcome: Outcome, rows: Sequence[RowOutcome], *, has_star: bool, has_published: bool) -> str:
    missing = sum(row.reason == NOT_COMPUTED for row in rows)
    seeds = {len(row.cells) for row in rows if row.cells}
    parts = [f"{missing} of {len(rows)} rows are {NOT_COMPUTED}."] if missing else []
    if seeds and max(seeds) > 1:
        parts.append("Mean ± sample standard deviation over the seeds.")
    if 1 in seeds:
        parts.append("Rows without ± have one seed." if max(seeds) > 1 else "One seed, so the spread is not known.")
    if has_star:
        parts.append(
            f"* differs from {outcome.reference}: paired t-test over users, two-sided, p ≤ {ALPHA} after Holm's "
            "adjustment for all rows and metrics of the data set."
        )
    if has_published:
        parts.append(_PROTOCOLS)
    return " ".join(parts)


def others_grid(outcome: Outcome) -> list[Grid]:
    """What other papers report for the same models on the same data, beside ours."""
    found = [
        (row, each)
        for row in outcome.rows
        for each in row.published
        if each.same and each.other_paper and any(metric in each.values for metric in outcome.metrics)
    ]
    metrics = [metric for metric in outcome.metrics if any(metric in each.values for _, each in found)]
    rows: list[tuple[str, ...]] = []
    for row, each in found:
        place = (row.label, *_place(outcome, row.data))
        ours = (*place, "ours", *[_ours(row, row.metrics.get(metric)) for metric in metrics])
        rows += [ours] if ours not in rows else []
        rows.append((*place, f"{each.source}{OTHER}", *_values(each, metrics)))
    header = ("row", *_place(outcome, "data"), "source", *metrics)
    title = "Published in other papers on the same data"
    return [Grid(title, header, tuple(rows), _PROTOCOLS, texts=len(header) - len(metrics))] if rows else []


def elsewhere_grid(outcome: Outcome) -> list[Grid]:
    """Published values on data with other counts."""
    lines = {}
    for label in dict.fromkeys(row.label for row in outcome.rows):
        for row in outcome.rows:
            for each in row.published:
                if row.label == label and not each.same and any(metric in each.values for metric in outcome.metrics):
                    lines[label, each.source, each.data] = (
                        label,
                        each.source,
                        each.data,
                        *_values(each, outcome.metrics),
                    )
    if not lines:
        return []
    header = ("row", "source", "data", *[f"{metric}{OTHER}" for metric in outcome.metrics])
    caption = f"{_OTHER_DATA} {_PROTOCOLS}"
    return [Grid("Published on other data", header, tuple(lines.values()), caption, texts=3)]


def published_protocols(outcome: Outcome) -> dict[str, str]:
    """How the papers measured whose values are shown, by their names."""
    found = {"The paper": outcome.published_protocol}
    found |= {each.source: each.protocol for row in outcome.rows for each in row.published if each.other_paper}
    return {source: protocol for source, protocol in found.items() if protocol}


def _values(published: Published, metrics: Sequence[str]) -> list[str]:
    return [f"{published.values[metric]:.4f}" if metric in published.values else NONE for metric in metrics]


def group_grids(outcome: Outcome) -> list[Grid]:
    """The decisive metric by group of users, then by group of held-out items; one grid of each per data set."""
    grids = []
    for data in outcome.data:
        rows = [row for row in outcome.rows if row.data == data]
        users = {row.label: row.groups for row in rows if row.groups}
        items = {row.label: row.item_groups for row in rows if row.item_groups}
        grids += _groups_grid(outcome, data, users, "items", "by number of training items of the user")
        grids += _groups_grid(outcome, data, items, "clicks", "by number of training users of the held-out item")
    return grids


def _groups_grid(
    outcome: Outcome, data: str, rows: Mapping[str, Mapping[str, Mapping[str, float]]], unit: str, title: str
) -> list[Grid]:
    """The grid of some rows, which have metrics by group."""
    if not rows:
        return []
    first = next(iter(rows.values()))
    metric = outcome.decisive
    counts = [f"{label} {unit} ({group['users']:.0f} users)" for label, group in first.items()]
    texts = tuple((row, *[f"{groups[label][metric]:.4f}" for label in first]) for row, groups in rows.items())
    return [Grid(f"{metric} on {data} {title}", ("row", *counts), texts)]


def claims_grid(outcome: Outcome) -> list[Grid]:
    """The claims of the paper, and what our results say about them."""
    if not outcome.verdicts:
        return []
    rows = []
    for each in outcome.verdicts:
        agree, undecided, against = each.counts
        counts = f"{agree} agree, {undecided} undecided, {against} disagree"
        counts += f", {each.missing} not computed" if each.missing else ""
        rows.append((each.says, *_place(outcome, each.data), each.verdict, counts))
    test = f"paired t-test over users, two-sided, p ≤ {ALPHA} after Holm's adjustment for all claims on the data set."
    caption = f"By {outcome.decisive}: {test}"
    header = ("claim", *_place(outcome, "data"), "verdict", "comparisons")
    return [Grid("The paper's claims", header, tuple(rows), caption, texts=len(header))]


def test_grid(outcome: Outcome) -> list[Grid]:
    """The differences to the reference row, with intervals and p-values."""
    if not outcome.tests:
        return []
    rows = [
        (
            each.label,
            *_place(outcome, each.data),
            each.metric,
            f"{each.difference:+.4f}" + ("" if each.relative is None else f" ({each.relative:+.1%})"),
            f"{each.interval[0]:+.4f} to {each.interval[1]:+.4f}",
            f"{each.p:.2g}",
            f"{each.p_holm:.2g}",
        )
        for each in outcome.tests
    ]
    header = ("row", *_place(outcome, "data"), "metric", "difference", "95 % interval", "p", "p (Holm)")
    caption = "Means over the seeds of each user, paired by user; bootstrap interval of the mean difference."
    return [Grid(f"Differences to {outcome.reference}", header, tuple(rows), caption, texts=len(header) - 4)]


def cell_grid(outcome: Outcome) -> list[Grid]:
    """Every training: seed, epochs, time and memory."""
    rows = []
    for row in outcome.rows:
        for cell in row.cells:
            memory = NONE if cell.peak_bytes is None else f"{cell.peak_bytes / 1e6:,.0f}"
            rows.append(
                (
                    row.label,
                    *_place(outcome, row.data),
                    str(cell.settings.seed),
                    f"{cell.best_epoch} of {cell.epochs}",
                    f"{cell.seconds:,.0f}",
                    seconds_text(cell.seconds_per_epoch),
                    memory,
                    NONE if cell.parameters is None else f"{cell.parameters:,}",
                    ", ".join(cell.modalities) or NONE,
                )
            )
    place = _place(outcome, "data")
    header = ("row", *place, "seed", "best epoch", "seconds", "s/epoch", "peak MB", "parameters", "modalities")
    return [Grid("Trainings", header, tuple(rows), texts=1 + len(place))] if rows else []


def settings_grid(outcome: Outcome) -> list[Grid]:
    """The hyperparameters of each row that differ from the defaults."""
    shown = [row for row in outcome.rows if row.cells]
    has_commands = any(row.command for row in shown)
    rows = []
    for row in shown:
        values = ", ".join(f"{name} = {value}" for name, value in row.settings.items()) or "defaults"
        command = (row.command,) if has_commands else ()
        rows.append((row.label, *_place(outcome, row.data), values, row.chosen_by, *command))
    header = ("row", *_place(outcome, "data"), "values", "chosen by")
    header += ("command of the first seed",) if has_commands else ()
    return [Grid("Hyperparameters", header, tuple(rows), texts=len(header))] if rows else []


def absent_grid(outcome: Outcome) -> list[Grid]:
    """Rows without a result, and why."""
    labels: dict[tuple[str, ...], list[str]] = {}
    for row in outcome.rows:
        if row.error or row.reason:
            labels.setdefault((*_place(outcome, row.data), row.error or row.reason), []).append(row.label)
    rows = tuple((", ".join(names), *rest) for rest, names in labels.items())
    header = ("rows", *_place(outcome, "data"), "reason")
    return [Grid("Rows without a result", header, rows, texts=len(header))] if rows else []
