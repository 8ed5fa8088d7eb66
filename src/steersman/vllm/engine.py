"""The server's engine over vLLM: its scheduler writes the answers, every one with laws of its own.

vLLM's front end lives in a thread with an event loop of its own, beside the server's; the model is
in the process, or the processes, that vLLM starts.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

from steersman.errors import SteersmanError
from steersman.serving.errors import (
    BusyError,
    FailedError,
    LostEngineError,
    NotThereError,
    RequestError,
    StoppingError,
)
from steersman.serving.limits import Limits
from steersman.serving.protocol import (
    Finished,
    Generation,
    Load,
    Reason,
    Sampling,
    SteeringInfo,
    Token,
)
from steersman.serving.row import RowAnswer
from steersman.steering import Steering
from steersman.vllm.asking import REQUEST_KEY, law_of
from steersman.vllm.hot import REMOVE, Call, admission_of, prepared, require_done, taken_on
from steersman.vllm.opening import require_workers, started
from steersman.vllm.served import Served

_log = logging.getLogger(__name__)
_Value = TypeVar("_Value")
_LOST = "vLLM's engine has ended; the server's log says why. Start the server again."


class VllmAnswer(RowAnswer):
    """An answer that vLLM writes.

    Args:
        give_up: called where nobody wants more of it; from any thread, and more than once.
    """

    def __init__(self, give_up: Callable[["VllmAnswer"], None]) -> None:
        """Nothing has come yet."""
        super().__init__()
        self.begun = False
        self._give_up = give_up

    async def cancel(self, reason: Reason = "stop") -> Finished:
        """Ask for no more tokens, and wait for the word of how it ended."""
        self.reason = reason
        self._give_up(self)
        return await super().cancel(reason)

    def abandon(self) -> None:
        """Ask for no more tokens."""
        super().abandon()
        self._give_up(self)


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
        self._limits = limits or Limits()
        self._answers: dict[VllmAnswer, Future[None]] = {}
        self._infos: dict[str, SteeringInfo] = {}
        self._count = 0
        self._stopping = False
        self._change = threading.Lock()
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
        self._ends = _ends(self._llm.model_config, self.tokenizer)

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
        answers = list(self._answers)
        running = sum(answer.begun for answer in answers)
        return Load(running, len(answers) - running)

    @property
    def failure(self) -> str | None:
        """Why it cannot answer any more; None while it can."""
        return _LOST if self._llm.errored else None

    def submit(self, request: Generation) -> VllmAnswer:
        """Begin an answer, or let it wait; it ends without a report, of which vLLM keeps no record.

        Raises:
            BusyError: as many wait as may.
            LostEngineError: vLLM's engine has ended.
            NotThereError: no such steering is loaded.
            StoppingError: the engine is closing.
        """
        params = self._params(request)
        if self.failure is not None:
            raise LostEngineError(_LOST)
        answer = VllmAnswer(self._give_up)
        with self._change:
            if self._stopping:
                raise StoppingError("the server is shutting down.")
            waiting = self.load.waiting
            if waiting >= self._limits.waiting:
                raise BusyError(f"{waiting} answers wait already; come again later.")
            self._count += 1
            writing = self._write(str(self._count), request.prompt, params, answer)
            future = asyncio.run_coroutine_threadsafe(writing, self._loop)
            self._answers[answer] = future
        future.add_done_callback(lambda done: self._over(answer, done))
        return answer

    def add(self, name: str, folder: Path) -> SteeringInfo:
        """Load a saved steering.

        Raises:
            ArtifactError: it cannot be read.
            InputError: it has no law that can be served, or there is no room for it.
            MismatchError: it was made for another model.
        """
        served, call = prepared(self._admission, name, folder)
        info = _info(served)
        # As requests will ask for it, so that whoever loads it learns what is wrong with it.
        law_of(served, _options(dict.fromkeys(info.features, 1.0), info), self.tokenizer)
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
        with self._change:
            if self._stopping:
                return
            self._stopping = True
            answers = list(self._answers)
        for answer in answers:
            answer.put(StoppingError("the server is shutting down."))
            self._give_up(answer)
        self._llm.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _params(self, request: Generation) -> Any:
        """What vLLM is asked."""
        infos = self._infos
        missing = [name for name in request.steering if name not in infos]
        if missing:
            raise NotThereError(
                f"there is no steering {missing[0]!r}.", "steering", "steering_not_found"
            )
        asked = {name: _options(each, infos[name]) for name, each in request.steering.items()}
        return _params_of(request.sampling, self._ends, asked)

    async def _write(
        self, number: str, prompt: tuple[int, ...], params: Any, answer: VllmAnswer
    ) -> None:
        """Hand out the tokens of one answer as vLLM writes them."""
        from vllm.inputs.engine import tokens_input

        try:
            written = self._llm.generate(tokens_input(list(prompt)), params, number)
            async with aclosing(written) as outputs:
                async for output in outputs:
                    answer.begun = True
                    self._hand_out(output.outputs[0], answer)
        except Exception as error:
            answer.put(_told(error))

    def _hand_out(self, new: Any, answer: VllmAnswer) -> None:
        for token in new.token_ids:
            if token not in self._ends:
                answer.put(Token(token))
        if new.finish_reason in ("stop", "length"):
            answer.put(Finished(new.finish_reason))
        elif new.finish_reason is not None:
            raise FailedError(f"vLLM ended the answer ({new.finish_reason}); the log says why.")

    def _give_up(self, answer: VllmAnswer) -> None:
        future = self._answers.get(answer)
        if future is not None:
            future.cancel()

    def _over(self, answer: VllmAnswer, done: "Future[None]") -> None:
        with self._change:
            self._answers.pop(answer, None)
        if done.cancelled():
            answer.put(Finished(answer.reason))

    async def _tell(self, call: Call) -> None:
        require_done(await self._llm.collective_rpc(call.method, args=call.args))

    def _done(self, work: Coroutine[Any, Any, _Value]) -> _Value:
        """What came of something that is done in vLLM's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _params_of(sampling: Sampling, ends: frozenset[int], asked: Mapping[str, Any]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed % 2**63,  # vLLM takes -1 for none
        stop_token_ids=sorted(ends),
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        extra_args={REQUEST_KEY: asked} if asked else None,
    )


def _options(strengths: Mapping[str, float], info: SteeringInfo) -> dict[str, Any]:
    """What is not named is left alone; it was refused where a law cannot do that."""
    return {"target": {feature: strengths.get(feature, 0.0) for feature in info.features}}


def _ends(model_config: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer: a model may have several, and not the tokenizer's own."""
    known = (model_config.try_get_generation_config() or {}).get("eos_token_id")
    every = [*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id]
    return frozenset(one for one in every if isinstance(one, int))


def _told(error: Exception) -> RequestError:
    """What a client may know of an error: what was meant to be read, and nothing else."""
    from vllm.exceptions import VLLMClientError
    from vllm.v1.engine.exceptions import EngineDeadError

    if isinstance(error, RequestError):
        return error
    if isinstance(error, EngineDeadError):
        return LostEngineError(_LOST)
    if isinstance(error, SteersmanError | VLLMClientError):
        return RequestError(str(error))
    _log.error("an answer failed", exc_info=error)
    return FailedError("the model failed on this request; the server's log says why.")


def _info(served: Served) -> SteeringInfo:
    steering = Steering.of_parts(served.parts)
    return SteeringInfo(
        name=served.name,
        method=steering.method.name,
        features=steering.features.names,
        needs_all=steering.method.reference == "absolute",
        summary=steering.summary(),
        in_units=steering.method.in_units,
    )
