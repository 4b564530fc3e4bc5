"""The routes of retrieval: recommendations, similar items, reasons, new items."""

from typing import cast

import torch
from fastapi import APIRouter, Request
from fastapi.responses import Response

from prismrec.errors import InputError, ParameterError
from prismrec.retrieval import Lists, score_new, similar_to_new
from prismrec.serving.answers import json_bytes, ranked_lists, reasons
from prismrec.serving.batches import Wanted, join_lists, part_size
from prismrec.serving.bodies import (
    ExplainAnswer,
    ExplainBody,
    NewItemsAnswer,
    NewItemsBody,
    RecommendAnswer,
    RecommendBody,
    Row,
    SimilarAnswer,
    SimilarBody,
)
from prismrec.serving.logs import count_lists
from prismrec.serving.problems import documented
from prismrec.serving.served import ServedRun
from prismrec.serving.settings import Limits

router = APIRouter(prefix="/api", tags=["retrieval"], responses=documented(400, 401, 413, 415, 422, 503))


def served_run(request: Request) -> ServedRun:
    """The run that answers this request from beginning to end.

    Routes call this function themselves. As a dependency it would cost more than the rest of the handling.
    """
    return cast(ServedRun, request.state.served)


def limits_of(request: Request) -> Limits:
    """The limits of the server."""
    return cast(Limits, request.app.state.limits)


def answer(content: object) -> Response:
    """An answer as JSON."""
    return Response(json_bytes(content), media_type="application/json")


@router.post("/recommend", response_model=RecommendAnswer, summary="Recommend items to users or visitors")
async def recommend(body: RecommendBody, request: Request) -> Response:
    """The best items for each user, or for each visitor with a history of clicks."""
    served = served_run(request)
    _check_size(limits_of(request), body.k, body.size)
    wanted = Wanted(body.users, body.histories, body.k, body.filters(), body.seen, body.unknown)
    lists = await served.answerer.recommend(wanted)
    count_lists(body.size)
    content = {
        "run": served.name,
        "lists": ranked_lists(lists, served.retriever, body.columns),
        "ignored": [str(each) for each in lists.ignored],
    }
    return answer(content)


@router.post("/similar", response_model=SimilarAnswer, summary="Find similar items")
async def similar(body: SimilarBody, request: Request) -> Response:
    """The items that are most similar to each item: by what the model learned, or by the features of one modality."""
    served = served_run(request)
    _check_size(limits_of(request), body.k, len(body.items))
    filters = body.filters()

    def ask(part: slice) -> Lists:
        return served.retriever.similar(body.items[part], body.k, body.by, filters)

    parts = await served.answerer.ask_in_parts(len(body.items), ask, part_size(filters))
    lists = join_lists(parts)
    count_lists(len(body.items))
    return answer({"run": served.name, "lists": ranked_lists(lists, served.retriever, body.columns)})


@router.post("/explain", response_model=ExplainAnswer, summary="Explain recommendations")
async def explain(body: ExplainBody, request: Request) -> Response:
    """Which items of a history speak for recommended items, and by which modality they resemble them."""
    served = served_run(request)
    _check_size(limits_of(request), 1, len(body.items))
    users = None if body.user is None else [body.user]
    histories = None if body.history is None else [body.history]

    audience = await served.answerer.ask(lambda: served.retriever.audience(users, histories, "refuse"))

    def ask(part: slice) -> tuple[bool, list[Row]]:
        found = served.retriever.explain(audience, body.items[part])
        return found.exact, reasons(found, served.run.items, body.k)

    parts = await served.answerer.ask_in_parts(len(body.items), ask)
    rows = [row for _, rows in parts for row in rows]
    return answer({"run": served.name, "exact": parts[0][0], "reasons": rows, "ignored": audience.ignored})


@router.post("/new-items", response_model=NewItemsAnswer, summary="Place new items by their features")
async def new_items(body: NewItemsBody, request: Request) -> Response:
    """For items that the run does not have: similar items, and scores for users. `prismrec update` adds them."""
    served = served_run(request)
    limits = limits_of(request)
    count = len(next(iter(body.features.values())))
    _check_size(limits, body.k, count)
    _check_size(limits, max(len(body.users), 1), max(count, 1))
    features = {modality: _matrix(modality, rows, count) for modality, rows in body.features.items()}
    filters = body.filters()

    def ask(part: slice) -> tuple[Lists, torch.Tensor]:
        rows = {modality: matrix[part] for modality, matrix in features.items()}
        lists = similar_to_new(served.retriever, rows, body.k, filters)
        return lists, score_new(served.retriever, body.users, rows)

    parts = await served.answerer.ask_in_parts(count, ask, part_size(filters))
    ranked = ranked_lists(join_lists([lists for lists, _ in parts]), served.retriever, body.columns)
    scores = torch.cat([scores for _, scores in parts], dim=1)  # [users, new items]
    return answer({"run": served.name, "lists": ranked, "scores": scores.T.tolist()})


def _check_size(limits: Limits, k: int, lists: int) -> None:
    """Refuse requests for too much.

    Raises:
        ParameterError: k or the number of lists is too large.
    """
    if k > limits.k:
        raise ParameterError("k", f"{k}", f"{limits.k} or less on this server")
    if lists > limits.batch:
        raise InputError("request", f"{lists} lists", f"{limits.batch} or fewer on this server")
    if k * lists > limits.entries:
        raise ParameterError("k", f"{k} for {lists} lists", f"{limits.entries:,} items or fewer in all")


def _matrix(modality: str, rows: list[list[float]], count: int) -> torch.Tensor:
    """Features as a matrix.

    Raises:
        ParameterError: the rows differ in length, or in number from those of another modality, or float32 cannot hold
            a number.
    """
    widths = {len(row) for row in rows}
    if len(rows) != count or len(widths) != 1:
        found = f"{len(rows)} rows of {sorted(widths)} numbers for {modality!r}"
        raise ParameterError("features", found, f"{count} rows of one length")
    matrix = torch.tensor(rows, dtype=torch.float32)
    bad = (~matrix.isfinite()).nonzero().tolist()
    if bad:
        row, column = bad[0]
        expected = f"numbers within ±{torch.finfo(torch.float32).max:.2e}, the range of float32"
        raise ParameterError("features", f"{rows[row][column]} in row {row} of {modality!r}", expected)
    return matrix
