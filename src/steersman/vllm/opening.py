"""Start vLLM for the server: its arguments, and errors that say what to do."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from steersman.errors import InputError, MissingExtraError
from steersman.serving.limits import Limits
from steersman.vllm.hot import REMOVE
from steersman.vllm.settings import COLUMNS, KEY, VARIABLE, Settings

_OURS = ("model", "additional_config", "max_num_seqs", "enable_log_requests")
"""Arguments of vLLM that the server sets."""
_METHOD = "VLLM_WORKER_MULTIPROC_METHOD"


def require_installed() -> None:
    """Refuse to go on where there is no vLLM.

    Raises:
        MissingExtraError: it is not installed.
    """
    found = find_spec("vllm")
    if found is None or found.origin is None:  # a folder of that name does not count
        raise MissingExtraError("vllm", "serve,vllm", "--engine vllm")


def arguments_for(
    model: str, dtype: str, limits: Limits, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What vLLM is told for a server.

    Args:
        model: a name on the hub, or a folder.
        dtype: as vLLM calls it.
        limits: how many answers are written at a time.
        given: arguments of vLLM that its user chose.

    Raises:
        InputError: one that vLLM does not have, or that the server sets.
        MissingExtraError: vLLM is not installed.
    """
    require_installed()
    from vllm.engine.arg_utils import AsyncEngineArgs

    known = set(AsyncEngineArgs.__dataclass_fields__)
    wrong = sorted(name for name in given if name not in known or name in _OURS)
    if wrong:
        raise InputError(
            f"{wrong[0]!r} is no argument of vLLM's engine that can be chosen here; write them as "
            'in {"max_model_len": 4096, "tensor_parallel_size": 2}.'
        )
    settings = {"steerings": {}, "columns": _columns()}
    return {
        "dtype": dtype,
        "disable_log_stats": True,
        **given,
        "model": model,
        "max_num_seqs": limits.running,
        "additional_config": {KEY: settings},
    }


async def started(arguments: Mapping[str, Any]) -> Any:
    """The `AsyncLLM` of vLLM, ready; its output is read by the event loop that this runs in.

    Raises:
        InputError: vLLM does not start; says why.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    # This process has threads, and a fork of it would have their locks without them.
    os.environ.setdefault(_METHOD, "spawn")
    try:
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = lines[0] if lines else type(error).__name__
        raise InputError(
            f"vLLM does not start with the model {arguments['model']!r}: {said.rstrip('.')}. What "
            "it wrote above says more."
        ) from error


async def require_workers(llm: Any) -> None:
    """Refuse an engine whose workers do not steer.

    Raises:
        InputError: this package is not at work in vLLM's own processes.
    """
    from steersman.vllm.plugin import require_registered

    require_registered()
    try:
        await llm.collective_rpc(REMOVE, args=([],))
    except Exception as error:
        llm.shutdown()
        raise InputError(
            "vLLM's workers were started without this package: install the same steersman for all "
            f"of them ({error})."
        ) from error


def _columns() -> int:
    text = os.environ.get(VARIABLE)
    return COLUMNS if not text else Settings.of_text(text).columns
