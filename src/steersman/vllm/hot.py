"""Steerings come and go while the engine runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from steersman.errors import InputError, UnknownNameError
from steersman.vllm.admission import Admission
from steersman.vllm.plugin import require_registered
from steersman.vllm.reports import RECORD, Seen
from steersman.vllm.served import Served, read_files

ADD, REMOVE = "steersman_add", "steersman_remove"
"""What the workers call the two; they take names, bytes and lists of names."""


class Call(NamedTuple):
    """What every worker is asked to do, in vLLM's words.

    Attributes:
        method: of the worker.
        args: plain data.
    """

    method: str
    args: tuple[Any, ...]


def names(engine: Any) -> tuple[str, ...]:
    """The steerings that requests may name.

    Args:
        engine: vLLM's `LLM`.

    Raises:
        InputError: it was started without the means to steer.
    """
    return admission_of(engine).names


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
    admission = admission_of(engine)
    served, call = prepared(admission, name, folder)
    require_done(engine.collective_rpc(call.method, args=call.args))
    call = taken_on(admission, served)
    require_done(engine.collective_rpc(call.method, args=call.args))


def remove(engine: Any, name: str) -> None:
    """Take a steering from a running engine; requests that it has begun are steered to their end.

    Args:
        engine: vLLM's `LLM`.
        name: what requests called it.

    Raises:
        UnknownNameError: there is none.
    """
    call = Call(REMOVE, (admission_of(engine).drop(name),))
    require_done(engine.collective_rpc(call.method, args=call.args))


def report(engine: Any, record: str) -> list[dict[str, Any]]:
    """What the steerings of a request were asked for and what they did, in natural units.

        SamplingParams(extra_args={"steering": {"calm": 1.0}, "steering_report": "mine"})

    Args:
        engine: vLLM's `LLM`.
        record: what the request called it; no other under way may have the name, nor may it
            have several samples.

    Returns:
        A mapping for each feature, of plain data: what it was asked for, what it reached, and the
        means over the steered tokens at every block. Also while the request is under way.

    Raises:
        UnknownNameError: there is no such record, or it had to make room for others.
    """
    watching = admission_of(engine).watching(record)
    call = reading(record)
    seen = watching.joined(engine.collective_rpc(call.method, args=call.args))
    return watching.report(require_seen(seen, record))


def reading(record: str, first: int = 0, stop: int = 2**62) -> Call:
    """What asks the workers for a record, or for some places of it; arguments as `Records.read`."""
    return Call(RECORD, (record, first, stop))


def require_seen(seen: Seen | None, record: str) -> Seen:
    """Refuse a record that is gone.

    Raises:
        UnknownNameError: the workers do not have it.
    """
    if seen is None:
        raise UnknownNameError(
            f"the record {record!r} is empty yet, had to make room for others, or was of several "
            "requests at once: give each, with n=1, a name of its own."
        )
    return seen


def admission_of(engine: Any) -> Admission:
    """What the front end of an engine knows.

    Args:
        engine: vLLM's `LLM`, or the `AsyncLLM` of its server.

    Raises:
        InputError: it was started without the means to steer, or vLLM did not load this package.
    """
    require_registered()
    found = Admission.of(getattr(engine, "llm_engine", engine).input_processor)
    if found is None:
        raise InputError(
            "this engine was started without steerings, so that its blocks do not steer: start it "
            'with additional_config={"steersman": {"steerings": {}}}.'
        )
    return found


def prepared(admission: Admission, name: str, folder: str | Path) -> tuple[Served, Call]:
    """A steering from its folder, and what tells the workers of it; raises as `add` does."""
    files = read_files(folder)
    served = Served.of_files(name, files)
    admission.require(served)
    return served, Call(ADD, (name, files))


def taken_on(admission: Admission, served: Served) -> Call:
    """Let requests name it; the call takes from the workers what it is instead of, if anything."""
    stale = admission.drop(served.name) if served.name in admission.names else []
    admission.put(served)
    return Call(REMOVE, ([key for key in stale if key not in admission.keys],))


def require_one_front_end(engine: Any) -> None:
    """Refuse what concerns a server whose front ends know nothing of each other.

    Args:
        engine: the `AsyncLLM` of one of them.

    Raises:
        InputError: there are several.
    """
    count = int(getattr(engine.vllm_config.parallel_config, "_api_process_count", 1))
    if count > 1:
        raise InputError(
            f"this server has {count} front ends, each with steerings of its own: start it with "
            "--api-server-count 1, or give it all of its steerings when it starts."
        )


def require_done(answers: Sequence[str]) -> None:
    """Raise what a worker answered.

    Raises:
        InputError: one did not do what it was told.
    """
    for answer in answers:
        if answer:
            raise InputError(answer)
