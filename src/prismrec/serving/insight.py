"""What the page shows of a run: its metrics, its training curve, and the popularity of what it recommends."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prismrec.retrieval import Audience
from prismrec.runs import Run

_SAMPLE = 1000
"""Users whose recommendations are counted."""
_LENGTH = 20
_CURVE_POINTS = 400


@dataclass(frozen=True)
class Bin:
    """Items of about the same popularity.

    Attributes:
        least: the smallest number of training interactions.
        most: the largest.
        items: share of all items.
        clicked: share of the training interactions of the sampled users.
        recommended: share of the items recommended to them.
    """

    least: int
    most: int
    items: float
    clicked: float
    recommended: float


@dataclass(frozen=True)
class Insight:
    """A run in numbers.

    Attributes:
        facts: model, data, numbers of users, items and interactions.
        config: hyperparameters, with the values that the model chose by validation.
        metrics: split → metric → value.
        best_epoch: the epoch whose embeddings are served.
        curve: one entry per epoch, thinned: epoch, loss, validation metric or None.
        curve_metric: the validation metric of the curve.
        popularity: bins of items by popularity.
        sample: users whose recommendations were counted.
    """

    facts: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    best_epoch: int | None
    curve: list[dict[str, float | None]]
    curve_metric: str
    popularity: list[Bin]
    sample: int

    @classmethod
    def of(cls, run: Run, stored: Mapping[str, Any]) -> "Insight":
        """Compute the numbers; takes about as long as a few hundred recommendations.

        Args:
            run: the run.
            stored: the content of its `metrics.json`.
        """
        manifest = run.manifest
        users = _sample(run)
        return cls(
            facts={
                "model": manifest.model,
                "data": manifest.data,
                "users": len(run.users),
                "items": len(run.items),
                "training interactions": len(run.train),
                "modalities": ", ".join(manifest.modalities) or "none",
                "vector width": run.embeddings.items.shape[1],
                "seed": manifest.settings.seed,
                "prismrec": manifest.versions.get("prismrec", ""),
            },
            config={**manifest.config, **run.chosen},
            metrics={split: stored[split] for split in ("valid", "test") if stored.get(split)},
            best_epoch=stored.get("best_epoch"),
            curve=_curve(run),
            curve_metric=manifest.settings.metric,
            popularity=_popularity(run, users),
            sample=len(users),
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _sample(run: Run) -> np.ndarray:
    """Trained users, evenly spaced."""
    users = np.flatnonzero(run.train.user_degrees)
    return users[np.unique(np.linspace(0, len(users) - 1, min(_SAMPLE, len(users))).astype(np.int64))]


def _curve(run: Run) -> list[dict[str, float | None]]:
    metric = run.manifest.settings.metric
    step = -(-len(run.history) // _CURVE_POINTS) or 1
    points: list[dict[str, float | None]] = []
    for record in run.history[::step]:
        valid = record.valid.get(metric) if record.valid else None
        points.append({"epoch": record.epoch, "loss": sum(record.loss.values()), "valid": valid})
    return points


def _popularity(run: Run, users: np.ndarray) -> list[Bin]:
    """Items in bins 0, 1, 2-3, 4-7, ... of the number of their training interactions."""
    degrees = run.train.item_degrees
    bin_of = np.zeros(len(degrees), dtype=np.int64)
    bin_of[degrees > 0] = 1 + np.floor(np.log2(degrees[degrees > 0])).astype(np.int64)
    count = int(bin_of.max(initial=0)) + 1
    lists = run.retriever.recommend(Audience.of_users(users, len(run.items)), min(_LENGTH, len(run.items)))
    recommended = bin_of[lists.items[lists.items >= 0].numpy()]
    clicked = bin_of[run.train.of_users(users).items]
    shares = [np.bincount(part, minlength=count) / max(len(part), 1) for part in (bin_of, clicked, recommended)]
    bins = []
    for number in range(count):
        least = 0 if number == 0 else 2 ** (number - 1)
        most = 0 if number == 0 else 2**number - 1
        of_items, of_clicks, of_lists = [float(share[number]) for share in shares]
        if of_items:
            bins.append(Bin(least, most, of_items, of_clicks, of_lists))
    return bins
