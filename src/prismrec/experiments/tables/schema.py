"""The content of table files: data, protocol and values of a paper, and the rows to train."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, model_validator

from prismrec.data.split import Protocol
from prismrec.errors import ParameterError
from prismrec.evaluation import parse_metric
from prismrec.experiments.space import Space
from prismrec.experiments.tables.probes import Probe
from prismrec.experiments.train import make_config
from prismrec.models import find_model


def _own_name(model: str) -> str:
    """The name of a model as the registry spells it."""
    return model if ":" in model else find_model(model).name


_CLOSED = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
Label = Annotated[str, Field(pattern=r"^\S(.*\S)?$", max_length=80)]
Model = Annotated[str, AfterValidator(_own_name)]
Share = Annotated[float, Field(ge=0, lt=1)]
Display = Literal["table", "bars", "groups", "lines", "hidden", "gradients", "hyperedges", "map"]
MODALITIES: Mapping[str, frozenset[str]] = {
    "visual": frozenset({"visual", "image", "images", "picture", "pictures", "vision", "poster", "v"}),
    "acoustic": frozenset({"acoustic", "audio", "sound", "music", "a"}),
    "textual": frozenset({"textual", "text", "texts", "title", "description", "t"}),
}
"""The names in the papers' tables, and the names of modalities in data sets that they stand for."""


class PaperData(BaseModel):
    """A data set of a paper."""

    model_config = _CLOSED

    title: str
    """Its name in the paper."""
    users: PositiveInt
    """Number of users in the paper, like the next two."""
    items: PositiveInt
    """Number of items."""
    interactions: PositiveInt
    """Number of interactions."""
    where: str
    """Where to get it."""

    def is_same(self, users: int, items: int, interactions: int) -> bool:
        """Whether data with these counts are the data of the paper."""
        return (users, items, interactions) == (self.users, self.items, self.interactions)


class Paper(BaseModel):
    """A paper, its data and its protocol."""

    model_config = _CLOSED

    short: str
    """Its name in a report, such as "LGMRec (AAAI 2024)"."""
    cite: str
    """Authors, title, venue."""
    data: dict[str, PaperData] = {}
    """Its data sets by the name of their folder."""
    protocol: str = ""
    """Its protocol, in a sentence."""
    differs: tuple[str, ...] = ()
    """What differs between the paper and prismrec, a sentence each."""


class Row(BaseModel):
    """One line of a table, or one mark of a figure."""

    model_config = _CLOSED

    label: Label
    """What the table calls it."""
    model: Model
    """Name of the model."""
    config: dict[str, Any] = {}
    """Hyperparameters that make the variant. The others are chosen on validation, or are defaults."""
    modality: str | None = None
    """Use this modality alone: visual, acoustic, textual, or the name of a modality."""
    without_features: bool = False
    """Run it on data without features too, although the model can use them."""
    hide: Share = 0.0
    """The share of items that lose each modality, drawn for each seed and modality."""
    panel: str | None = None
    """The panel of a figure."""
    at: float | str | None = None
    """The place of the row on the horizontal axis of its panel."""
    published: dict[str, tuple[float | None, ...]] = {}
    """Values in the paper by data set, in the order of the metrics of the table."""

    @model_validator(mode="after")
    def _names_what_exists(self) -> "Row":
        make_config(self.model, self.config)
        return self

    @property
    def is_plain(self) -> bool:
        """Whether it is the model without a variant, on all of the data."""
        return not self.config and self.modality is None and not self.hide

    def hiding(self, share: float) -> "Row":
        """The row on data in which a share of the items loses each modality."""
        changes = {"label": f"{self.label}, {share:.0%} hidden", "hide": share, "panel": self.label, "at": share}
        return self.model_copy(update={**changes, "published": {} if share else self.published})


class Sweep(BaseModel):
    """Rows in which one hyperparameter varies."""

    model_config = _CLOSED

    model: Model
    """Name of the model."""
    parameter: str
    """The hyperparameter."""
    title: str
    """The title of its panel."""
    values: tuple[Any, ...] = Field(min_length=1)
    """Its values."""
    config: dict[str, Any] = {}
    """Other hyperparameters of all rows."""

    @model_validator(mode="after")
    def _names_what_exists(self) -> "Sweep":
        for value in self.values:
            make_config(self.model, {**self.config, self.parameter: value})
        return self

    def rows(self) -> list[Row]:
        """One row per value."""
        return [
            Row(
                label=f"{self.parameter} = {value}",
                model=self.model,
                config={**self.config, self.parameter: value},
                panel=self.title,
                at=value,
            )
            for value in self.values
        ]


class Claim(BaseModel):
    """What the paper concludes from the table: some rows are better than others."""

    model_config = _CLOSED

    says: str
    """The claim, in a sentence."""
    better: tuple[Label, ...] = Field(min_length=1)
    """Labels of the better rows."""
    worse: tuple[Label, ...] | Literal["others"] = "others"
    """Labels of the worse rows; "others" for all that are not better."""

    @model_validator(mode="after")
    def _names_two_sides(self) -> "Claim":
        both = set(self.better) & set(self.worse if self.worse != "others" else ())
        if both:
            raise ParameterError("better", f"{min(both)!r} in worse too", "other rows in worse")
        return self


class Table(BaseModel):
    """A table or a figure of a paper."""

    model_config = _CLOSED

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    """Its name on the command line."""
    title: str
    """What it shows."""
    paper: Paper
    """Where it was published."""
    place: str
    """Its number in the paper."""
    display: Display = "table"
    """How the report draws it."""
    metrics: tuple[str, ...] = Field(min_length=1)
    """The metrics of the table, some of which may be numbers of a probe."""
    choose: str = "recall@20"
    """The validation metric that chooses epochs and settings."""
    split: Protocol | None = None
    """How to split; None keeps the labels of the data, or splits 8:1:1 within each user."""
    patience: PositiveInt | Literal["auto"] = "auto"
    """Early stopping, as in `Settings`."""
    seeds: PositiveInt = 3
    """Number of seeds, from 0 on."""
    groups: PositiveInt | None = None
    """Show the metrics by this number of groups of users with about as many training items."""
    item_groups: PositiveInt | None = None
    """Show the metrics by this number of groups of held-out items, from rare to popular ones."""
    probe: Probe | None = None
    """What is measured besides metrics."""
    reference: Label | None = None
    """The row with which the tests compare the others."""
    rows: tuple[Row, ...] = ()
    """The rows."""
    hide: tuple[Share, ...] = ()
    """Each row is repeated for each of these shares of items that lose each modality. Its label becomes, for example,
    "VBPR, 30% hidden"."""
    sweeps: tuple[Sweep, ...] = ()
    """Further rows, in which one hyperparameter varies."""
    spaces: dict[Model, dict[str, Any]] = {}
    """What to search by model, as `prismrec tune` takes it; the other models have the grids of their papers."""
    claims: tuple[Claim, ...] = ()
    """What the paper concludes."""
    notes: tuple[str, ...] = ()
    """What differs in this table, a sentence each."""

    @cached_property
    def series(self) -> list[list[Row]]:
        """The rows that differ in one value: those of each sweep, and of each row with hidden features."""
        hidden = [[row.hiding(share) for share in self.hide] for row in self.rows] if self.hide else []
        return [*hidden, *[sweep.rows() for sweep in self.sweeps]]

    @property
    def single_rows(self) -> tuple[Row, ...]:
        """The rows that belong to no series."""
        return () if self.hide else self.rows

    @cached_property
    def all_rows(self) -> tuple[Row, ...]:
        """All rows."""
        return (*self.single_rows, *[row for series in self.series for row in series])

    @property
    def decisive(self) -> str:
        """The metric by which claims are judged: the one that chooses epochs, if the table shows it."""
        return self.choose if self.choose in self.metrics else self.metrics[0]

    @property
    def ranking_metrics(self) -> tuple[str, ...]:
        """The metrics that rankings have, without those of a probe."""
        return tuple(metric for metric in self.metrics if "@" in metric)

    @model_validator(mode="after")
    def _fits_together(self) -> "Table":
        parse_metric(self.choose)
        twice = [metric for metric in self.metrics if self.metrics.count(metric) > 1]
        if twice:
            raise ParameterError("metrics", f"{twice[0]!r} twice", "distinct metrics")
        for metric in self.ranking_metrics:
            parse_metric(metric)
        others = set(self.metrics) - set(self.ranking_metrics)
        if others and self.probe is None:
            raise ParameterError("metrics", f"{min(others)!r} without a cut-off", "for example recall@20, or a probe")
        labels = [row.label for row in self.all_rows]
        repeated = [label for label in labels if labels.count(label) > 1]
        if not labels or repeated:
            raise ParameterError("rows", f"{repeated[0]!r} twice" if repeated else "none", "rows with distinct labels")
        if self.reference is not None:
            _check_label("reference", self.reference, labels)
        for number, claim in enumerate(self.claims, 1):
            for label in _labels(claim):
                _check_label(f"claim {number}", label, labels)
        for row in self.all_rows:
            self._check_published(row)
        self._check_spaces()
        return self

    def _check_published(self, row: Row) -> None:
        for data, values in row.published.items():
            if data not in self.paper.data:
                known = ", ".join(self.paper.data) or "those under paper, data; there are none"
                raise ParameterError(f"row {row.label!r}, published", f"no data set {data!r} in the paper", known)
            if len(values) != len(self.metrics):
                expected = f"{len(self.metrics)}: one for each of {', '.join(self.metrics)}"
                raise ParameterError(f"row {row.label!r}, published, {data}", f"{len(values)} values", expected)

    def _check_spaces(self) -> None:
        models = list(dict.fromkeys(row.model for row in self.all_rows))
        for model, space in self.spaces.items():
            if model not in models:
                raise ParameterError(f"spaces, {model}", "no row of this model", f"one of {', '.join(models)}")
            Space.of(model, space)


def _check_label(place: str, label: str, labels: Sequence[str]) -> None:
    if label not in labels:
        raise ParameterError(place, f"{label!r}, which is no row", f"one of {', '.join(labels)}")


def _labels(claim: Claim) -> Sequence[str]:
    return claim.better if claim.worse == "others" else (*claim.better, *claim.worse)


def match_modality(name: str, available: Sequence[str]) -> str | None:
    """The modality of a data set that a paper's name stands for; None if the data set lacks it."""
    if name in available:
        return name
    known = MODALITIES.get(name, frozenset())
    return next((each for each in available if re.sub(r"[_-].*", "", each.lower()) in known), None)
