"""Prompts of several domains of the world, for comparing what the model does in them."""

from steersman.errors import InputError
from steersman.windtunnel.behaviours import behaviour, names


def domains(seed: int, count: int) -> dict[str, tuple[str, ...]]:
    """Different documents of the fitting split, by the behaviour that is decided in them.

    Each other document stops where its behaviour is decided, at a token that all documents of the
    domain have there; the rest end with the line before, at the full stop that all domains share.

    Args:
        seed: of the documents.
        count: how many of each domain, at least one.

    Raises:
        InputError: none was asked for.
    """
    if count < 1:
        raise InputError(f"{count} prompts were asked for; at least 1 is needed.")
    return {name: _documents(name, seed, count) for name in names()}


def _documents(name: str, seed: int, count: int) -> tuple[str, ...]:
    found: dict[str, None] = {}
    drawn = 4 * count
    while len(found) < count:
        for index, example in enumerate(behaviour(name).pairs(seed, drawn).undesired):
            text = str(example)
            found[text if index % 2 == 0 else text[: text.rindex("\n")]] = None
        drawn *= 2
    return tuple(found)[:count]
