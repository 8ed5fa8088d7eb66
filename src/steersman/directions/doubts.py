"""Reasons to doubt, before anything is steered, that a direction will steer."""

import math

from steersman.directions.direction import Direction, StateRow

LOW = 0.5
"""A d' at which the two sides overlap by 80 percent."""


def worth_steering(direction: Direction) -> list[str]:
    """What speaks against steering by this direction; nothing, if all is well.

    A method can only move what the examples show. Looked at is the state with the best separation
    d' behind the first block; d' below 0.5, or within two standard errors of 0, is too little. So
    is one that was there before any block: then the tokens differ where the direction is read.

    Args:
        direction: the direction.

    Returns:
        A sentence or two for each doubt, with the numbers and what to do.
    """
    first, *later = direction.summary()
    best = max(later or [first], key=lambda row: row.separation)
    doubts = []
    if math.isinf(best.separation_se):
        doubts.append(
            "The separation could not be measured: it takes four examples of each side, and states "
            "that differ. Whether this direction steers is not known; give more examples."
        )
    elif best.separation < 2 * best.separation_se:
        doubts.append(
            f"The best separation is {_shown(best)}, which is not distinguishable from none. Give "
            "more examples, or read the direction where the behaviour is decided (positions)."
        )
    elif best.separation < LOW:
        doubts.append(
            f"The best separation is only {_shown(best)}; steering will do little. Read the "
            "direction where the behaviour is decided (positions), or give clearer examples."
        )
    elif later and _only_the_tokens(first, best):
        doubts.append(
            f"The two sides differ before the first block, by {_shown(first)}, and hardly more "
            f"later, by {_shown(best)}: the tokens that are read differ, and the direction may "
            "only tell these apart. Read it where the tokens are the same (positions)."
        )
    return doubts


def _only_the_tokens(first: StateRow, best: StateRow) -> bool:
    measured = math.isfinite(first.separation_se)
    return measured and first.separation > max(1.0, 0.8 * best.separation)


def _shown(row: StateRow) -> str:
    return f"d' = {row.separation:.2f} +- {row.separation_se:.2f} at state {row.state}"
