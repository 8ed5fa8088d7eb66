"""Models by the names that the command line knows."""

from collections.abc import Sequence
from typing import Any

from steersman import windtunnel
from steersman.cli.console import note
from steersman.cli.writing import as_example
from steersman.data import (
    AlignedPairs,
    ContrastivePairs,
    Example,
    load_examples,
    read_prompts,
)
from steersman.errors import InputError, UnknownNameError
from steersman.loading import AUTO, DTYPES, load
from steersman.local_linearity import TEXTS
from steersman.steering import Steering

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


def open_steered(
    path: str, name: str, dtype: str = AUTO, device_map: str | None = None
) -> tuple[Steering, Any, Any]:
    """A saved steering, and then the model it is for and its tokenizer.

    Raises:
        ArtifactError: the steering cannot be read; no model is loaded.
        InputError: the model cannot be loaded.
        UnknownNameError: no such dtype.
    """
    steering = Steering.from_pretrained(path)
    return steering, *open_model(name, dtype, device_map)


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


def open_domains(
    path: str | None, model: str, *, count: int, seed: int
) -> dict[str, Sequence[Example]]:
    """Prompts by domain: those of a file, or else some that come with the package.

    Args:
        path: a file; None draws from the wind tunnel's world for its model, and takes short English
            texts for any other.
        model: the model's name.
        count: how many of each domain, where no file is given.
        seed: of the draw.

    Raises:
        InputError: the file cannot be used.
    """
    if path is not None:
        return dict(read_prompts(path))
    if model == WINDTUNNEL:
        return dict(windtunnel.domains(seed, count))
    return {name: texts[:count] for name, texts in TEXTS.items()}


def open_prompts(name: str, *, count: int, seed: int, chat: bool) -> list[Example]:
    """Prompts from a file, or of the wind tunnel's world, where they are none of those to fit on.

    Args:
        name: a path, or `windtunnel:` and a behaviour.
        count: how many prompts to draw in the wind tunnel.
        seed: of that draw.
        chat: make texts a user's messages, in a file.

    Raises:
        InputError: the file cannot be used.
        UnknownNameError: no such behaviour.
    """
    kind, colon, behaviour = name.partition(":")
    if kind == WINDTUNNEL and colon:
        return [item.prompt for item in windtunnel.behaviour(behaviour).items(seed, count)]
    prompts = [one for domain in read_prompts(name).values() for one in domain]
    return [as_example(one, chat) if isinstance(one, str) else one for one in prompts]
