"""Which blocks a method lets act."""

from steersman.directions import Direction
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


def in_the_middle(chosen: tuple[int, ...], blocks: int) -> tuple[int, ...]:
    """The chosen blocks; the middle third of them where none was chosen.

    Args:
        chosen: as in `acting`.
        blocks: see there.

    Raises:
        InputError: a block that does not exist.
    """
    return acting(chosen or tuple(range(blocks // 3, blocks - blocks // 3)), blocks)


def one_block(chosen: int, direction: Direction) -> int:
    """The chosen block; for -1 the one whose output separates the examples best.

    Args:
        chosen: a 0-based block, or -1.
        direction: of the examples.

    Raises:
        InputError: a block that does not exist.
    """
    blocks = direction.blocks
    if not -1 <= chosen < blocks:
        raise InputError(
            f"block is {chosen}; the model has blocks 0 .. {blocks - 1}, and -1 leaves the choice "
            "to the examples."
        )
    return chosen if chosen >= 0 else int(direction.separation[1:].argmax())
