"""What a run was: everything needed to repeat it, stored as `config.json`."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from prismrec.records import Settings


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
    versions: dict[str, str]
    """Versions of prismrec, Python and the libraries, and whether the kernels were compiled."""
