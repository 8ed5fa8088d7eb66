"""Blocks as words: `3-20,25`."""

from typing import Annotated

import typer

from steersman.errors import InputError

BlocksOption = Annotated[
    str | None,
    typer.Option(
        "--blocks",
        metavar="BLOCKS",
        help="Which of the blocks act, counted from 0, as 3-20,25; all that have a vector by "
        "default. Of a file with one vector that does not say its block, that block.",
        show_default=False,
    ),
]


def blocks_of(words: str | None) -> int | list[int] | None:
    """The blocks; one alone is no list.

    Args:
        words: as they were given; None is all of them.

    Raises:
        InputError: they are no blocks.
    """
    if words is None:
        return None
    found: list[int] = []
    for word in words.split(","):
        first, dash, last = word.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(end.isdecimal() for end in ends) or int(ends[0]) > int(ends[1]):
            raise InputError(f"--blocks {words}: expected numbers and ranges, as 3-20,25.")
        found += range(int(ends[0]), int(ends[1]) + 1)
    return found[0] if len(found) == 1 else found
