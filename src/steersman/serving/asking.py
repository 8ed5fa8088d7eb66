"""From a checked request to the answers that it asks of an engine."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from steersman.plant import Example
from steersman.serving.errors import RequestError
from steersman.serving.openai_schema import Asked, ChatRequest, CompletionRequest
from steersman.serving.parsing import read_model, strengths_of
from steersman.serving.prompts import encode_prompt, room_for
from steersman.serving.protocol import Generation, Sampling
from steersman.serving.service import Service


@dataclass(frozen=True, eq=False)
class Job:
    """Everything that one request asks for.

    Args:
        generations: one for each choice, in their order.
        stops: texts that end an answer.
        fresh: whether an answer is a message of its own, and no continuation of a text.
        prompt_tokens: of all prompts, each counted once.
    """

    generations: tuple[Generation, ...]
    stops: tuple[str, ...]
    fresh: bool
    prompt_tokens: int


def job_of(service: Service, request: ChatRequest | CompletionRequest, client: str = "") -> Job:
    """What a request asks for; may take a while for a long prompt.

    Args:
        service: what all requests share.
        request: the fields of this one.
        client: who asks.

    Raises:
        RequestError: something in it cannot be done; says what.
    """
    strengths = _strengths(service, request)
    chat = isinstance(request, ChatRequest)
    given, param = _prompts(request)
    count = (request.n or 1) * len(given)
    if count > service.limits.choices:
        raise RequestError(
            f"{count} answers are asked for; a request may have {service.limits.choices}.", "n"
        )
    stops = tuple(request.stop or ())
    if len(stops) > service.limits.stops:
        raise RequestError(f"a request may have {service.limits.stops} stop strings.", "stop")
    engine = service.engine
    prompts = [encode_prompt(engine.tokenizer, one, engine.vocabulary, param) for one in given]
    generations = tuple(
        Generation(
            *(prompt, sampling, strengths, request.steering_report, request.steering_tokens),
            client=client,
        )
        for index, prompt in enumerate(prompts)
        for sampling in _samplings(
            request, room_for(engine, prompt, _wanted(request), param), index
        )
    )
    return Job(generations, stops, chat, sum(map(len, prompts)))


def _strengths(service: Service, request: Asked) -> Any:
    by_name = read_model(request.model, service.name)
    by_field = request.steering or {}
    twice = sorted(set(by_name) & {key.partition(".")[0] for key in by_field})
    if twice:
        raise RequestError(f"{twice[0]!r} is both in the model's name and in steering.", "steering")
    loaded, limits = service.registry.loaded, service.limits
    param = "model" if by_name and not by_field else "steering"
    return strengths_of({**by_name, **by_field}, loaded, limits, param)


def _prompts(request: ChatRequest | CompletionRequest) -> tuple[list[Example | list[int]], str]:
    if isinstance(request, ChatRequest):
        messages = [
            {"role": one.role, "content": _content(one.content)} for one in request.messages
        ]
        return [messages], "messages"
    prompt = request.prompt
    if isinstance(prompt, str):
        return [prompt], "prompt"
    if not prompt:
        raise RequestError("there is no prompt.", "prompt")
    if isinstance(prompt[0], int):
        return [[one for one in prompt if isinstance(one, int)]], "prompt"
    return [one for one in prompt if not isinstance(one, int)], "prompt"


def _content(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _wanted(request: ChatRequest | CompletionRequest) -> int | None:
    if isinstance(request, CompletionRequest):
        return 16 if request.max_tokens is None else request.max_tokens
    return request.max_completion_tokens or request.max_tokens


def _samplings(request: Asked, room: int, index: int) -> Sequence[Sampling]:
    """One for each of the `n` answers to a prompt, their seeds one after the other."""
    count = request.n or 1
    seed = secrets.randbits(62) if request.seed is None else request.seed
    heat = 1.0 if request.temperature is None else request.temperature
    top = 1.0 if request.top_p is None else request.top_p
    first = seed + index * count
    # Seeds wrap around where the generator's do.
    return [
        Sampling(room, heat, top, (first + one + 2**63) % 2**64 - 2**63) for one in range(count)
    ]
