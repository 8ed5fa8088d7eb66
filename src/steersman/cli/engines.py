"""The engines that `steersman serve` may run a model in."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from steersman.cli.console import note
from steersman.cli.models import WINDTUNNEL, open_model
from steersman.errors import InputError
from steersman.serving.limits import Limits
from steersman.serving.protocol import Engine
from steersman.serving.transformers_engine import TransformersEngine
from steersman.vllm.opening import arguments_for, require_installed

_DTYPES = ("auto", "float32", "bfloat16", "float16")
_EXAMPLE = '{"max_model_len": 4096}'


def read_arguments(engine: str, text: str | None) -> dict[str, Any]:
    """What vLLM is told besides, from JSON.

    Raises:
        InputError: it is no JSON object, or for another engine.
        MissingExtraError: vLLM is wanted and not installed.
    """
    if engine == "vllm":
        require_installed()
    if text is None:
        return {}
    if engine != "vllm":
        raise InputError("--vllm-args are for --engine vllm.")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"--vllm-args is not JSON ({error}): write {_EXAMPLE}.") from error
    if not isinstance(found, dict):
        raise InputError(f"--vllm-args is {text}: write {_EXAMPLE}.")
    return found


@contextmanager
def opened(
    engine: str,
    model: str,
    dtype: str,
    device_map: str | None,
    limits: Limits,
    arguments: Mapping[str, Any],
) -> Iterator[Engine]:
    """An engine with its model, closed at the end.

    Args:
        engine: transformers or vllm.
        model: as the command line names it.
        dtype: its precision.
        device_map: where it goes, with transformers.
        limits: how much it does at a time.
        arguments: what vLLM is told besides.

    Raises:
        InputError: the model cannot be loaded, or an option is not for this engine.
        MissingExtraError: vLLM is not installed.
    """
    if engine == "vllm":
        with _folder(model) as folder:
            made = _vllm(folder, dtype, device_map, limits, arguments)
            yield from _until_closed(made)
    else:
        yield from _until_closed(TransformersEngine(*open_model(model, dtype, device_map), limits))


def _until_closed(made: Engine) -> Iterator[Engine]:
    try:
        yield made
    finally:
        made.close()


def _vllm(
    folder: str, dtype: str, device_map: str | None, limits: Limits, arguments: Mapping[str, Any]
) -> Engine:
    from steersman.vllm.engine import VllmEngine

    if device_map is not None:
        raise InputError(
            "vLLM places a model itself: leave --device-map; for several GPUs write "
            "--vllm-args '{\"tensor_parallel_size\": 2}'."
        )
    if dtype not in _DTYPES:
        raise InputError(f"vLLM does not take --dtype {dtype}: choose {', '.join(_DTYPES)}.")
    note(f"starting vLLM with {folder} ...")
    return VllmEngine(arguments_for(folder, dtype, limits, arguments), limits)


@contextmanager
def _folder(model: str) -> Iterator[str]:
    """Where vLLM finds a model; the one that comes with the package is written out for it."""
    if model != WINDTUNNEL:
        yield model
        return
    with tempfile.TemporaryDirectory() as folder:
        for part in open_model(model):
            part.save_pretrained(folder)
        yield folder
