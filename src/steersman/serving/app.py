"""The HTTP face of an engine."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from steersman import __version__
from steersman.errors import MissingExtraError
from steersman.serving.errors import (
    FailedError,
    NotThereError,
    RequestError,
    WrongMethodError,
)

try:
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse
except ImportError as missing:
    raise MissingExtraError("fastapi", "serve", "The server") from missing

from steersman.serving.completions import completions_router
from steersman.serving.guard import Guard
from steersman.serving.listing import listing_router, steerings_router
from steersman.serving.playground import playground_router
from steersman.serving.service import Service

_log = logging.getLogger(__name__)


def create_app(service: Service) -> Guard:
    """The ASGI application of a service; its engine stops with it.

    Args:
        service: what is served.
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        service.metrics.watch(service.engine)
        yield
        service.close()

    app = FastAPI(
        title="Steersman",
        version=__version__,
        summary="An OpenAI-compatible server whose requests are steered.",
        lifespan=living,
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(completions_router(service))
    app.include_router(listing_router(service))
    app.include_router(steerings_router(service))
    app.include_router(playground_router())
    _tell_errors(app)
    return Guard(app, service)


def _tell_errors(app: FastAPI) -> None:
    """Let every error be told in OpenAI's form."""

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> JSONResponse:
        return _response(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        return _response(_first(error.errors()))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        told = _of_status(error, request)
        return JSONResponse(told.body, told.status, {**told.headers, **(error.headers or {})})

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        _log.error("a request failed", exc_info=error)
        return _response(FailedError("the request failed; the server's log says why."))


def _response(error: RequestError) -> JSONResponse:
    return JSONResponse(error.body, error.status, error.headers)


def _of_status(error: HTTPException, request: Request) -> RequestError:
    if error.status_code == NotThereError.status:
        return NotThereError(f"there is no {request.url.path} here.")
    if error.status_code == WrongMethodError.status:
        return WrongMethodError(f"{request.url.path} does not take {request.method}.")
    return RequestError(f"the request cannot be read: {error.detail}")


def _first(errors: Sequence[dict[str, Any]]) -> RequestError:
    """The first thing that is wrong with the fields of a request."""
    one = errors[0] if errors else {"loc": (), "msg": "it is malformed", "type": ""}
    if one["type"] == "json_invalid":
        return RequestError("the body is not JSON.")
    place = ".".join(str(part) for part in one["loc"][1:])
    if one["type"] == "extra_forbidden":
        return RequestError(f"this server does not take {place!r}.", place, "unknown_parameter")
    param = str(one["loc"][1]) if place else None
    return RequestError(f"{place or 'the request'}: {one['msg']}.", param)
