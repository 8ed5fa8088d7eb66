"""Steerings come and go while the engine runs."""

from pathlib import Path
from typing import Any

from steersman.errors import InputError
from steersman.vllm.admission import Admission
from steersman.vllm.served import Served, read_files


def names(engine: Any) -> tuple[str, ...]:
    """The steerings that requests may name.

    Args:
        engine: vLLM's `LLM`.

    Raises:
        InputError: it was started without the means to steer.
    """
    return _admission(engine).names


def add(engine: Any, name: str, folder: str | Path) -> None:
    """Give a running engine a steering; of a name that it has already, requests get the new one.

    Args:
        engine: vLLM's `LLM`.
        name: what requests call it.
        folder: where `Steering.save_pretrained` wrote it, for this process; its bytes are sent.

    Raises:
        ArtifactError: it is no sound steering.
        InputError: no law that can be served, or no room for it.
        MismatchError: it was made for another model.
    """
    admission, files = _admission(engine), read_files(folder)
    served = Served.of_files(name, files)
    admission.require(served)
    answers(engine.collective_rpc("steersman_add", args=(name, files)))
    stale = admission.drop(name) if name in admission.names else []
    admission.put(served)
    gone = [key for key in stale if key not in admission.keys]
    answers(engine.collective_rpc("steersman_remove", args=(gone,)))


def remove(engine: Any, name: str) -> None:
    """Take a steering from a running engine; requests that it has begun are steered to their end.

    Args:
        engine: vLLM's `LLM`.
        name: what requests called it.

    Raises:
        UnknownNameError: there is none.
    """
    gone = _admission(engine).drop(name)
    answers(engine.collective_rpc("steersman_remove", args=(gone,)))


def answers(given: list[str]) -> None:
    """Raise what a worker answered.

    Raises:
        InputError: one did not do what it was told.
    """
    for one in given:
        if one:
            raise InputError(one)


def _admission(engine: Any) -> Admission:
    found = Admission.of(getattr(engine, "llm_engine", engine).input_processor)
    if found is None:
        raise InputError(
            "this engine was started without steerings, so that its blocks do not steer: start it "
            'with additional_config={"steersman": {"steerings": {}}}.'
        )
    return found
