"""Clients take turns before vLLM's own queue, which is filled no further than it has to be."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from steersman.serving.errors import BusyError, StoppingError
from steersman.serving.limits import Limits
from steersman.serving.protocol import Finished, Generation, Sampling
from steersman.vllm.turns import Turns, VllmAnswer


class Engine:
    """Begins answers and lets the test end them."""

    def __init__(self, running: int, waiting: int) -> None:
        self.begun: list[tuple[str, Future[None]]] = []
        self.ended: list[tuple[str, bool]] = []
        limits = Limits(running=running, waiting=waiting)
        self.turns = Turns(limits, self.begin, self.over)

    def begin(self, answer: VllmAnswer) -> "Future[None]":
        future: Future[None] = Future()
        self.begun.append((answer.number, future))
        return future

    def over(self, answer: VllmAnswer, given_up: bool) -> None:
        self.ended.append((answer.number, given_up))

    def enter(self, client: str, number: str) -> VllmAnswer:
        asked = Generation((1,), Sampling(1), client=client)
        answer = VllmAnswer(asked, number, (), None, self.turns.give_up)
        self.turns.enter(answer)
        return answer

    @property
    def order(self) -> list[str]:
        return [number for number, _ in self.begun]

    @property
    def load(self) -> tuple[int, int]:
        return self.turns.load.running, self.turns.load.waiting


def within_a_loop(test: Callable[[], None]) -> None:
    async def run() -> None:
        test()

    asyncio.run(run())


def test_a_client_with_one_answer_does_not_wait_for_another_s_hundred() -> None:
    def check() -> None:
        engine = Engine(running=2, waiting=20)
        for i in range(9):
            engine.enter("many", f"m{i}")
        engine.enter("few", "f0")
        engine.enter("few", "f1")
        # Two run and one is next in vLLM, whose turn is past changing.
        assert engine.order == ["m0", "m1", "m2"]
        assert engine.load == (2, 9)
        for _, future in engine.begun:  # grows while it is gone through
            future.set_result(None)
        assert engine.order[3:] == ["m3", "f0", "m4", "f1", "m5", "m6", "m7", "m8"]
        assert engine.load == (0, 0)
        assert [number for number, _ in engine.ended] == engine.order

    within_a_loop(check)


@pytest.mark.parametrize("waiting", [1, 2, 7])
def test_no_more_wait_than_may(waiting: int) -> None:
    def check() -> None:
        engine = Engine(running=4, waiting=waiting)
        for i in range(4 + waiting):
            engine.enter("a", str(i))
        assert engine.load == (4, waiting)
        with pytest.raises(BusyError, match=f"{waiting} answers wait already"):
            engine.enter("a", "more")
        assert engine.load == (4, waiting)

    within_a_loop(check)


def test_what_is_given_up_while_it_waits_never_begins() -> None:
    async def run() -> Any:
        engine = Engine(running=1, waiting=5)
        answers = [engine.enter("a", str(i)) for i in range(4)]
        answers[3].abandon()
        answers[3].abandon()
        found = await answers[2].cancel("length")
        assert engine.load == (1, 1)
        answers[0].abandon()
        assert engine.ended == [("0", True)] and engine.begun[0][1].cancelled()
        engine.begun[1][1].set_result(None)
        assert engine.order == ["0", "1"] and engine.load == (0, 0)
        answers[0].abandon()
        return found

    found = asyncio.run(run())
    assert isinstance(found, Finished) and found.reason == "length"


def test_one_that_is_over_at_once_lets_the_next_begin() -> None:
    class Instant(Engine):
        def begin(self, answer: VllmAnswer) -> "Future[None]":
            future = super().begin(answer)
            if answer.number != "0":
                future.set_result(None)
            return future

    def check() -> None:
        engine = Instant(running=1, waiting=9)
        for i in range(6):
            engine.enter("a", str(i))
        assert engine.order == ["0", "1", "2", "3", "4", "5"]
        assert engine.load == (1, 0)

    within_a_loop(check)


def test_nothing_begins_behind_the_end() -> None:
    def check() -> None:
        engine = Engine(running=1, waiting=5)
        answers = [engine.enter("a", str(i)) for i in range(4)]
        assert engine.turns.close() == tuple(answers)
        for one in answers:
            one.abandon()
        assert engine.order == ["0", "1"]
        with pytest.raises(StoppingError):
            engine.enter("a", "late")

    within_a_loop(check)
