"""One answer while it is written: what was asked, what was chosen, and where its tokens go."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from steersman.methods import ReferenceName
from steersman.serving.choosing import generator_of
from steersman.serving.errors import RequestError
from steersman.serving.protocol import Event, Finished, Generation, Reason
from steersman.serving.recording import Recording
from steersman.steering import Steering


@dataclass(frozen=True, eq=False)
class Served:
    """A steering under the name by which it is served; loaded again, it is another one."""

    name: str
    steering: Steering

    @property
    def reference(self) -> ReferenceName:
        """What its strengths are against."""
        return self.steering.method.reference


class Row:
    """An answer, as the engine's thread sees it.

    Args:
        request: what is asked.
        steerings: what steers it, with the strength of each feature.
        answer: where the tokens go.
    """

    def __init__(
        self,
        request: Generation,
        steerings: Mapping[Served, Mapping[str, float]],
        answer: "RowAnswer",
    ) -> None:
        """Nothing is written yet."""
        self.request = request
        self.steerings = steerings
        self.answer = answer
        self.generator: torch.Generator = generator_of(request.sampling.seed)
        self.recording = Recording(steerings) if request.report else None
        self.watched = request.report or request.readings
        self.written = 0
        self.last = request.prompt[-1]

    @property
    def client(self) -> str:
        """Who waits for it."""
        return self.request.client

    @property
    def report(self) -> list[dict[str, Any]] | None:
        """What its steerings did, where that was asked for."""
        return None if self.recording is None else self.recording.report()

    def finish(self, reason: Reason) -> None:
        """Tell that nothing more comes."""
        self.answer.put(Finished(reason, self.report))


class RowAnswer:
    """The client's end of a row: an event loop reads what the engine's thread puts in.

    Made in an event loop, which is the one that reads.
    """

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self._stopped = threading.Event()
        self._ended: Finished | None = None
        self.reason: Reason = "stop"

    @property
    def stopped(self) -> bool:
        """Whether nobody wants more."""
        return self._stopped.is_set()

    def put(self, event: Event | Exception) -> None:
        """Hand an event over, from any thread; where the loop has ended, nobody reads it."""
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:
            self._stopped.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Tokens, and `Finished` at the end."""
        while True:
            event = await self._events.get()
            if isinstance(event, Exception):
                raise event
            if isinstance(event, Finished):
                self._ended = event
            yield event
            if self._ended is not None:
                return

    async def cancel(self, reason: Reason = "stop") -> Finished:
        """Ask for no more tokens, and wait for the word of how it ended.

        Raises:
            RequestError: it ended in an error.
        """
        self.reason = reason
        self._stopped.set()
        if self._ended is None:
            async for _ in self:
                pass
        if self._ended is None:
            raise RequestError("the answer broke off.")
        return self._ended

    def abandon(self) -> None:
        """Ask for no more tokens."""
        self._stopped.set()
