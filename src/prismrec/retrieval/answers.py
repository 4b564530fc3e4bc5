"""The answers of retrieval: lists and reasons, by number."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from torch import Tensor

from prismrec.retrieval.ranking import Int64Array
from prismrec.types import BoolArray


@dataclass(frozen=True)
class Lists:
    """Ranked items (or users) for n queries: users, histories or items.

    Attributes:
        items: numbers, int64 `[n, w]` with w ≤ k; -1 after the end of a list.
        scores: float32 `[n, w]`; -inf after the end of a list.
        k: the length that was asked for.
        popular: which lists are popular items because nothing is known, bool `[n]`. Their scores are the numbers of
            training interactions.
        ignored: unknown item ids in the histories.
    """

    items: Tensor
    scores: Tensor
    k: int
    popular: BoolArray
    ignored: tuple[Hashable, ...] = ()

    @property
    def lengths(self) -> Int64Array:
        """The number of items in each list, `[n]`."""
        return (self.items >= 0).sum(1).numpy()


@dataclass(frozen=True)
class Reasons:
    """Why t items are recommended to the owner of a history of h items.

    Attributes:
        history: item numbers `[h]`.
        targets: item numbers `[t]`.
        scores: of the recommended items `[t]`.
        contributions: what each item of the history adds to each score `[t, h]`.
        exact: whether the contributions are parts of the score, or an approximation.
        cosines: modality → cosines of the features `[t, h]`.
        closeness: modality → share of all items that resemble the recommended item less `[t, h]`.
    """

    history: Int64Array
    targets: Int64Array
    scores: Tensor
    contributions: Tensor
    exact: bool
    cosines: Mapping[str, Tensor]
    closeness: Mapping[str, Tensor]
