"""From what a request says of steerings to plain data that names laws, setpoints and tokens."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from steersman.attaching import channel_of
from steersman.control import AffineLaw
from steersman.directions import listed
from steersman.engines import Channel, tokens_named
from steersman.errors import InputError
from steersman.methods import ExecutionName
from steersman.request import Request
from steersman.vllm.op import most_of
from steersman.vllm.served import Served, watch_key

REQUEST_KEY = "steering"
"""What a request calls it, in `extra_args` and in `vllm_xargs`."""
RECORD_KEY = "steering_report"
"""Beside it, a name of the caller's choice by which the report of the request is asked for."""
MOST = most_of(torch.float32)
_OPTIONS = ("target", "lambda_", "tokens", "reference", "execution")
_EXAMPLE = '{"calm": 1.0} or {"calm": {"target": 1.0, "tokens": "all"}}'


class AskedLaw(NamedTuple):
    """One law that a request wants, as plain data.

    Attributes:
        key: which of the engine's laws.
        rule: the name of the rule for its tokens.
        setpoints: `s_t` of every block and observed number.
    """

    key: str
    rule: str
    setpoints: list[list[float]]


@dataclass(frozen=True)
class Asked:
    """All that a worker has to know of a request.

    Args:
        prompt: tokens of its prompt.
        laws: what acts on it.
        record: what the record of its features is called; empty where none is kept.
    """

    prompt: int
    laws: tuple[AskedLaw, ...]
    record: str = ""

    @property
    def keys(self) -> set[str]:
        """Of all that a worker has to hold for it."""
        keys = {law.key for law in self.laws}
        return keys | {watch_key(key) for key in keys} if self.record else keys

    def to_plain(self) -> dict[str, Any]:
        """Numbers, texts and lists, for the way to another process."""
        laws = [list(law) for law in self.laws]
        return {"prompt": self.prompt, "laws": laws, "record": self.record}

    @classmethod
    def of_plain(cls, data: Any) -> "Asked":
        """What `to_plain` gave."""
        laws = tuple(AskedLaw(*law) for law in data["laws"])
        return cls(int(data["prompt"]), laws, str(data["record"]))


def read_ask(given: object) -> dict[str, dict[str, Any]]:
    """What a request says, by the names of steerings.

    Args:
        given: a mapping from names to strengths or to options, or the same as JSON text.

    Raises:
        InputError: it is something else, or an option that there is not.
    """
    found = _parsed(given) if isinstance(given, str) else given
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"steering is {given!r}; write it as {_EXAMPLE}.")
    asks = {}
    for name, one in found.items():
        options = dict(one) if isinstance(one, Mapping) else {"target": one}
        unknown = [str(option) for option in options if option not in _OPTIONS]
        if unknown:
            raise InputError(
                f"the steering {name!r} is asked for {listed(unknown)}; it takes "
                f"{listed(_OPTIONS)}, as in {_EXAMPLE}."
            )
        asks[str(name)] = options
    return asks


def law_of(
    served: Served, options: Mapping[str, Any], tokenizer: Any, most: float = MOST
) -> AskedLaw:
    """The law that a request wants of one steering, with its setpoints.

    Args:
        served: the steering.
        options: as `Steering.attach` takes them: target, lambda_, tokens, reference, execution.
        tokenizer: turns a text of a rule for tokens into ids; None where there is none.
        most: the largest push along one coordinate that the model's precision bears.

    Raises:
        InputError: a strength that is not finite or for several prompts, choices that contradict
            each other, or a law that an engine of this kind cannot run; says why.
    """
    request = request_of(served, options, tokenizer)
    channel = channel_of(served.parts, request, nn.Identity())
    execution = _execution(served, channel)
    offsets = channel.asked(1, 1, torch.device("cpu")).offsets(channel.units, 1)
    setpoints = offsets[:, 0, :].float()
    _require_bearable(served, (served.laws[execution].G @ setpoints[:, :, None]).abs(), most)
    return AskedLaw(served.key(execution), channel.rule.name, setpoints.tolist())


def request_of(served: Served, options: Mapping[str, Any], tokenizer: Any) -> Request:
    """What is asked of one steering, its tokens and numbers checked; arguments as of `law_of`.

    Raises:
        InputError: a strength that is not finite or for several prompts, or no rule for tokens.
    """
    tokens = options.get("tokens")
    if tokens is not None:
        tokens = tokens_named(str(tokens))
        tokens = tokens.with_tokenizer(tokenizer) if tokenizer is not None else tokens
    request = Request.of(
        options.get("target"),
        options.get("lambda_"),
        tokens=tokens,
        reference=options.get("reference"),
        execution=options.get("execution"),
    )
    if request.count:
        raise InputError(f"the strength of {served.name!r} is a list; one request takes one.")
    return request


def _execution(served: Served, channel: Channel) -> ExecutionName:
    """Which of the steering's laws the channel runs.

    Raises:
        InputError: none of those that are served.
    """
    law = channel.law
    if channel.reference.needs_nominal:
        raise InputError(
            f"what is asked of {served.name!r} needs an unsteered run beside the steered one to "
            "know its reference, which is not served: use execution='plan'."
        )
    execution: ExecutionName = "feedback"
    if isinstance(law, AffineLaw) and law.is_schedule:
        execution = "plan"
    if not isinstance(law, AffineLaw) or execution not in served.laws:
        method = served.parts.method.name
        offers = " or ".join(f"execution={one!r}" for one in served.laws)
        raise InputError(
            f"the law of {served.name!r} ({method}, {type(law).__name__}) is not low rank, "
            f"u = G (s - H'x), which alone is served: ask for {offers}."
        )
    return execution


def _require_bearable(served: Served, pushes: Tensor, most: float) -> None:
    # Not a number is not below either.
    if not bool((pushes <= most).all()):
        raise InputError(
            f"the strength of {served.name!r} asks for a push beyond what the model's numbers "
            "hold: steer less."
        )


def _parsed(text: str) -> object:
    try:
        # Python reads NaN and Infinity, which JSON does not have; strengths are checked later.
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"steering is not JSON ({error}); write it as {_EXAMPLE}.") from error
