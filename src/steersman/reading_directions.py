"""Directions read from examples, with a warning where they tell the sides apart badly."""

import warnings
from pathlib import Path
from typing import Any

from torch import nn

from steersman.data import AlignedPairs, ContrastivePairs
from steersman.directions import Direction, Observer, contrast, observer_named, worth_steering
from steersman.methods import Sides
from steersman.plant import Positions, StateCache
from steersman.reading import Examples, read_states

Pairs = ContrastivePairs | AlignedPairs


def read_direction(
    model: nn.Module,
    tokenizer: Any,
    pairs: Pairs,
    *,
    positions: str | Positions | None = None,
    direction: str | Observer = "mean",
    observer: str | Observer | None = None,
    batch_size: int = 16,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Direction:
    """The contrast of desired and undesired examples, the feature that shows it, its separation.

    Warns where the direction does not separate the examples well enough to steer by.

    Args:
        model: the loaded model.
        tokenizer: its tokenizer.
        pairs: the examples.
        positions: which tokens are read, as in `fit`; several of one example are averaged.
        direction: along what the feature is pushed, as in `fit`.
        observer: along what it is observed, as in `fit`.
        batch_size: examples at a time.
        cache: a folder to keep the states in, as in `fit`.
        progress: show how far it is.

    Raises:
        InputError: an example longer than the context, identical sides, or too few examples for the
            direction or the observer.
        UnknownNameError: no such direction, observer or position rule.
        NumericalError: states that are not finite.
    """
    along, rule = rules_of(direction, observer)
    examples = Examples.of(pairs, positions)
    sides = read_states(
        model,
        tokenizer,
        examples,
        batch_size=batch_size,
        progress=progress,
        cache=None if cache is None else StateCache(Path(cache)),
    )
    return told(sides, along, rule)


def rules_of(
    direction: str | Observer, observer: str | Observer | None
) -> tuple[Observer, Observer]:
    """Along what is pushed, and along what is observed: the same, unless something else is asked.

    Args:
        direction: a rule or its name, as in `fit`.
        observer: likewise; None is the same.

    Raises:
        UnknownNameError: there is no such rule.
        InputError: a number in a name that cannot be.
    """
    along = observer_named(direction) if isinstance(direction, str) else direction
    if observer is None:
        return along, along
    return along, observer_named(observer) if isinstance(observer, str) else observer


def told(sides: Sides, along: Observer, observer: Observer) -> Direction:
    """The direction that the sides show.

    Args:
        sides: the states of both.
        along: what is pushed.
        observer: what is observed.

    Warns where it does not separate the examples well enough to steer by.
    """
    direction = contrast(*sides, direction=along, observer=observer)
    for doubt in worth_steering(direction):
        warnings.warn(doubt, stacklevel=3)
    return direction
