"""What the OpenAPI schema says of answers that are no success."""

from typing import Any

from steersman.serving.openai_schema import ErrorBody

_ERROR: dict[str, Any] = {"model": ErrorBody}
ERRORS: dict[int | str, dict[str, Any]] = {
    400: _ERROR | {"description": "The request cannot be answered; the message says why."},
    401: _ERROR | {"description": "No API key, or a wrong one."},
    404: _ERROR | {"description": "No such model or steering."},
    408: _ERROR | {"description": "The request did not come."},
    413: _ERROR | {"description": "The request is too large."},
    429: _ERROR | {"description": "Too many requests wait already."},
    500: _ERROR | {"description": "Something went wrong here."},
    503: _ERROR | {"description": "The server is shutting down, or its engine has ended."},
    504: _ERROR | {"description": "The answer took too long."},
}
STREAM: dict[str, Any] = {
    "description": "The answer, or a stream of events where `stream` is true.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
