"""Models by the names that the command line knows."""

from typing import Any

from steersman import windtunnel
from steersman.cli.console import note
from steersman.data import AlignedPairs, ContrastivePairs, load_examples
from steersman.errors import InputError, UnknownNameError
from steersman.loading import AUTO, DTYPES, load

WINDTUNNEL = "windtunnel"


def open_model(name: str, dtype: str = AUTO, device_map: str | None = None) -> tuple[Any, Any]:
    """A model and its tokenizer; `windtunnel` is the one that comes with the package.

    Raises:
        InputError: it cannot be loaded.
        UnknownNameError: no such dtype.
    """
    note(f"loading {name} ...")
    if name != WINDTUNNEL:
        return load(name, dtype, device_map)
    if device_map not in (None, "cpu", "auto"):
        raise InputError("the windtunnel model is small and stays on the CPU: leave --device-map.")
    if dtype != AUTO and dtype not in DTYPES:
        raise UnknownNameError(f"there is no dtype {dtype!r}; choose auto or {', '.join(DTYPES)}.")
    return windtunnel.load(dtype=DTYPES.get(dtype, DTYPES["float32"]))


def open_pairs(name: str, *, count: int, seed: int, chat: bool) -> ContrastivePairs | AlignedPairs:
    """Contrastive or aligned pairs from a file, or pairs of the wind tunnel's world.

    Args:
        name: a path, or `windtunnel:` and a behaviour.
        count: how many pairs to draw in the wind tunnel.
        seed: of that draw.
        chat: make questions user messages, in a file.

    Raises:
        InputError: the file cannot be used.
        UnknownNameError: no such behaviour.
    """
    kind, colon, behaviour = name.partition(":")
    if kind == WINDTUNNEL and colon:
        return windtunnel.behaviour(behaviour).pairs(seed, count)
    return load_examples(name, chat=chat)
