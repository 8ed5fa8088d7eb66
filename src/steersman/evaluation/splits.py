"""Which split a text belongs to: its own words decide, so that no copy of it is in another."""

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from steersman.errors import InputError

T = TypeVar("T")
Part = Literal["fit", "validation", "test"]

SHARES: Mapping[Part, float] = {"fit": 0.4, "validation": 0.2, "test": 0.4}
"""What share of all texts belongs to each split."""
SCORING: Mapping[Part, float] = {"validation": 0.3, "test": 0.7}
"""The same, where the examples to fit on come from elsewhere."""


def part_of(text: str, shares: Mapping[Part, float] = SHARES) -> Part:
    """The split of a text, the same on every machine; case and white space do not count.

    Args:
        text: what the split is decided by.
        shares: the share of each split, which sum to 1.
    """
    words = " ".join(text.lower().split())
    place = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") / 2**64
    reached = 0.0
    for part, share in shares.items():
        reached += share
        if place < reached:
            return part
    return part  # the shares sum to 1 but for rounding


def without(texts: Iterable[T], taken: Iterable[T], key: Callable[[T], str]) -> list[T]:
    """Those that are not taken already, and each only once; case and white space do not count.

    Args:
        texts: what is asked for.
        taken: what belongs to another split.
        key: the text that decides.
    """
    seen = {" ".join(key(one).lower().split()) for one in taken}
    found = []
    for one in texts:
        words = " ".join(key(one).lower().split())
        if words not in seen:
            seen.add(words)
            found.append(one)
    return found


def drawn(pool: Sequence[T], what: str, seed: int, count: int | None) -> tuple[T, ...]:
    """Some of a pool in an order that the seed decides; all of it in its own order for None.

    Args:
        pool: what to draw from, without replacement.
        what: what it is called, which decides the order too.
        seed: of the draw.
        count: how many; all of a smaller pool.

    Raises:
        InputError: the pool is empty, or nothing is asked for.
    """
    if count is not None and count < 1:
        raise InputError(f"count is {count}; ask for at least 1 item.")
    if not pool:
        raise InputError(f"there are no {what}: the data are too few for the splits.")
    if count is None:
        return tuple(pool)
    return tuple(random.Random(f"{what} {seed}").sample(list(pool), min(count, len(pool))))
