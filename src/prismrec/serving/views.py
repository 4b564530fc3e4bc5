"""The routes that the page uses beside those of retrieval: search, items, users, pictures, the run in numbers."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field

from prismrec.serving.answers import item_rows
from prismrec.serving.api import answer, served_run
from prismrec.serving.bodies import Row
from prismrec.serving.pictures import Picture
from prismrec.serving.problems import RefusalError, documented
from prismrec.serving.served import ServedRun

router = APIRouter(prefix="/api", tags=["views"], responses=documented(401, 413, 422, 503))

Identifier = Annotated[str, Query(min_length=1, max_length=1000)]


class Described(BaseModel):
    """An item with its row of the item table."""

    item: str
    fields: Row


class ItemAnswer(Described):
    """An item."""

    clicks: int = Field(description="Training interactions.")
    picture: bool = Field(description="Whether /api/picture has its picture.")
    alike: list[str] = Field(description="Modalities by which it can be compared.")


class UserAnswer(BaseModel):
    """A user."""

    user: str
    clicks: int = Field(description="Items of the history, of all splits.")
    trained: bool = Field(description="Whether the user has a training interaction.")
    history: list[Described] = Field(description="At most `limit` of them.")


class FoundUser(BaseModel):
    """A user that a search found."""

    user: str
    clicks: int


class SearchAnswer(BaseModel):
    """What a search found, the best first."""

    items: list[Described]
    users: list[FoundUser]


@router.get("/search", response_model=SearchAnswer, summary="Search in titles and ids")
async def search(
    request: Request,
    q: Annotated[str, Query(max_length=200, description="Words; empty for the most popular.", examples=["lamp"])] = "",
    kind: Literal["items", "users", "both"] = "both",
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Response:
    """Items whose title or id contains all words, and users whose id does."""
    served = served_run(request)

    def ask() -> Row:
        items = served.texts.search(q, limit) if kind != "users" else []
        users = served.users.search(q, limit) if kind != "items" else []
        names = served.run.users.ids_of(users).to_list()
        degrees = served.run.train.user_degrees[users].tolist()
        return {
            "items": item_rows(served.texts.table, served.run.items, items),
            "users": [{"user": name, "clicks": clicks} for name, clicks in zip(names, degrees, strict=True)],
        }

    return answer(await served.answerer.ask(ask))


@router.get("/item", response_model=ItemAnswer, summary="Describe an item", responses=documented(404))
async def item(request: Request, id: Identifier) -> Response:
    """An item with its row of the item table."""
    served = served_run(request)
    number = _number(served, id)
    described = item_rows(served.texts.table, served.run.items, [number])[0]
    alike = [name for name, rows in served.run.features.items() if rows[number].any()]
    described["clicks"] = int(served.run.train.item_degrees[number])
    described["picture"] = _picture(served, number) is not None
    described["alike"] = alike
    return answer(described)


@router.get("/user", response_model=UserAnswer, summary="Describe a user", responses=documented(404))
async def user(
    request: Request,
    id: Identifier,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """The history of a user."""
    run = served_run(request).run
    if id not in run.users:
        raise RefusalError(404, "no such user")
    number = run.users.number(id)
    items = [int(each) for part in (run.train, run.valid, run.test) for each in part.items_of(number)]
    content = {
        "user": id,
        "clicks": len(items),
        "trained": bool(run.train.user_degrees[number]),
        "history": item_rows(served_run(request).texts.table, run.items, items[:limit]),
    }
    return answer(content)


@router.get(
    "/picture",
    response_class=FileResponse,
    summary="The picture of an item",
    responses={**documented(404), 200: {"content": {"image/*": {}}}},
)
async def picture(request: Request, id: Identifier) -> FileResponse:
    """The file that the item table names, from the folder of the data set only."""
    served = served_run(request)
    found = await asyncio.to_thread(_picture, served, _number(served, id))
    if found is None:
        raise RefusalError(404, "no picture of this item")
    return FileResponse(found.path, media_type=found.media_type, headers={"Cache-Control": "private, max-age=300"})


@router.get("/run", summary="The run in numbers")
async def run(request: Request) -> Response:
    """Metrics, training curve, popularity of recommendations, and the columns of the item table."""
    served = served_run(request)
    insight = await asyncio.to_thread(lambda: served.insight)
    content = {
        "run": served.name,
        **insight.to_dict(),
        "columns": {name: str(dtype) for name, dtype in served.texts.table.schema.items()},
        "title": served.texts.title,
        "image": served.texts.image,
        "pictures": served.pictures is not None,
        "modalities": list(served.run.features),
    }
    return answer(content)


def _number(served: ServedRun, identifier: str) -> int:
    if identifier not in served.run.items:
        raise RefusalError(404, "no such item")
    return served.run.items.number(identifier)


def _picture(served: ServedRun, number: int) -> Picture | None:
    if served.pictures is None or served.texts.image is None:
        return None
    name = served.texts.table[served.texts.image][number]
    return served.pictures.find(name) if name else None
