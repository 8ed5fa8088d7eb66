"""Between the server's words and vLLM's: what is asked, where answers end, and what went wrong."""

import logging
from typing import Any

from steersman.errors import SteersmanError
from steersman.serving.errors import FailedError, LostEngineError, RequestError
from steersman.serving.protocol import Generation, SteeringInfo
from steersman.steering import Steering
from steersman.vllm.asking import RECORD_KEY, REQUEST_KEY
from steersman.vllm.served import Served

LOST = "vLLM's engine has ended; the server's log says why. Start the server again."
_log = logging.getLogger(__name__)


def params_of(number: str, request: Generation, ends: frozenset[int]) -> Any:
    """A request as vLLM's `SamplingParams`.

    Args:
        number: what vLLM calls it, and its record.
        request: what is asked.
        ends: the tokens that end an answer.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    sampling = request.sampling
    asked = {name: {"target": dict(each)} for name, each in request.steering.items()}
    told = {RECORD_KEY: number} if request.report or request.readings else {}
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed % 2**63,  # vLLM takes -1 for none
        stop_token_ids=sorted(ends),
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        extra_args={REQUEST_KEY: asked, **told} if asked else None,
    )


def ends_of(model_config: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer: a model may have several, and not the tokenizer's own."""
    known = (model_config.try_get_generation_config() or {}).get("eos_token_id")
    every = [*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id]
    return frozenset(one for one in every if isinstance(one, int))


def told(error: Exception) -> RequestError:
    """What a client may know of an error: what was meant to be read, and nothing else."""
    from vllm.exceptions import VLLMClientError
    from vllm.v1.engine.exceptions import EngineDeadError

    if isinstance(error, RequestError):
        return error
    if isinstance(error, EngineDeadError):
        return LostEngineError(LOST)
    if isinstance(error, SteersmanError | VLLMClientError):
        return RequestError(str(error))
    _log.error("an answer failed", exc_info=error)
    return FailedError("the model failed on this request; the server's log says why.")


def info_of(served: Served) -> SteeringInfo:
    """A steering as clients see it."""
    steering = Steering.of_parts(served.parts)
    return SteeringInfo(
        name=served.name,
        method=steering.method.name,
        features=steering.features.names,
        needs_all=steering.method.reference == "absolute",
        summary=steering.summary(),
        in_units=steering.method.in_units,
    )
