"""The choice of how a run embeds new items: by hiding some items of its training data and predicting them."""

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.evaluation import evaluate
from prismrec.retrieval.item_map import Average, FeatureSpace, ItemMap, Linear, Nearest, Predictor
from prismrec.retrieval.newcomers import HistoryMap, ridge_regressions
from prismrec.retrieval.ranking import rank
from prismrec.types import Embeddings, Interactions

Numbers = npt.NDArray[np.int64]
_RIDGES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
_NEIGHBOURS = (50, 20, 10, 5)
_FOLDS = 5
"""In each of five rounds, another fifth of the items is hidden."""
_MOST_ITEMS = 20_000
_MOST_USERS = 2_000
_LEAST_ITEMS = 10
_LENGTH = 20
"""Length of the lists by which maps are compared and scaled."""
_LARGEST_SCALE = 16.0


def choose_item_map(
    embeddings: Embeddings, train: Interactions, features: Mapping[str, Tensor], user_map: HistoryMap
) -> ItemMap | None:
    """The map from features to item vectors that ranks hidden items best, scaled to show them as often as before.

    In five rounds, another fifth of the items is hidden. Ridge regressions, means of nearest items, and averages of
    both, made from the others, predict their vectors. The best map ranks the hidden items of each user highest among
    all hidden ones, by the product of two values of NDCG@20: one with trained user vectors, and one with users that are
    embedded from their other items, because trained vectors know the hidden items. The scale is the one with which the
    predicted vectors get as many places in the lists of all items as the trained vectors did.

    Args:
        embeddings: of the trained users and items.
        train: the training interactions.
        features: modality → float32 `[I, F_m]`.
        user_map: embeds users.

    Returns:
        None without features, or with too few items to learn from.
    """
    known = _sample(np.flatnonzero(train.item_degrees > 0), _MOST_ITEMS)
    if not features or len(known) < _LEAST_ITEMS:
        return None
    order = np.random.default_rng(0).permutation(len(known))
    rounds = [
        _predict_hidden(embeddings, train, features, user_map, known[order % _FOLDS == fold], known)
        for fold in range(_FOLDS)
    ]
    best = int(np.argmax(np.mean([each.scores for each in rounds], 0)))
    scales = [_matching_scale(embeddings, each.hidden, each.predicted[best]) for each in rounds]
    space = FeatureSpace.of(_rows(features, known))
    linear, nearest = _predictors(space(_rows(features, known)), embeddings.items[known])
    averages = [Average(*pair) for pair in product(linear, nearest)]
    predictors: list[Predictor] = [*linear, *nearest, *averages]
    return ItemMap(space, predictors[best], float(np.exp(np.mean(np.log(scales)))))


class _Round(NamedTuple):
    """What every predictor makes of some hidden items."""

    hidden: Numbers  # their numbers
    predicted: list[Tensor]  # their vectors by each predictor
    scores: list[float]  # of each predictor


def _predict_hidden(
    embeddings: Embeddings,
    train: Interactions,
    features: Mapping[str, Tensor],
    user_map: HistoryMap,
    hidden: Numbers,
    known: Numbers,
) -> _Round:
    """Predict some of the known items from the others."""
    shown = np.setdiff1d(known, hidden)
    space = FeatureSpace.of(_rows(features, shown))
    hidden_x = space(_rows(features, hidden))
    users = _users_of(train, hidden)
    clicks = train.of_users(users)
    truth = _restricted(clicks, hidden)
    trained = embeddings.users[users]
    embedded = user_map(_without(clicks, hidden))
    linear, nearest = _predictors(space(_rows(features, shown)), embeddings.items[shown])
    by_linear = [predictor(hidden_x) for predictor in linear]
    by_nearest = [predictor(hidden_x) for predictor in nearest]
    averages = [(first + second) / 2 for first, second in product(by_linear, by_nearest)]
    predicted = [*by_linear, *by_nearest, *averages]
    scores = [_ndcg(trained, vectors, truth) * _ndcg(embedded, vectors, truth) for vectors in predicted]
    return _Round(hidden, predicted, scores)


def _ndcg(users: Tensor, items: Tensor, truth: Interactions) -> float:
    return evaluate(Embeddings(users, items), truth, metrics=["ndcg"], cutoffs=[_LENGTH])[f"ndcg@{_LENGTH}"]


def _predictors(x: Tensor, vectors: Tensor) -> tuple[list[Linear], list[Nearest]]:
    """Ridge regressions, and means of nearest items; the smoothest of both first."""
    x_mean = x.mean(0)
    mean = vectors.mean(0)
    weights = ridge_regressions(x - x_mean, vectors - mean, _RIDGES)
    linear = [Linear(weight, mean - x_mean @ weight) for weight in weights]
    references = F.normalize(x)
    return linear, [Nearest(references, vectors, neighbours) for neighbours in _NEIGHBOURS]


def _sample(numbers: Numbers, count: int) -> Numbers:
    """All numbers, or `count` of them, evenly spaced."""
    if len(numbers) <= count:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, count).astype(np.int64)]


def _rows(features: Mapping[str, Tensor], items: Numbers) -> dict[str, Tensor]:
    return {name: matrix[torch.from_numpy(items)].float() for name, matrix in features.items()}


def _users_of(train: Interactions, items: Numbers) -> Numbers:
    """Users with at least one of the items."""
    wanted = np.zeros(train.num_items, dtype=np.bool_)
    wanted[items] = True
    return _sample(np.unique(train.users[wanted[train.items]]).astype(np.int64), _MOST_USERS)


def _without(pairs: Interactions, items: Numbers) -> Interactions:
    """The pairs with other items than the given ones."""
    kept = ~np.isin(pairs.items, items)
    return Interactions(pairs.users[kept], pairs.items[kept], pairs.num_users, pairs.num_items)


def _restricted(pairs: Interactions, items: Numbers) -> Interactions:
    """The pairs with the given items, which become the items 0..n-1."""
    number = np.full(pairs.num_items, -1, dtype=np.int64)
    number[items] = np.arange(len(items))
    kept = number[pairs.items] >= 0
    return Interactions.from_pairs(pairs.users[kept], number[pairs.items[kept]], pairs.num_users, len(items))


def _matching_scale(embeddings: Embeddings, hidden: Numbers, predicted: Tensor) -> float:
    """The factor with which predicted vectors of items get as many places in the lists as their trained vectors."""
    users = embeddings.users[_sample(np.arange(len(embeddings.users)), _MOST_USERS)]
    others = np.setdiff1d(np.arange(len(embeddings.items)), hidden)
    of_others = _best_scores(users, embeddings.items[others])  # [n, 20]
    of_trained = _best_scores(users, embeddings.items[hidden])
    of_predicted = _best_scores(users, predicted)
    wanted = _count_places(of_others, of_trained)
    low = 1 / _LARGEST_SCALE
    high = _LARGEST_SCALE
    for _ in range(20):
        middle = (low * high) ** 0.5
        if _count_places(of_others, middle * of_predicted) < wanted:
            low = middle
        else:
            high = middle
    return (low * high) ** 0.5


def _best_scores(users: Tensor, items: Tensor) -> Tensor:
    """The highest scores of each user, best first, `[n, 20]`; padded with -inf."""
    return rank(Embeddings(users, items), np.arange(len(users)), _LENGTH).scores


def _count_places(of_others: Tensor, of_hidden: Tensor) -> int:
    """How many places in the lists of all users hidden items get, given the best scores of both kinds `[n, 20]`."""
    worst = torch.cat([of_others, of_hidden], 1).topk(_LENGTH, 1).values[:, -1:]  # [n, 1]
    return int(((of_hidden >= worst) & of_hidden.isfinite()).sum())
