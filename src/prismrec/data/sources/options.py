"""Which interactions of a public data set to import."""

import math
from dataclasses import dataclass, fields
from datetime import date

from prismrec.data.sources.contract import Measure, Source
from prismrec.data.split import SplitSpec
from prismrec.errors import ParameterError


@dataclass(frozen=True)
class ImportOptions:
    """Which interactions to import, and what to write beside them.

    Attributes:
        min_rating: the lowest rating.
        min_plays: the lowest play count.
        min_hours: the lowest number of hours.
        since: the first day, in UTC.
        until: the day after the last one, in UTC.
        k_core: keep only users and items with at least this many interactions with each other; 0 keeps all.
        split: write a split column; None leaves the split to later commands.
        all_items: also the items without an interaction.
        history: also the clicks before the log begins (MIND).
        features: write the features of the source.
        pictures: write the pictures of the source, as hard links if the file system can.
    """

    min_rating: float | None = None
    min_plays: float | None = None
    min_hours: float | None = None
    since: date | None = None
    until: date | None = None
    k_core: int = 0
    split: SplitSpec | None = None
    all_items: bool = False
    history: bool = False
    features: bool = True
    pictures: bool = True

    def check(self, source: Source) -> None:
        """Check the options that not every source has.

        Raises:
            ParameterError: an option that makes no sense for the source, or an impossible value.
        """
        for measure in ("rating", "plays", "hours"):
            threshold = self.threshold(measure)
            if threshold is not None and measure != source.measure:
                has = f"has {source.measure}" if source.measure else "has no numbers beside its interactions"
                raise ParameterError(f"min_{measure}", f"{threshold:g}", f"no such option: {source.name} {has}")
            if threshold is not None and not math.isfinite(threshold):
                raise ParameterError(f"min_{measure}", str(threshold), "a finite number")
        if self.history and not source.has_history:
            raise ParameterError("history", "true", f"no such option: {source.name} has no clicks before its log")
        if self.k_core < 0:
            raise ParameterError("k_core", str(self.k_core), "a whole number from 0 on")
        if self.since and self.until and self.since >= self.until:
            raise ParameterError("until", str(self.until), f"a day after {self.since}, the value of since")
        if self.split and self.split.by == "label" and source.layout is None:
            raise ParameterError("by", "'label'", f"another protocol: {source.name} has no split labels")

    def threshold(self, measure: Measure) -> float | None:
        """The lowest value of a measure."""
        return {"rating": self.min_rating, "plays": self.min_plays, "hours": self.min_hours}[measure]

    def given(self) -> dict[str, object]:
        """The options that differ from their defaults, as JSON can write them."""
        changed = {each.name: getattr(self, each.name) for each in fields(self)}
        changed = {name: value for name, value in changed.items() if value != getattr(ImportOptions(), name)}
        return {name: str(value) if isinstance(value, date | SplitSpec) else value for name, value in changed.items()}
