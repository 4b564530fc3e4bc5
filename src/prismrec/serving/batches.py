"""One thread answers all requests. Waiting requests for the same kind of list are answered together.

A list for one user reads all item vectors. Lists for several users together read them once, so a server under load
answers many more requests than one by one.

A large request is computed in parts. Other requests get their turn between two parts, and no further part is computed
for a request that has run out of time.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import ParamSpec, TypeVar, cast

import numpy as np
import torch

from prismrec.retrieval import Audience, Filters, Lists, Retriever, Unknown
from prismrec.serving.problems import RefusalError
from prismrec.types import Interactions

P = ParamSpec("P")
T = TypeVar("T")

_LARGEST_BATCH = 256
"""Lists that are computed together."""
_TURNS = 3
"""Turns of the event loop from the arrival of a request to the queue: read, start a task, receive the body."""
_PART = 64
"""Lists, or items to explain, in a part of a large request."""
_VARIED_PART = 4
"""The same with variety, whose lists take longer."""


@dataclass(frozen=True)
class Wanted:
    """Whose lists are wanted, as in `Run.recommend`."""

    users: Sequence[Hashable] | None
    histories: Sequence[Sequence[Hashable]] | None
    k: int
    filters: Filters
    seen: bool
    unknown: Unknown | None

    @property
    def kind(self) -> Hashable:
        """Requests of the same kind can be answered together."""
        return (self.k, self.filters, self.seen, self.unknown)

    @property
    def size(self) -> int:
        """The number of lists."""
        return len(self.users or self.histories or ())


@dataclass(frozen=True)
class _Waiting:
    wanted: Wanted
    audience: Audience | None  # a part of it; None for all
    answer: "asyncio.Future[Lists]"


class Answerer:
    """Answers questions of many requests with one retriever, in one thread."""

    def __init__(self, retriever: Retriever, most_waiting: int) -> None:
        self._retriever = retriever
        self._most_waiting = most_waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retrieval")
        self._waiting: list[_Waiting] = []
        self._others = 0
        self._loop: asyncio.Task[None] | None = None

    async def recommend(self, wanted: Wanted) -> Lists:
        """The lists of one request.

        Raises:
            InputError: as in `Retriever.recommend`.
            RefusalError: too many requests wait.
        """
        self._check_room()
        if wanted.size <= part_size(wanted.filters):
            return await self._queue(wanted, None)
        audience = await self.ask(lambda: self._audience(wanted))
        lists = []
        for rows in _parts(len(audience), part_size(wanted.filters)):
            part = Audience(audience.users[rows], audience.clicks.of_users(np.arange(len(audience))[rows]))
            lists.append(await self._queue(wanted, part))
        return replace(join_lists(lists), ignored=audience.ignored)

    async def _queue(self, wanted: Wanted, audience: Audience | None) -> Lists:
        waiting = _Waiting(wanted, audience, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._loop is None:
            self._loop = asyncio.create_task(self._answer_all())
        return await waiting.answer

    async def ask_in_parts(self, count: int, question: Callable[[slice], T], size: int | None = None) -> list[T]:
        """The answers of a function for parts of `count` things, each called in the thread.

        Raises:
            RefusalError: too many requests wait.
        """
        return [await self.ask(partial(question, part)) for part in _parts(count, size or _PART)]

    async def ask(self, question: Callable[[], T]) -> T:
        """The answer of a function, called in the thread.

        Raises:
            RefusalError: too many requests wait.
        """
        self._check_room()
        self._others += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, question)
        finally:
            self._others -= 1

    def _check_room(self) -> None:
        if len(self._waiting) + self._others >= self._most_waiting:
            raise RefusalError(503, "too many requests are waiting", {"Retry-After": "1"})

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._receive()
            together = self._take()
            answers = await loop.run_in_executor(self._thread, self._answers, together)
            for waiting, answer in zip(together, answers, strict=True):
                if waiting.answer.done():  # its request has run out of time
                    continue
                if isinstance(answer, Exception):
                    waiting.answer.set_exception(answer)
                else:
                    waiting.answer.set_result(answer)
        self._loop = None

    async def _receive(self) -> None:
        """Let requests that have arrived reach the queue, so that one batch answers them all."""
        before = -1
        while before < len(self._waiting) < _LARGEST_BATCH:
            before = len(self._waiting)
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    def _take(self) -> list[_Waiting]:
        """The first waiting request and others of its kind; they no longer wait."""
        kind = self._waiting[0].wanted.kind
        together: list[_Waiting] = []
        others: list[_Waiting] = []
        for each in self._waiting:
            fits = len(together) < _LARGEST_BATCH and each.wanted.kind == kind
            (together if fits else others).append(each)
        self._waiting = others
        return [each for each in together if not each.answer.done()]

    def _answers(self, together: Sequence[_Waiting]) -> list[Lists | Exception]:
        """The answer or the error of each request."""
        audiences = [_outcome(self._audience_of, each) for each in together]
        known = [audience for audience in audiences if isinstance(audience, Audience)]
        if not known:
            return cast("list[Lists | Exception]", audiences)
        wanted = together[0].wanted
        whole = _outcome(self._lists, _joined(known), wanted) if len(known) > 1 else None
        if isinstance(whole, Lists):
            lists = iter(_parted(whole, known))
            return [next(lists) if isinstance(each, Audience) else each for each in audiences]
        # One of them may be refused; the others are not.
        return [_outcome(self._lists, each, wanted) if isinstance(each, Audience) else each for each in audiences]

    def _audience_of(self, waiting: _Waiting) -> Audience:
        return self._audience(waiting.wanted) if waiting.audience is None else waiting.audience

    def _audience(self, wanted: Wanted) -> Audience:
        return self._retriever.audience(wanted.users, wanted.histories, wanted.unknown)

    def _lists(self, audience: Audience, wanted: Wanted) -> Lists:
        return self._retriever.recommend(audience, wanted.k, wanted.filters, seen=wanted.seen, unknown=wanted.unknown)


def part_size(filters: Filters) -> int:
    """How many lists are computed before others get their turn."""
    return _VARIED_PART if filters.diversity else _PART


def _parts(count: int, size: int) -> list[slice]:
    """The numbers 0..count-1 in slices; one empty slice for none."""
    return [slice(start, start + size) for start in range(0, max(count, 1), size)]


def join_lists(parts: Sequence[Lists]) -> Lists:
    """The lists of several parts of a request."""
    items = torch.cat([part.items for part in parts])
    scores = torch.cat([part.scores for part in parts])
    return Lists(items, scores, parts[0].k, np.concatenate([part.popular for part in parts]))


def _outcome(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Exception:
    """The result of a function, or its error."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error


def _joined(audiences: Sequence[Audience]) -> Audience:
    """All users and visitors in one audience."""
    users = np.concatenate([each.users for each in audiences])
    starts = np.cumsum([0, *[len(each) for each in audiences]])
    clicking = [(start, each.clicks) for start, each in zip(starts[:-1], audiences, strict=True) if len(each.clicks)]
    num_items = audiences[0].clicks.num_items
    if not clicking:
        return Audience.of_users(users, num_items)
    rows = np.concatenate([clicks.users + start for start, clicks in clicking])
    items = np.concatenate([clicks.items for _, clicks in clicking])
    return Audience(users, Interactions.from_pairs(rows, items, len(users), num_items))


def _parted(lists: Lists, audiences: Sequence[Audience]) -> list[Lists]:
    """The lists of each audience."""
    parts = []
    start = 0
    for audience in audiences:
        rows = slice(start, start + len(audience))
        parts.append(Lists(lists.items[rows], lists.scores[rows], lists.k, lists.popular[rows], audience.ignored))
        start += len(audience)
    return parts
