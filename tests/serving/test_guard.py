"""What stands in front of the routes lets nobody wait for ever."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from steersman.serving.guard import Guard
from steersman.serving.leaving import EventStream
from steersman.serving.limits import Limits
from steersman.serving.metrics import Metrics
from steersman.serving.service import Service

SCOPE = {"type": "http", "path": "/v1/completions", "headers": [], "method": "POST"}


def service_of(metrics: Metrics) -> Service:
    """All of a service that a guard needs."""
    service = Service.__new__(Service)
    for name, value in {"limits": Limits(idle=0.1), "key": None, "metrics": metrics}.items():
        object.__setattr__(service, name, value)
    return service


def test_a_stream_that_nobody_takes_is_given_up_and_closed() -> None:
    sent, closed = [], []

    async def close() -> None:
        closed.append(True)

    async def events() -> AsyncIterator[bytes]:
        while True:
            yield b"data: {}\n\n"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventStream(events(), close, metrics.abandoned)(scope, receive, send)

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 5:
            await asyncio.Event().wait()  # no more room in any buffer

    messages = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        return await asyncio.Event().wait()

    metrics = Metrics()

    async def answered() -> None:
        await asyncio.wait_for(Guard(app, service_of(metrics))(SCOPE, receive, send), 10)

    asyncio.run(answered())
    assert len(sent) == 6 and closed == [True]
    assert b"steersman_abandoned_requests_total 1.0" in metrics.text()


@pytest.mark.parametrize("turns", range(4))
def test_a_client_that_leaves_as_a_message_has_just_been_sent_is_given_up(turns: int) -> None:
    sent, metrics = [], Metrics()

    async def events() -> AsyncIterator[bytes]:
        for _ in range(1000):
            await asyncio.sleep(0)
            yield b"data: {}\n\n"

    async def close() -> None:
        pass

    async def answered() -> None:
        left, bodies = asyncio.Event(), [{"type": "http.request", "body": b"{}"}]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await EventStream(events(), close, metrics.abandoned)(scope, receive, send)

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == 5:
                left.set()
            for _ in range(turns):
                await asyncio.sleep(0)

        async def receive() -> Any:
            if bodies:
                return bodies.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        await asyncio.wait_for(Guard(app, service_of(metrics))(SCOPE, receive, send), 10)

    asyncio.run(answered())
    assert len(sent) < 10
    assert b"steersman_abandoned_requests_total 1.0" in metrics.text()
