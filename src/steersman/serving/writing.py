"""Write the answers to one request: text as it comes, from all of its choices at once."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from steersman.serving.asking import Job
from steersman.serving.errors import RequestError, TimedOutError
from steersman.serving.protocol import Answer, Finished, Generation, Reason, Token
from steersman.serving.service import Service
from steersman.serving.text import Text


@dataclass(frozen=True)
class Piece:
    """More of one choice.

    Args:
        index: which.
        text: what is new.
        reason: why it ended; None where it goes on.
        tokens: how many it had in all, once it has ended.
        report: what its steerings did, once it has ended and if that was asked for.
        readings: its tokens that are new, if that was asked for.
    """

    index: int
    text: str
    reason: Reason | None = None
    tokens: int = 0
    report: list[dict[str, Any]] | None = None
    readings: tuple[dict[str, Any], ...] = ()


Pieces = AsyncGenerator[Piece, None]


def begin(service: Service, job: Job) -> Pieces:
    """Ask for all answers at once; close what is returned to give them up.

    Raises:
        RequestError: the engine takes no more, or a steering is gone.
    """
    answers: list[Answer] = []
    try:
        for generation in job.generations:
            answers.append(service.engine.submit(generation))
    except RequestError:
        for answer in answers:
            answer.abandon()
        raise
    for generation in job.generations:
        service.metrics.begun(generation)
    return _merged(service, job, answers)


async def _merged(service: Service, job: Job, answers: list[Answer]) -> Pieces:
    """The pieces of all choices as they come."""
    loop = asyncio.get_running_loop()
    began, deadline = time.perf_counter(), loop.time() + service.limits.timeout
    ready: asyncio.Queue[Piece | Exception] = asyncio.Queue()
    tasks = [
        loop.create_task(_pump(service, job, index, answer, ready))
        for index, answer in enumerate(answers)
    ]
    left, first = len(answers), True
    try:
        while left:
            piece = await _next(ready, deadline, service.limits.timeout)
            if first:
                service.metrics.first(time.perf_counter() - began)
            first, left = False, left - (piece.reason is not None)
            yield piece
    finally:
        for task in tasks:
            task.cancel()
        for answer in answers:
            answer.abandon()


async def _next(
    ready: "asyncio.Queue[Piece | Exception]", deadline: float, seconds: float
) -> Piece:
    try:
        async with asyncio.timeout_at(deadline):
            found = await ready.get()
    except TimeoutError:
        raise TimedOutError(f"the answer took more than {seconds:g} seconds.") from None
    if isinstance(found, Exception):
        raise found
    return found


async def _pump(
    service: Service,
    job: Job,
    index: int,
    answer: Answer,
    ready: "asyncio.Queue[Piece | Exception]",
) -> None:
    """Bring one answer's pieces to where all come together."""
    try:
        async with aclosing(_pieces(service, job, index, answer)) as pieces:
            async for piece in pieces:
                ready.put_nowait(piece)
    except Exception as error:
        ready.put_nowait(error)


async def _pieces(service: Service, job: Job, index: int, answer: Answer) -> Pieces:
    """One answer, as text."""
    generation: Generation = job.generations[index]
    text = Text(service.engine.tokenizer, generation.prompt, job.stops, job.fresh)
    tokens = 0
    async for event in answer:
        if isinstance(event, Finished):
            rest = text.end()
            yield Piece(index, rest, "stop" if text.stopped else event.reason, tokens, event.report)
            return
        tokens += 1
        service.metrics.written(1)
        new = text.add(event.id)
        readings = (_reading(event, new),) if generation.readings else ()
        if text.stopped:
            report = (await answer.cancel()).report if generation.report else None
            yield Piece(index, new, "stop", tokens, report, readings)
            return
        if new or readings:
            yield Piece(index, new, readings=readings)


def _reading(token: Token, text: str) -> dict[str, Any]:
    """A token as clients are told of it."""
    return {"id": token.id, "text": text, "features": token.features}


def whole(pieces: list[Piece], count: int) -> list[Piece]:
    """Each choice in one piece.

    Args:
        pieces: of all of them, as they came.
        count: how many choices there are.
    """
    ends = {piece.index: piece for piece in pieces if piece.reason is not None}
    return [
        Piece(
            index,
            "".join(piece.text for piece in pieces if piece.index == index),
            ends[index].reason,
            ends[index].tokens,
            ends[index].report,
            tuple(one for piece in pieces if piece.index == index for one in piece.readings),
        )
        for index in range(count)
    ]
