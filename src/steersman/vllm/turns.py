"""Which answers vLLM has, and which wait until their client's turn comes."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from steersman.serving.errors import BusyError, StoppingError
from steersman.serving.limits import Limits
from steersman.serving.protocol import Finished, Generation, Load, Reason, SteeringInfo
from steersman.serving.queueing import Queue
from steersman.serving.row import RowAnswer


class VllmAnswer(RowAnswer):
    """An answer that vLLM writes.

    Args:
        request: what is asked.
        number: its name in vLLM.
        steerings: those that it names, as they were when it was checked.
        params: what vLLM is asked.
        give_up: called where nobody wants more of it; from any thread, and more than once.
    """

    def __init__(
        self,
        request: Generation,
        number: str,
        steerings: tuple[SteeringInfo, ...],
        params: Any,
        give_up: Callable[["VllmAnswer"], None],
    ) -> None:
        """Nothing has come yet."""
        super().__init__()
        self.request = request
        self.number = number
        self.steerings = steerings
        self.params = params
        self.received = 0
        self._give_up = give_up

    @property
    def client(self) -> str:
        """Who waits for it."""
        return self.request.client

    async def cancel(self, reason: Reason = "stop") -> Finished:
        """Ask for no more tokens, and wait for the word of how it ended."""
        self.reason = reason
        self._give_up(self)
        return await super().cancel(reason)

    def abandon(self) -> None:
        """Ask for no more tokens."""
        super().abandon()
        self._give_up(self)


class Turns:
    """Gives vLLM as many answers as it writes at a time, and a few that are next.

    vLLM takes requests in the order in which they come: so those that would wait there wait here,
    where clients take turns. Without the few, places would stay empty while word of an end travels.

    Args:
        limits: how many answers run and wait.
        begin: gives one to vLLM.
        ended: told of one that is over, and whether it was given up; the next has begun by then.
    """

    def __init__(
        self,
        limits: Limits,
        begin: Callable[[VllmAnswer], "Future[None]"],
        ended: Callable[[VllmAnswer, bool], None],
    ) -> None:
        """None has come."""
        ahead = min(limits.running // 4 + 1, limits.waiting)
        self._running, self._most = limits.running, limits.running + ahead
        self._waiting: Queue[VllmAnswer] = Queue(limits.waiting - ahead)
        self._begin, self._ended = begin, ended
        self._begun: dict[VllmAnswer, Future[None]] = {}
        self._closed = False
        # One that is over at once is over while the next is being begun.
        self._change = threading.RLock()

    @property
    def load(self) -> Load:
        """How many answers vLLM can be writing, and all others."""
        begun, waiting = len(self._begun), len(self._waiting)
        running = min(begun, self._running)
        return Load(running, begun - running + waiting)

    def enter(self, answer: VllmAnswer) -> None:
        """Let an answer begin, or wait.

        Raises:
            BusyError: as many wait as may.
            StoppingError: nothing begins any more.
        """
        with self._change:
            if self._closed:
                raise StoppingError("the server is shutting down.")
            if len(self._begun) < self._most:
                self._start(answer)
            elif self._waiting.full(answer.client):
                raise BusyError(f"{self.load.waiting} answers wait already; come again later.")
            else:
                self._waiting.put(answer)

    def give_up(self, answer: VllmAnswer) -> None:
        """Nobody wants more of an answer; harmless where it is over."""
        with self._change:
            future = self._begun.get(answer)
            if future is None and any(one is answer for one in self._waiting):
                self._waiting.drop(answer)
                answer.put(Finished(answer.reason))
        if future is not None:
            future.cancel()

    def close(self) -> tuple[VllmAnswer, ...]:
        """Let none begin any more; those that are not over."""
        with self._change:
            self._closed = True
            return (*self._begun, *self._waiting)

    def _start(self, answer: VllmAnswer) -> None:
        future = self._begun[answer] = self._begin(answer)
        future.add_done_callback(lambda done: self._over(answer, done))

    def _over(self, answer: VllmAnswer, done: "Future[None]") -> None:
        with self._change:
            del self._begun[answer]
            while len(self._waiting) and len(self._begun) < self._most and not self._closed:
                self._start(self._waiting.take())
        self._ended(answer, done.cancelled())
