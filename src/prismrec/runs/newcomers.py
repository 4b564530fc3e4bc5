"""The choice of how a run embeds new users: by the validation recall of its own users, embedded as if they were new."""

from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np

from prismrec.evaluation import evaluate
from prismrec.retrieval.newcomers import HistoryMap, Newcomers, fit_history_maps
from prismrec.types import Embeddings, Interactions

_DISCOUNTS = (1.0, 0.5, 0.0)
_POWERS = (0.5, 1.0)
_RIDGES = (0.01, 0.1, 0.001)
_SCORES = 2**24
"""About how many scores are computed for each map."""
_LEAST_USERS = 500
_METRIC = "recall@20"


def choose_newcomers(
    embeddings: Embeddings, train: Interactions, valid: Interactions, maps: Iterable[HistoryMap] = ()
) -> Newcomers:
    """The map with the best validation recall, of those that the model offers and of ridge regressions.

    Each map embeds users of the training data from their training items alone, as if they were new. The test split is
    not used. Without validation interactions, the choice is the first of them.

    Args:
        embeddings: of the trained users and items.
        train: the training interactions.
        valid: the validation interactions.
        maps: what the model knows from its own equations.
    """
    candidates = [*maps, *_regressions(embeddings, train)]
    users = _sample(np.flatnonzero((valid.user_degrees > 0) & (train.user_degrees > 0)), valid.num_items)
    if not len(users):
        return Newcomers(candidates[0])
    histories = train.of_users(users)
    truth = valid.of_users(users)
    recalls = []
    for candidate in candidates:
        guessed = Embeddings(candidate(histories), embeddings.items)
        recalls.append(evaluate(guessed, truth, mask=[histories], metrics=["recall"], cutoffs=[20])[_METRIC])
    return Newcomers(candidates[int(np.argmax(recalls))])


def _sample(users: np.ndarray, num_items: int) -> np.ndarray:
    """Enough of the users to compare maps by, evenly spaced."""
    count = max(_SCORES // num_items, _LEAST_USERS)
    if len(users) <= count:
        return users
    return users[np.linspace(0, len(users) - 1, count).astype(np.int64)]


def _regressions(embeddings: Embeddings, train: Interactions) -> Iterator[HistoryMap]:
    for discount, power in product(_DISCOUNTS, _POWERS):
        yield from fit_history_maps(embeddings, train, _RIDGES, discount=discount, power=power)
