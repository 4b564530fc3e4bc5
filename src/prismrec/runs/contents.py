"""What a run directory holds, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from torch import Tensor

from prismrec.provenance import Encoding, State
from prismrec.records import EpochRecord
from prismrec.retrieval import Newcomers
from prismrec.runs.manifest import Manifest
from prismrec.types import Embeddings, Interactions, Vocabulary


@dataclass(frozen=True)
class RunContents:
    """One model trained on one data set with one seed.

    Attributes:
        folder: the run directory, if the run was saved.
        manifest: model, config, settings, data.
        embeddings: users `[U, d]` and items `[I, d]` of the best epoch.
        users: user ids.
        items: item ids.
        train: the training interactions.
        valid: the validation interactions.
        test: the test interactions.
        catalog: row i describes item i; None if the data set has no item table.
        history: one record per epoch.
        best_epoch: the epoch of the embeddings, from 1; 0 without an epoch.
        chosen: hyperparameters that the model chose itself.
        weights: of the model at the best epoch, if the run was not saved; else they are in `model.safetensors`.
        stored_newcomers: how the run embeds new users; None in a run of an earlier version.
        features: modality → item features as rows of length 1, float16 `[I, F_m]`, zero for an item without the
            modality; empty if the run was saved without them.
        states: modality → what its encoder learned from the items, for encoders that are fitted.
        warnings: notes on fields that another version wrote and this version ignores.
        exact: whether to search all items even if the run has an index.
    """

    folder: Path | None
    manifest: Manifest
    embeddings: Embeddings
    users: Vocabulary
    items: Vocabulary
    train: Interactions
    valid: Interactions
    test: Interactions
    catalog: pl.DataFrame | None
    history: tuple[EpochRecord, ...]
    best_epoch: int = 0
    chosen: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] | None = None
    stored_newcomers: Newcomers | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    states: Mapping[str, State] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    exact: bool = False

    def __repr__(self) -> str:
        """One line: the model, the data and the folder."""
        sizes = f"{len(self.users):,} users, {len(self.items):,} items"
        place = "not saved" if self.folder is None else f"folder={str(self.folder)!r}"
        return f"<Run: {self.manifest.model} on {self.manifest.data}, {sizes}, {place}>"

    @property
    def encodings(self) -> dict[str, Encoding]:
        """Modality → how `prismrec features` made it. `prismrec.content.encode_like` encodes new items in this way."""
        return {
            name: Encoding(manifest, self.states.get(name, {})) for name, manifest in self.manifest.encodings.items()
        }
