"""What stands in front of the routes lets nobody wait for ever."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from steersman.serving.guard import Guard
from steersman.serving.leaving import EventStream
from steersman.serving.limits import Limits
from steersman.serving.metrics import Metrics
from steersman.serving.service import Service


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
    limits = Limits(idle=0.1)
    service = Service.__new__(Service)
    for name, value in {"limits": limits, "key": None, "metrics": metrics}.items():
        object.__setattr__(service, name, value)
    scope = {"type": "http", "path": "/v1/completions", "headers": [], "method": "POST"}

    async def answered() -> None:
        await asyncio.wait_for(Guard(app, service)(scope, receive, send), 10)

    asyncio.run(answered())
    assert len(sent) == 6 and closed == [True]
    assert b"steersman_abandoned_requests_total 1.0" in metrics.text()
