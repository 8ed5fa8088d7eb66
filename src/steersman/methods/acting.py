"""Which blocks a method lets act."""

from steersman.errors import InputError


def acting(chosen: tuple[int, ...], blocks: int) -> tuple[int, ...]:
    """The chosen blocks in the order they run; every block where none was chosen.

    Args:
        chosen: 0-based blocks; empty is all of them.
        blocks: how many the model has.

    Raises:
        InputError: a block that does not exist.
    """
    wrong = sorted(set(chosen) - set(range(blocks)))
    if wrong:
        raise InputError(f"blocks names {wrong}; the model has blocks 0 .. {blocks - 1}.")
    return tuple(sorted(set(chosen))) or tuple(range(blocks))
