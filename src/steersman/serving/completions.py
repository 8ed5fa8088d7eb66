"""`/v1/chat/completions` and `/v1/completions`."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from steersman.serving.answering import Form
from steersman.serving.asking import Job, job_of
from steersman.serving.documented import ERRORS, STREAM
from steersman.serving.leaving import ClientGoneError, EventStream, until_gone
from steersman.serving.openai_schema import (
    ChatCompletion,
    ChatRequest,
    Completion,
    CompletionRequest,
)
from steersman.serving.service import Service
from steersman.serving.writing import Piece, begin

_GONE = 499
"""The usual status for a client that went away, which nobody is sent."""


def completions_router(service: Service) -> APIRouter:
    """The routes that write.

    Args:
        service: what they share.
    """
    router = APIRouter(prefix="/v1")
    answers: dict[str, Any] = {"responses": {**ERRORS, 200: STREAM}}

    @router.post("/chat/completions", response_model=ChatCompletion, **answers)
    async def chat_completions(asked: ChatRequest, request: Request) -> Response:
        """Answer a conversation."""
        return await _answer(service, asked, request)

    @router.post("/completions", response_model=Completion, **answers)
    async def completions(asked: CompletionRequest, request: Request) -> Response:
        """Continue a text."""
        return await _answer(service, asked, request)

    return router


async def _answer(
    service: Service, asked: ChatRequest | CompletionRequest, request: Request
) -> Response:
    loop = asyncio.get_running_loop()
    client = request.client.host if request.client else ""
    job = await loop.run_in_executor(service.worker, job_of, service, asked, client)
    usage = asked.stream_options is not None and asked.stream_options.include_usage
    form = Form(asked.model, isinstance(asked, ChatRequest), usage)
    try:
        if asked.stream:
            return await _stream(service, job, form, request)
        return await until_gone(request.receive, _whole(service, job, form))
    except ClientGoneError:
        service.metrics.abandoned()
        return Response(status_code=_GONE)


async def _whole(service: Service, job: Job, form: Form) -> Response:
    pieces = begin(service, job)
    try:
        found = [piece async for piece in pieces]
    finally:
        await pieces.aclose()
    return JSONResponse(form.whole(job, found).model_dump(exclude_unset=False))


async def _stream(service: Service, job: Job, form: Form, request: Request) -> Response:
    """A stream, once there is something in it: what is wrong before is an error of its own."""
    pieces = begin(service, job)

    async def first() -> Piece:
        return await anext(pieces)

    try:
        piece = await until_gone(request.receive, first())
    except BaseException:
        await pieces.aclose()
        raise
    events = form.events(job, pieces, piece)
    return EventStream(events, pieces.aclose, service.metrics.abandoned)
