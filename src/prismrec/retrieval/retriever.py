"""Answers with ids: recommendations, similar items and users, scores, reasons.

`Run`, the command line and the server all use this code.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import InputError, ParameterError
from prismrec.retrieval.answers import Lists, Reasons
from prismrec.retrieval.audience import Audience, Unknown, check_request, find_audience
from prismrec.retrieval.catalog import Catalog, Filters
from prismrec.retrieval.compose import Floor, Limit, Rules, compose
from prismrec.retrieval.explain import contributions, likeness
from prismrec.retrieval.index import ItemIndex
from prismrec.retrieval.newcomers import Newcomers
from prismrec.retrieval.ranking import Int64Array
from prismrec.retrieval.search import ExactSearch, Search, check_length, row_pairs
from prismrec.retrieval.similar import MODEL, POPULARITY, SCORE, ItemMatrices, cosines
from prismrec.types import BoolArray, Embeddings, Interactions, Vocabulary

_PREPARED = 4
"""Number of cached combinations of conditions. Each may hold a copy of the item vectors."""
_NO_FILTERS = Filters()


class Retriever:
    """Answers questions from the embeddings of a model, the interactions and the item table.

    Several threads may ask at once.

    Attributes:
        users: user ids.
        catalog: item ids and the item table.
    """

    def __init__(
        self,
        users: Vocabulary,
        catalog: Catalog,
        embeddings: Embeddings,
        train: Interactions,
        held_out: Sequence[Interactions] = (),
        features: Mapping[str, Tensor] | None = None,
        newcomers: Callable[[], Newcomers] | None = None,
        find_index: Callable[[str], ItemIndex | None] | None = None,
    ) -> None:
        """Prepare the answers. What takes time is computed when it is first needed.

        Args:
            users: user ids.
            catalog: item ids and the item table.
            embeddings: users `[U, d]` and items `[I, d]`.
            train: the training interactions.
            held_out: further interactions, whose items users have also seen.
            features: modality → rows of length 1 `[I, F_m]`, as from `unit_features`.
            newcomers: called once, for what makes vectors of histories; None refuses histories.
            find_index: called with `SCORE` or `MODEL` for the index of that search; None searches exactly.
        """
        self.users = users
        self.catalog = catalog
        self._embeddings = embeddings
        self._train = train
        self._known = [train, *held_out]
        self._matrices = ItemMatrices(catalog, embeddings, train, features or {}, find_index)
        self._newcomers = newcomers
        self._prepared = lru_cache(maxsize=_PREPARED)(self._prepare)

    def audience(
        self,
        users: Sequence[Hashable] | None = None,
        histories: Sequence[Sequence[Hashable]] | None = None,
        unknown: Unknown | None = None,
    ) -> Audience:
        """The users and visitors of a request; see `find_audience`.

        Raises:
            InputError: a user is unknown, a history has no known item, or their numbers differ.
        """
        return find_audience(self.users, self.catalog.items, users, histories, unknown)

    def recommend(
        self,
        audience: Audience,
        k: int,
        filters: Filters = _NO_FILTERS,
        *,
        seen: bool = False,
        unknown: Unknown | None = None,
    ) -> Lists:
        """The best k items for each user or visitor.

        A user has the trained vector, moved by what further clicks add. A visitor has the vector of the history.

        Args:
            audience: n users or visitors.
            k: length of the lists.
            filters: which items the lists may hold.
            seen: whether these may be items that the user has interacted with.
            unknown: what to do with users and visitors without a known interaction; by default they get popular items.

        Raises:
            InputError: a user is refused, or k or a filter cannot be used.
        """
        check_request(k, seen, unknown)
        without_vector = ~self._has_vector(audience)  # [n]
        if unknown == "refuse" and without_vector.any():
            raise self._refusal(audience, int(np.flatnonzero(without_vector)[0]))
        history = audience.clicks if seen else audience.history(self._known)
        hidden = self._hidden(None if seen else history, len(audience), filters)
        search, rules = self._search_and_rules(SCORE, filters)
        found = compose(search, self._vectors(audience), k, hidden, rules)
        if without_vector.any():
            search, rules = self._search_and_rules(POPULARITY, filters)
            rows = np.flatnonzero(without_vector)
            popular = compose(search, torch.ones(len(rows), 1), k, hidden.of_users(rows), rules)
            found.items[rows] = popular.items
            found.scores[rows] = popular.scores
        return Lists(found.items, found.scores, k, without_vector, audience.ignored)

    def similar(self, items: Sequence[Hashable], k: int, by: str = MODEL, filters: Filters = _NO_FILTERS) -> Lists:
        """The k items that are most similar to each of n items, by the cosine.

        Args:
            items: n item ids.
            k: length of the lists.
            by: "model" for the item vectors, or a modality for its features.
            filters: which items the lists may hold.

        Raises:
            InputError: an item is unknown or lacks the modality, the run has no such features, or k or a filter cannot
                be used.
        """
        check_length(k)
        numbers = self.catalog.numbers(items, "items")
        itself = row_pairs(numbers, len(self.catalog.items))
        return self.nearest(self._matrices.queries(by, numbers), k, by, filters, itself)

    def nearest(
        self, queries: Tensor, k: int, by: str, filters: Filters = _NO_FILTERS, hidden: Interactions | None = None
    ) -> Lists:
        """The k most similar items of n vectors of length 1 `[n, d]`, without the pairs `hidden`; see `similar`."""
        check_length(k)
        search, rules = self._search_and_rules(by, filters)
        found = compose(search, queries, k, self._hidden(hidden, len(queries), filters), rules)
        return Lists(found.items, cosines(found), k, np.zeros(len(queries), dtype=np.bool_))

    def similar_users(self, users: Sequence[Hashable], k: int) -> Lists:
        """The k users that are most similar to each of n users, by the cosine of their vectors; `items` are users.

        Raises:
            InputError: a user is unknown or has no training interaction, or k is below 1.
        """
        check_length(k)
        numbers = self._trained_users(users)
        queries = F.normalize(self.trained_vectors(users).float(), dim=1)
        found = self._user_search.search(queries, min(k, len(self.users)), row_pairs(numbers, len(self.users)))
        return Lists(found.items, cosines(found), k, np.zeros(len(numbers), dtype=np.bool_))

    def score(self, users: Sequence[Hashable], items: Sequence[Hashable]) -> Tensor:
        """The scores of n pairs of a user and an item, float32 `[n]`.

        Raises:
            InputError: a user or an item is unknown, a user has no training interaction, or the lengths differ.
        """
        if len(users) != len(items):
            raise ParameterError("items", f"{len(items)} items for {len(users)} users", "one item for each user")
        user_rows = self.trained_vectors(users)
        item_rows = self._embeddings.items[torch.from_numpy(self.catalog.numbers(items, "items"))]
        return (user_rows * item_rows).sum(1)

    def trained_vectors(self, users: Sequence[Hashable]) -> Tensor:
        """The vectors of n users, float32 `[n, d]`.

        Raises:
            InputError: a user is unknown or has no training interaction.
        """
        return self._embeddings.users[torch.from_numpy(self._trained_users(users))]

    def explain(self, audience: Audience, items: Sequence[Hashable]) -> Reasons:
        """Why items are recommended to one user or visitor.

        Args:
            audience: one user or visitor.
            items: ids of the t recommended items.

        Raises:
            InputError: nothing is known of the audience, or an item is unknown.
        """
        if not self._has_vector(audience).all():
            raise self._refusal(audience, 0)
        targets = self.catalog.numbers(items, "items")
        history = audience.history([self._train]).items.astype(np.int64)  # [h]
        rows = self._embeddings.items[torch.from_numpy(targets)]  # [t, d]
        alike = {name: likeness(matrix, history, targets) for name, matrix in self._matrices.features.items()}
        return Reasons(
            history=history,
            targets=targets,
            scores=rows @ self._vectors(audience)[0],
            contributions=contributions(self.newcomers, history, rows, len(self.catalog.items)),
            exact=self.newcomers.linear and not self._is_trained(audience).any(),
            cosines={modality: values for modality, (values, _) in alike.items()},
            closeness={modality: closeness for modality, (_, closeness) in alike.items()},
        )

    @cached_property
    def newcomers(self) -> Newcomers:
        """What makes vectors of histories.

        Raises:
            InputError: there is none.
        """
        if self._newcomers is None:
            raise InputError("histories", "a retriever without newcomers", "one that can embed new users")
        return self._newcomers()

    @cached_property
    def _user_search(self) -> Search:
        trained = np.flatnonzero(self._train.user_degrees)
        return ExactSearch(F.normalize(self._embeddings.users.float(), dim=1)).among(trained)

    def _has_vector(self, audience: Audience) -> BoolArray:
        """Whether a user was trained or has a click that the run knows, `[n]`."""
        return self._is_trained(audience) | (audience.clicks.user_degrees > 0)

    def _is_trained(self, audience: Audience) -> BoolArray:
        """Whether a user has a training interaction, `[n]`."""
        return np.append(self._train.user_degrees, 0)[audience.users] > 0  # user -1 is a visitor

    def _vectors(self, audience: Audience) -> Tensor:
        """The user vectors `[n, d]`: trained, moved by what further clicks add, or of the history of a visitor."""
        vectors = torch.zeros(len(audience), self._embeddings.items.shape[1])
        known = np.flatnonzero(audience.users >= 0)
        vectors[known] = self._embeddings.users[torch.from_numpy(audience.users[known])]
        clicked = np.flatnonzero(audience.clicks.user_degrees)
        if not len(clicked):
            return vectors
        embed = self.newcomers.embed_users
        was_trained = torch.from_numpy(self._is_trained(audience)[clicked]).unsqueeze(1)
        now = embed(audience.history([self._train]).of_users(clicked))
        before = embed(audience.without_clicks().history([self._train]).of_users(clicked))
        vectors[clicked] = torch.where(was_trained, vectors[clicked] + now - before, now)
        return vectors

    def _hidden(self, seen: Interactions | None, count: int, filters: Filters) -> Interactions:
        """The pairs that the lists of `count` queries must not hold."""
        excluded = np.unique(self.catalog.numbers(filters.exclude, "exclude"))
        if seen is not None and not len(excluded):
            return seen
        rows = np.repeat(np.arange(count), len(excluded))
        items = np.tile(excluded, count)
        if seen is not None:
            rows = np.concatenate([seen.users, rows])
            items = np.concatenate([seen.items, items])
        return Interactions.from_pairs(rows, items, count, len(self.catalog.items))

    def _search_and_rules(self, by: str, filters: Filters) -> tuple[Search, Rules]:
        """The search and the rules of some filters. They are cached, unless candidates are given."""
        shared = replace(filters, exclude=())
        return self._prepared(by, shared) if filters.candidates is None else self._prepare(by, shared)

    def _prepare(self, by: str, filters: Filters) -> tuple[Search, Rules]:
        allowed = self.catalog.allowed(filters)
        search = self._matrices.search(by)
        count = len(self.catalog.items)
        limits = [Limit(self.catalog.groups(column), min(most, count)) for column, most in filters.at_most]
        floor = None
        if filters.newest is not None:
            is_new = self.catalog.is_new(filters.newest)
            new = np.flatnonzero(is_new) if allowed is None else allowed[is_new[allowed]]
            floor = Floor(search.among(self._matrices.in_search(by, new)), filters.newest.least)
        if allowed is not None:
            search = search.among(self._matrices.in_search(by, allowed))
        vectors = self._matrices.rows(SCORE if by == POPULARITY else by)
        return search, Rules(tuple(limits), floor, filters.diversity, vectors)

    def _trained_users(self, ids: Sequence[Hashable]) -> Int64Array:
        """The numbers of users with a training interaction.

        Raises:
            InputError: a user is unknown or has none.
        """
        audience = self.audience(ids, unknown="refuse")
        untrained = np.flatnonzero(~self._has_vector(audience))
        if len(untrained):
            raise self._refusal(audience, int(untrained[0]))
        return audience.users

    def _refusal(self, audience: Audience, row: int) -> InputError:
        """The error for a user or visitor of whom nothing is known."""
        number = int(audience.users[row])
        if number < 0:
            return InputError(f"user or history {row + 1}", "no known interaction", "at least one known item")
        return InputError(f"user {self.users.id(number)!r}", "no training interaction", "a user of the training data")
