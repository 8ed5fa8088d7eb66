"""The server's engine over vLLM: its scheduler writes the answers, every one with laws of its own.

vLLM's front end lives in a thread with an event loop of its own, beside the server's; the model is
in the process, or the processes, that vLLM starts.
"""

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

from steersman.serving.errors import (
    FailedError,
    LostEngineError,
    NotThereError,
    RequestError,
    StoppingError,
)
from steersman.serving.limits import Limits
from steersman.serving.protocol import Finished, Generation, Load, SteeringInfo, Token
from steersman.serving.readings import Readings
from steersman.vllm.asking import law_of
from steersman.vllm.hot import (
    REMOVE,
    Call,
    admission_of,
    prepared,
    reading,
    require_done,
    taken_on,
)
from steersman.vllm.opening import require_workers, started
from steersman.vllm.reports import Seen, Watching
from steersman.vllm.translating import LOST, ends_of, info_of, params_of, told
from steersman.vllm.turns import Turns, VllmAnswer

_Value = TypeVar("_Value")


class VllmEngine:
    """Runs a model inside vLLM.

    Args:
        arguments: of vLLM's `AsyncEngineArgs`; as `opening.arguments_for` makes them.
        limits: how many answers run and wait.

    Raises:
        InputError: vLLM does not start with these, or without this package in its processes.
    """

    def __init__(self, arguments: Mapping[str, Any], limits: Limits | None = None) -> None:
        """Start vLLM, and wait until it is ready."""
        self._turns = Turns(limits or Limits(), self._begin, self._over)
        self._infos: dict[str, SteeringInfo] = {}
        self._numbers = itertools.count(1)
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="steersman-vllm", daemon=True
        )
        self._thread.start()
        try:
            self._llm = self._done(started(arguments))
            self._done(require_workers(self._llm))
        except BaseException:
            # Not waited for: an interrupt comes while vLLM's start keeps the thread busy.
            self._loop.call_soon_threadsafe(self._loop.stop)
            raise
        self._admission = admission_of(self._llm)
        self._ends = ends_of(self._llm.model_config, self.tokenizer)

    @property
    def tokenizer(self) -> Any:
        """The model's."""
        return self._llm.input_processor.tokenizer

    @property
    def context(self) -> int:
        """How many tokens prompt and answer may have together."""
        return int(self._llm.model_config.max_model_len)

    @property
    def vocabulary(self) -> int:
        """Token ids are below this."""
        return int(self._llm.model_config.get_vocab_size())

    @property
    def load(self) -> Load:
        """How busy it is now."""
        return self._turns.load

    @property
    def failure(self) -> str | None:
        """Why it cannot answer any more; None while it can."""
        return LOST if self._llm.errored else None

    def submit(self, request: Generation) -> VllmAnswer:
        """Begin an answer, or let it wait.

        Raises:
            BusyError: as many wait as may.
            LostEngineError: vLLM's engine has ended.
            NotThereError: no such steering is loaded.
            StoppingError: the engine is closing.
        """
        infos = self._infos
        missing = [name for name in request.steering if name not in infos]
        if missing:
            raise NotThereError(
                f"there is no steering {missing[0]!r}.", "steering", "steering_not_found"
            )
        if self.failure is not None:
            raise LostEngineError(LOST)
        number = str(next(self._numbers))
        named = tuple(infos[name] for name in request.steering)
        params = params_of(number, request, self._ends)
        answer = VllmAnswer(request, number, named, params, self._turns.give_up)
        self._turns.enter(answer)
        return answer

    def add(self, name: str, folder: Path) -> SteeringInfo:
        """Load a saved steering.

        Raises:
            ArtifactError: it cannot be read.
            InputError: it has no law that can be served, or there is no room for it.
            MismatchError: it was made for another model.
        """
        served, call = prepared(self._admission, name, folder)
        info = info_of(served)
        # As requests will ask for it, so that whoever loads it learns what is wrong with it.
        law_of(served, {"target": dict.fromkeys(info.features, 1.0)}, self.tokenizer)
        self._done(self._tell(call))
        self._done(self._tell(taken_on(self._admission, served)))
        self._infos = {**self._infos, name: info}
        return info

    def remove(self, name: str) -> None:
        """Forget a steering."""
        self._infos = {key: info for key, info in self._infos.items() if key != name}
        self._done(self._tell(Call(REMOVE, (self._admission.drop(name),))))

    def close(self) -> None:
        """Stop vLLM and wait for it; answers that are not finished end with an error."""
        if self._closed:
            return
        self._closed = True
        for answer in self._turns.close():
            answer.put(StoppingError("the server is shutting down."))
            self._turns.give_up(answer)
        self._llm.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _begin(self, answer: VllmAnswer) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(self._write(answer), self._loop)

    async def _write(self, answer: VllmAnswer) -> None:
        """Hand out the tokens of one answer as vLLM writes them."""
        from vllm.inputs.engine import tokens_input

        prompt = tokens_input(list(answer.request.prompt))
        try:
            self._require_loaded(answer.steerings)
            written = self._llm.generate(prompt, answer.params, answer.number)
            async with aclosing(written) as outputs:
                async for output in outputs:
                    await self._hand_out(output.outputs[0], answer)
        except Exception as error:
            answer.put(told(error))

    def _require_loaded(self, steerings: tuple[SteeringInfo, ...]) -> None:
        """Refuse an answer whose steering is not the one any more that it was checked against."""
        for one in steerings:
            if self._infos.get(one.name) is not one:
                raise RequestError(
                    f"the steering {one.name!r} was removed or exchanged while the request waited; "
                    "send it again."
                )

    async def _hand_out(self, new: Any, answer: VllmAnswer) -> None:
        features = await self._features(answer, len(new.token_ids))
        answer.received += len(new.token_ids)
        for token, found in zip(new.token_ids, features, strict=True):
            if token not in self._ends:
                answer.put(Token(token, found))
        if new.finish_reason in ("stop", "length"):
            answer.put(Finished(new.finish_reason, await self._report(answer)))
        elif new.finish_reason is not None:
            raise FailedError(f"vLLM ended the answer ({new.finish_reason}); the log says why.")

    async def _features(self, answer: VllmAnswer, count: int) -> list[Readings | None]:
        """Where the features were in the states that the next tokens of an answer came from."""
        if not answer.request.readings:
            return [None] * count
        if not answer.request.steering:
            return [()] * count
        first = len(answer.request.prompt) - 1 + answer.received
        watching, seen = await self._observed(answer, first, first + count)
        found = {} if seen is None else watching.readings(seen)
        return [found.get(place) for place in range(first, first + count)]

    async def _report(self, answer: VllmAnswer) -> list[dict[str, Any]] | None:
        """What the steerings of an answer did, up to the last token that was handed out."""
        if not answer.request.report:
            return None
        if not answer.request.steering:
            return []
        stop = len(answer.request.prompt) - 1 + answer.received
        watching, seen = await self._observed(answer, 0, stop)
        return None if seen is None else watching.report(seen)

    async def _observed(
        self, answer: VllmAnswer, first: int, stop: int
    ) -> tuple[Watching, Seen | None]:
        call = reading(answer.number, first, stop)
        answers = await self._llm.collective_rpc(call.method, args=call.args)
        watching = self._admission.watching(answer.number)
        return watching, watching.joined(answers)

    def _over(self, answer: VllmAnswer, given_up: bool) -> None:
        if given_up:
            asyncio.run_coroutine_threadsafe(self._end(answer), self._loop)

    async def _end(self, answer: VllmAnswer) -> None:
        """The last word of an answer of which nobody wants more tokens."""
        try:
            answer.put(Finished(answer.reason, await self._report(answer)))
        except Exception as error:
            answer.put(told(error))

    async def _tell(self, call: Call) -> None:
        require_done(await self._llm.collective_rpc(call.method, args=call.args))

    def _done(self, work: Coroutine[Any, Any, _Value]) -> _Value:
        """What came of something that is done in vLLM's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
