"""What a validation metric of the caller is computed from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from prismrec.evaluation.metrics import Evaluation, Int64Array, evaluate
from prismrec.retrieval.ranking import Ranking, rank
from prismrec.types import Embeddings, Interactions


@dataclass(frozen=True, eq=False)
class Validation:
    """A model on the validation split; training items are left out of its lists.

    Attributes:
        embeddings: users `[U, d]` and items `[I, d]` of the model.
        train: the training interactions.
        truth: the validation interactions.
    """

    embeddings: Embeddings
    train: Interactions
    truth: Interactions

    @property
    def users(self) -> Int64Array:
        """The users with a validation interaction, numbers in ascending order `[n]`."""
        return np.flatnonzero(self.truth.user_degrees)

    def rank(self, k: int) -> Ranking:
        """The k best items of each of `users`, `[n, k]`, best first."""
        return rank(self.embeddings, self.users, k, mask=[self.train])

    def evaluate(self, metrics: Sequence[str], cutoffs: Sequence[int]) -> Evaluation:
        """Built-in metrics of each of `users`.

        Raises:
            InputError: a metric is unknown, or a cut-off is below 1.
        """
        return evaluate(self.embeddings, self.truth, mask=[self.train], metrics=metrics, cutoffs=cutoffs)


ValidationMetric = Callable[[Validation], float]
"""A validation metric of the caller; higher is better."""
