"""The web application of a run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from starlette.middleware.cors import CORSMiddleware

import prismrec
from prismrec.serving import api, views
from prismrec.serving.gate import RUN_HEADER, Gate
from prismrec.serving.logs import log, metrics_text
from prismrec.serving.problems import Problem, documented, install_handlers
from prismrec.serving.settings import SCRIPTS, ServerSettings
from prismrec.serving.swap import Current

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_FILES = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css")}
_PAGE_FILES |= {f"/{name}": (name, "text/javascript") for name in SCRIPTS}


def create_app(settings: ServerSettings) -> FastAPI:
    """Load the run and make the application that serves it.

    Raises:
        InputError: the run cannot be served.
    """
    current = Current(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        log("loaded", run=current.served.name)
        watching = asyncio.create_task(current.watch(settings.watch_seconds)) if settings.watch_seconds else None
        yield
        if watching is not None:
            watching.cancel()

    app = FastAPI(
        title="prismrec",
        version=prismrec.__version__,
        summary="Recommendations, similar items and reasons from one run.",
        description="docs/serving.md explains the requests. Errors are problems (RFC 9457).",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.limits = settings.limits
    app.include_router(api.router)
    app.include_router(views.router)
    _add_state_routes(app, current)
    _add_page(app)
    install_handlers(app)
    app.add_middleware(Gate, settings=settings, current=current)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=[RUN_HEADER],
        )
    _complete_description(app, settings)
    return app


def _complete_description(app: FastAPI, settings: ServerSettings) -> None:
    """Add problems and the token to the OpenAPI description."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        schema = describe()
        schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        if settings.token is not None:
            schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_state_routes(app: FastAPI, current: Current) -> None:
    @app.get("/health", tags=["state"], summary="Whether the process runs")
    async def health() -> dict[str, str]:
        """Always answers while the process runs."""
        return {"status": "ok"}

    @app.get("/ready", tags=["state"], summary="The run that answers now, and one that was refused")
    async def ready() -> dict[str, str | None]:
        """The run that answers now. `refused` says why the run behind the path is not served."""
        refused = current.refused
        return {"run": current.served.name, "refused": None if refused is None else refused.reason}

    @app.get(
        "/metrics",
        tags=["state"],
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={**documented(401), 200: {"content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        """Counts and times of all worker processes."""
        text, media_type = metrics_text()
        return Response(text, media_type=media_type)


def _add_page(app: FastAPI) -> None:
    """Serve the files of the page."""
    folder = files("prismrec.serving") / "page"
    for path, (name, media_type) in _PAGE_FILES.items():
        content = (folder / name).read_bytes()
        response = _page_route(content, media_type)
        app.add_api_route(path, response, methods=["GET"], include_in_schema=False)


def _page_route(content: bytes, media_type: str) -> Any:
    headers = {"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"}

    async def page() -> Response:
        return Response(content, media_type=media_type, headers=headers)

    return page
