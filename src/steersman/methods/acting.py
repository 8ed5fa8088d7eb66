"""Which blocks a method lets act."""

from steersman.errors import InputError


def numbered(chosen: str | tuple[int, ...]) -> tuple[int, ...]:
    """The chosen blocks, which have to be numbers by now.

    Raises:
        InputError: they are still a name.
    """
    if isinstance(chosen, str):
        raise InputError(f"blocks={chosen!r} is found out from examples: fit with it.")
    return chosen


def acting(chosen: str | tuple[int, ...], blocks: int) -> tuple[int, ...]:
    """The chosen blocks in the order they run; every block where none was chosen.

    Args:
        chosen: 0-based blocks; empty is all of them.
        blocks: how many the model has.

    Raises:
        InputError: a block that does not exist, or a name in place of numbers.
    """
    chosen = numbered(chosen)
    wrong = sorted(set(chosen) - set(range(blocks)))
    if wrong:
        raise InputError(f"blocks names {wrong}; the model has blocks 0 .. {blocks - 1}.")
    return tuple(sorted(set(chosen))) or tuple(range(blocks))
