"""The figures of a report as inline SVG, drawn by matplotlib."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from prismrec.experiments.tables.grids import same_data
from prismrec.experiments.tables.outcome import Outcome, RowOutcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#3b6fb6", "#d1682f", "#3a8f5d", "#8a5fb0", "#b5494d", "#7d6b57", "#c96fa5", "#5d6b78", "#a39a2c", "#2f9fb0")
_GREY, _INK = "#9aa3ad", "#20242a"
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e4e7eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Picture:
    """A figure: its title, and its SVG."""

    title: str
    svg: str


def draw_figures(outcome: Outcome) -> list[Picture]:
    """The figures of a table, then the training curves; one of each per data set."""
    pictures = []
    for data in outcome.data:
        rows = [row for row in outcome.rows if row.data == data and row.cells]
        if rows:
            title, draw = _DRAWINGS.get(outcome.display, _DRAWINGS["table"])
            pictures += _drawn(f"{title} ({data})", draw, outcome, rows)
            pictures += _drawn(f"Training ({data})", _curves, outcome, rows)
    return pictures


def _drawn(
    title: str,
    draw: Callable[[Outcome, Sequence[RowOutcome]], "Figure | None"],
    outcome: Outcome,
    rows: Sequence[RowOutcome],
) -> list[Picture]:
    import matplotlib as mpl

    with mpl.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = draw(outcome, rows)
        if figure is None:
            return []
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    start = svg.index("<svg ") + len("<svg ")
    return [Picture(title, f'<svg role="img" aria-label="{escape(title)}" {svg[start:]}')]


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _legend_columns(labels: Sequence[str]) -> int:
    """As many columns as fit above a figure, at most four."""
    longest = max(len(label) for label in labels)
    return max(1, min(4, len(labels), 88 // (longest + 8)))


def _errors(rows: Sequence[RowOutcome], metric: str) -> list[float] | None:
    """The deviations of the rows; None if each has one seed."""
    deviations = [row.metrics[metric].sd for row in rows]
    return None if not any(deviations) else [deviation or 0.0 for deviation in deviations]


def _dots(outcome: Outcome, rows: Sequence[RowOutcome]) -> "Figure":
    """One line per row: ours with its spread, and the published value on the same data."""
    metric = outcome.decisive
    shown = [row for row in rows if metric in row.metrics][::-1]
    figure = _figure(5.6, 0.6 + 0.26 * sum(1 + row.label.count("\n") / 2 for row in shown))
    axes = figure.subplots()
    axes.grid(visible=True, axis="x")
    for y, row in enumerate(shown):
        ours = row.metrics[metric]
        axes.errorbar(ours.mean, y, xerr=ours.sd, fmt="o", color=COLOURS[0], capsize=2, markersize=5)
        published = (same_data(row) or {}).get(metric)
        if published is not None:
            axes.plot(published, y, "D", color=COLOURS[1], markerfacecolor="none", markersize=5)
    axes.set_yticks(range(len(shown)), [row.label for row in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    has_published = any(metric in (same_data(row) or {}) for row in shown)
    axes.set_xlabel(f"{metric} (● ours, ◇ published under another protocol)" if has_published else metric)
    return figure


def _bars(outcome: Outcome, rows: Sequence[RowOutcome]) -> "Figure":
    """One panel per metric, one bar per row."""
    figure = _figure(min(9.0, 2.6 * len(outcome.metrics) + 0.6), 2.8)
    for axes, metric in zip(figure.subplots(1, len(outcome.metrics), squeeze=False)[0], outcome.metrics, strict=True):
        shown = [row for row in rows if metric in row.metrics]
        values = [row.metrics[metric].mean for row in shown]
        colours = [COLOURS[n % len(COLOURS)] for n in range(len(shown))]
        axes.bar(range(len(shown)), values, yerr=_errors(shown, metric), color=colours, capsize=2)
        axes.set_xticks(range(len(shown)), [row.label for row in shown], rotation=35, ha="right")
        axes.set_title(metric, fontsize=9)
    return figure


def _groups(outcome: Outcome, rows: Sequence[RowOutcome]) -> "Figure | None":
    """Groups of users side by side, one bar per row in each."""
    shown = [row for row in rows if row.groups]
    if not shown:
        return None
    labels = list(shown[0].groups)
    figure = _figure(7, 3.2)
    axes = figure.subplots()
    width = 0.8 / len(shown)
    for n, row in enumerate(shown):
        places = [x - 0.4 + (n + 0.5) * width for x in range(len(labels))]
        heights = [row.groups[label][outcome.decisive] for label in labels]
        axes.bar(places, heights, width * 0.92, label=row.label, color=COLOURS[n % len(COLOURS)])
    axes.set_xticks(range(len(labels)), [f"{label}\n{shown[0].groups[label]['users']:.0f} users" for label in labels])
    axes.set_xlabel("training items of the user")
    axes.set_ylabel(outcome.decisive)
    figure.legend(loc="outside upper center", ncols=_legend_columns([row.label for row in shown]))
    return figure


def _lines(outcome: Outcome, rows: Sequence[RowOutcome]) -> "Figure":
    """One panel per hyperparameter."""
    metric = outcome.decisive
    panels = list(dict.fromkeys(row.panel for row in rows if row.panel))
    columns = min(2, len(panels))
    height = -(-len(panels) // columns)
    figure = _figure(3.6 * columns, 2.3 * height)
    places = figure.subplots(height, columns, squeeze=False).ravel()
    for axes, panel in zip(places, panels, strict=False):
        shown = [row for row in rows if row.panel == panel and metric in row.metrics]
        values = [row.metrics[metric].mean for row in shown]
        axes.errorbar(
            range(len(shown)), values, yerr=_errors(shown, metric), fmt="o-", color=COLOURS[0], capsize=2, markersize=4
        )
        axes.set_xticks(range(len(shown)), [_short(row.at) for row in shown], rotation=45 if len(shown) > 6 else 0)
        axes.set_title(str(panel), fontsize=9)
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    figure.supylabel(metric, fontsize=9)
    return figure


def _hidden(outcome: Outcome, rows: Sequence[RowOutcome]) -> "Figure":
    """One line per model over the share of items that have lost each modality."""
    metric = outcome.decisive
    figure = _figure(7, 3.2)
    axes = figure.subplots()
    for n, panel in enumerate(dict.fromkeys(row.panel for row in rows)):
        shown = [row for row in rows if row.panel == panel and metric in row.metrics]
        shares = [float(row.at or 0) for row in shown]
        values = [row.metrics[metric].mean for row in shown]
        colour = COLOURS[n % len(COLOURS)]
        axes.errorbar(shares, values, yerr=_errors(shown, metric), fmt="o-", color=colour, markersize=4, label=panel)
    axes.set(xlabel="share of items that have lost each modality", ylabel=metric)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _short(value: float | str | None) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def _gradients(_outcome: Outcome, rows: Sequence[RowOutcome]) -> "Figure":
    """The shares of opposed dimensions, and of users with more than half of them opposed, over training."""
    figure = _figure(7, 3)
    axes = figure.subplots()
    for n, row in enumerate(rows):
        points = row.cells[0].picture
        epochs = [point["epoch"] for point in points]
        axes.plot(
            epochs,
            [point["users"] for point in points],
            "o-",
            color=COLOURS[2 * n],
            markersize=4,
            label="users with more than half opposed",
        )
        axes.plot(
            epochs,
            [point["dimensions"] for point in points],
            "s--",
            color=COLOURS[2 * n + 1],
            markersize=4,
            label="opposed dimensions",
        )
    axes.axhline(0.5, color=_GREY, linewidth=0.8)
    axes.set(xscale="log", xlabel="epoch", ylabel="share", ylim=(0, 1))
    axes.legend()
    return figure


def _map(_outcome: Outcome, rows: Sequence[RowOutcome]) -> "Figure":
    """Users and their items in two dimensions, one panel per row."""
    figure = _figure(3.6 * len(rows), 3.6)
    for axes, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        picture: Mapping[str, Any] = row.cells[0].picture
        for n, (x, y) in enumerate(picture["users"]):
            colour = COLOURS[n % len(COLOURS)]
            items = [point for point, owner in zip(picture["items"], picture["owners"], strict=True) if owner == n]
            for item_x, item_y in items:
                axes.plot([x, item_x], [y, item_y], color=colour, linewidth=0.4, alpha=0.5)
            axes.plot([point[0] for point in items], [point[1] for point in items], "o", color=colour, markersize=3)
            axes.plot(x, y, "*", color=colour, markersize=12, markeredgecolor=_INK, markeredgewidth=0.5)
        axes.set(xticks=[], yticks=[], title=row.label)
        axes.grid(visible=False)
    return figure


def _hyperedges(_outcome: Outcome, rows: Sequence[RowOutcome]) -> "Figure":
    """Two users by all modalities: squares are hyperedges, circles are items."""
    picture: Mapping[str, Any] = rows[0].cells[0].picture
    modalities = picture["modalities"]
    figure = _figure(7, 2.6 * len(picture["users"]))
    panels = figure.subplots(len(picture["users"]), len(modalities), squeeze=False)
    for line, user in zip(panels, picture["users"], strict=True):
        for m, (axes, modality) in enumerate(zip(line, modalities, strict=True)):
            _draw_user(axes, user, m)
            axes.set_title(f"{user['id']}, {modality}", fontsize=9)
    return figure


def _draw_user(axes: "Axes", user: Mapping[str, Any], modality: int) -> None:
    from matplotlib.patches import Circle, Rectangle

    memberships = user["memberships"][modality]
    for edge, share in enumerate(memberships):
        axes.add_patch(Rectangle((edge - 0.35, -0.35), 0.7, 0.7, facecolor=(0.23, 0.44, 0.71, share), edgecolor=_INK))
        ink = "white" if share > 0.5 else _INK
        axes.text(edge, 0, f"{share:.2f}", ha="center", va="center", fontsize=6, color=ink)
    below = [0] * len(memberships)
    ordered = sorted(enumerate(user["items"]), key=lambda item: -max(item[1]["memberships"][modality]))
    for number, item in ordered:
        edge = max(range(len(memberships)), key=item["memberships"][modality].__getitem__)
        below[edge] += 1
        axes.add_patch(Circle((edge, -below[edge]), 0.36, facecolor="#f3d9c8", edgecolor=COLOURS[1]))
        axes.text(edge, -below[edge], str(number + 1), ha="center", va="center", fontsize=7)
    axes.set(xlim=(-0.6, len(memberships) - 0.4), ylim=(-max(below) - 0.6, 0.6), xticks=[], yticks=[])
    axes.set_aspect("equal")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _curves(_outcome: Outcome, rows: Sequence[RowOutcome]) -> "Figure | None":
    """The validation metric by epoch, for the first seed of each row."""
    trained = [row for row in rows if len(row.cells[0].curve.epochs) > 1]
    if not trained:
        return None
    figure = _figure(5.6, 3.2 if len(trained) <= 10 else 2.6)
    axes = figure.subplots()
    for n, row in enumerate(trained):
        curve = row.cells[0].curve
        label = row.label if len(trained) <= 10 else None
        valid = [float("nan") if value is None else value for value in curve.valid]
        axes.plot(curve.epochs, valid, color=COLOURS[n % len(COLOURS)], linewidth=1, label=label)
    axes.set(xlabel="epoch", ylabel=f"validation {trained[0].cells[0].settings.metric}")
    if len(trained) <= 10:
        figure.legend(loc="outside upper center", fontsize=8, ncols=_legend_columns([row.label for row in trained]))
    return figure


_DRAWINGS: Mapping[str, tuple[str, Callable[[Outcome, Sequence[RowOutcome]], "Figure | None"]]] = {
    "table": ("Results", _dots),
    "bars": ("Results", _bars),
    "groups": ("Groups of users", _groups),
    "lines": ("Hyperparameters", _lines),
    "hidden": ("Missing modalities", _hidden),
    "gradients": ("Opposed gradients", _gradients),
    "map": ("Users and items", _map),
    "hyperedges": ("Hyperedges", _hyperedges),
}
