"""Errors as application/problem+json (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from prismrec.errors import InputError, ParameterError

_MEDIA_TYPE = "application/problem+json"
_MEANINGS = {
    400: "The body is not JSON.",
    401: "The bearer token is missing or wrong.",
    404: "There is no such item, user or picture.",
    413: "The body is larger than the server accepts.",
    415: "The Content-Type of the body is not JSON.",
    422: "An id is unknown, or a parameter cannot be used.",
    503: "The server has too much to do, or the request took too long. Try again later.",
}


class Problem(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "where: found column 'prize' in 'prize < 20'; expected columns of the item table: price",
                "parameter": "where",
            }
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    parameter: str | None = None


class RefusalError(Exception):
    """A request that is refused with a status and an explanation."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.detail = detail
        self.headers = headers
        super().__init__(detail)


def problem(
    status: int, detail: str, *, parameter: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The response for a refused request."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if parameter is not None:
        body["parameter"] = parameter
    return Response(json.dumps(body), status, dict(headers or {}), _MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may be refused with some statuses."""
    content = {_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in sorted(statuses)}


def install_handlers(app: FastAPI) -> None:
    """Let every error of an app become a problem."""

    @app.exception_handler(InputError)
    async def _(_request: Request, error: InputError) -> Response:
        parameter = error.parameter if isinstance(error, ParameterError) else None
        return problem(422, str(error), parameter=parameter)

    @app.exception_handler(RefusalError)
    async def _(_request: Request, error: RefusalError) -> Response:
        return problem(error.status, error.detail, headers=error.headers)

    @app.exception_handler(HTTPException)
    async def _(_request: Request, error: HTTPException) -> Response:
        is_body = error.status_code == 400  # nested too deep, or not UTF-8
        detail = "body: found something that cannot be read as JSON; expected JSON" if is_body else str(error.detail)
        return problem(error.status_code, detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        if isinstance(error.body, bytes):  # FastAPI reads only bodies that say that they are JSON
            given = request.headers.get("content-type", "no type")
            return problem(415, f"Content-Type: found {given}; expected application/json")
        first = error.errors()[0]
        place = ".".join([str(part) for part in first["loc"] if part not in ("body", "query")])
        if first["type"] == "json_invalid":
            return problem(400, f"body: found text that is not JSON ({first['ctx']['error']}); expected JSON")
        return problem(422, f"{place or 'body'}: {first['msg']}", parameter=place or None)
