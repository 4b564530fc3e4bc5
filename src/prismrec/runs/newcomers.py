"""The choice of how a run embeds new users and items, tested on known users and items as if they were new."""

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
from torch import Tensor

from prismrec.evaluation import evaluate
from prismrec.retrieval.newcomers import HistoryMap, MapSettings, Newcomers, fit_click_maps, fit_history_maps
from prismrec.runs.new_items import choose_item_map
from prismrec.types import Embeddings, Interactions

_DISCOUNTS = (1.0, 0.5, 0.0)
_POWERS = (0.5, 1.0)
_RIDGES = (0.01, 0.1, 0.001)
_CLICK_DISCOUNTS = (0.0, 0.5)
_CLICK_RIDGES = (1.0, 10.0, 0.1)
_SCORES = 2**24
"""About how many scores are computed for each map."""
_LEAST_USERS = 500
_METRIC = "recall@20"


def choose_newcomers(
    embeddings: Embeddings,
    train: Interactions,
    valid: Interactions,
    features: Mapping[str, Tensor],
    settings: MapSettings | None = None,
) -> Newcomers:
    """How a run embeds new users and new items.

    Args:
        embeddings: of the trained users and items.
        train: the training interactions.
        valid: the validation interactions.
        features: modality → float32 `[I, F_m]`.
        settings: of the map of users; None chooses them.
    """
    user_map = _choose(embeddings, train, valid) if settings is None else _fit(embeddings, train, settings)
    return Newcomers(user_map, choose_item_map(embeddings, train, features, user_map))


def _choose(embeddings: Embeddings, train: Interactions, valid: Interactions) -> HistoryMap:
    """The map from histories to user vectors that has the best validation recall.

    Each map embeds users of the training data from their training items alone, as if they were new. The test split is
    not used. Without validation interactions, the choice is the first of the settings.
    """
    users = _sample(np.flatnonzero((valid.user_degrees > 0) & (train.user_degrees > 0)), valid.num_items)
    if not len(users):
        return _fit(embeddings, train, MapSettings(_DISCOUNTS[0], _POWERS[0], _RIDGES[0]))
    histories = train.of_users(users)
    truth = valid.of_users(users)
    best = None
    best_recall = -1.0
    for candidate in _candidates(embeddings, train):
        guessed = Embeddings(candidate(histories), embeddings.items)
        recall = evaluate(guessed, truth, mask=[histories], metrics=["recall"], cutoffs=[20])[_METRIC]
        if recall > best_recall:
            best, best_recall = candidate, recall
    assert best is not None
    return best


def _sample(users: np.ndarray, num_items: int) -> np.ndarray:
    """Enough of the users to compare maps by, evenly spaced."""
    count = max(_SCORES // num_items, _LEAST_USERS)
    if len(users) <= count:
        return users
    return users[np.linspace(0, len(users) - 1, count).astype(np.int64)]


def _candidates(embeddings: Embeddings, train: Interactions) -> Iterator[HistoryMap]:
    for discount, power in product(_DISCOUNTS, _POWERS):
        yield from fit_history_maps(embeddings, train, _RIDGES, discount=discount, power=power)
    for discount in _CLICK_DISCOUNTS:
        yield from fit_click_maps(embeddings, train, _CLICK_RIDGES, discount=discount, power=_POWERS[0])


def _fit(embeddings: Embeddings, train: Interactions, settings: MapSettings) -> HistoryMap:
    fit = fit_click_maps if settings.fits_clicks else fit_history_maps
    return fit(embeddings, train, [settings.ridge], discount=settings.discount, power=settings.power)[0]
