"""What a run was: everything needed to repeat it, stored as `config.json`."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from prismrec.errors import parse_json
from prismrec.provenance import FeatureManifest
from prismrec.records import DataOrigin, Settings


class CustomNames(BaseModel):
    """Names of the parts that the caller brought to a training. `config.json` cannot hold the parts themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str | None = None
    """The validation metric."""
    sampler: str | None = None
    """The sampler."""
    loss_terms: tuple[str, ...] = ()
    """The terms of the loss."""


class RowsTaken(BaseModel):
    """How many users or items of a run have their weights from another run."""

    model_config = ConfigDict(frozen=True)

    taken: int
    """Rows taken from the other run."""
    new: int
    """Rows of this run that the other run lacks."""
    unused: int
    """Rows of the other run that this run lacks."""


class InitialWeights(BaseModel):
    """The run whose weights a training started from, and what it took from it."""

    model_config = ConfigDict(frozen=True)

    run: str | None
    """The run directory as it was given; None if the run was in memory."""
    digest: str
    """SHA-256 of the weights of the run."""
    users: RowsTaken | None = None
    """None before the weights are compared."""
    items: RowsTaken | None = None
    """None before the weights are compared."""
    not_taken: tuple[str, ...] = ()
    """One note for each weight of the model that was not taken."""

    @property
    def is_complete(self) -> bool:
        """Whether all rows of both runs and all weights of the model were taken."""
        both = (self.users, self.items)
        return not self.not_taken and all(rows is not None and not rows.new and not rows.unused for rows in both)

    def describe(self) -> str:
        """What was taken and what was not, in one line."""
        parts = []
        for name, rows in (("users", self.users), ("items", self.items)):
            if rows is not None:
                parts.append(f"{rows.taken:,} {name} taken, {rows.new:,} new, {rows.unused:,} unused")
        if self.not_taken:
            parts.append(f"not taken: {', '.join(self.not_taken)}")
        return ": ".join([f"the weights of {self.run or 'a run in memory'}", *filter(None, ["; ".join(parts)])])


class Manifest(BaseModel):
    """The model, its config, the settings, the data and the versions of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """Name of the model."""
    config: dict[str, Any]
    """Hyperparameters of the model."""
    settings: Settings
    """How the run was trained."""
    data: str
    """Name of the data set."""
    fingerprint: str
    """SHA-256 of ids, pairs and features."""
    notes: tuple[str, ...]
    """What was counted and decided while the data were read."""
    modalities: dict[str, int]
    """Width of each modality."""
    encodings: dict[str, FeatureManifest] = {}
    """How `prismrec features` made the features of a modality."""
    versions: dict[str, str]
    """Versions of prismrec, Python and the libraries, and whether the kernels were compiled."""
    origin: DataOrigin | None = None
    """Where the command line read the data, and how."""
    folder: str | None = None
    """Absolute path of the folder of the data set; `prismrec serve` shows pictures from it while it exists."""
    custom: CustomNames | None = None
    """Parts that the caller brought to the training; None if there were none."""
    weights_of: tuple[int, int] | None = None
    """The numbers of users and items in the weights, if an update added more without training."""
    init: InitialWeights | None = None
    """The run whose weights the training started from; None if it started from random weights."""
    machine: dict[str, str] = {}
    """What else decides how sums are rounded: device, number of threads, vector instructions."""
    resumed: tuple[str, ...] = ()
    """One note for each time that the run was resumed under other versions or on another machine."""


def parse_manifest(text: str) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest, and a warning if another version wrote fields that this version does not know.

    Raises:
        ValueError: the text is not a manifest.
    """
    fields = parse_json(text)
    if not isinstance(fields, dict) or not isinstance(fields.get("settings"), dict):
        raise ValueError("not the config.json of a run")
    known = {name: value for name, value in fields.items() if name in Manifest.model_fields}
    settings = fields["settings"]
    known["settings"] = {name: value for name, value in settings.items() if name in Settings.model_fields}
    manifest = Manifest.model_validate(known)
    unknown = [*(fields.keys() - known.keys()), *(settings.keys() - known["settings"].keys())]
    if not unknown:
        return manifest, ()
    names = ", ".join(sorted(unknown))
    return manifest, (f"prismrec {manifest.versions.get('prismrec')} wrote this run with {names}, which is ignored",)
