"""From states of contrastive examples to directions, and whether they are worth steering by."""

from steersman.directions.conditional import (
    RANKS,
    RIDGES,
    Choice,
    ConditionalShift,
    choose,
    conditional_shift,
)
from steersman.directions.direction import Direction, StateRow
from steersman.directions.doubts import worth_steering
from steersman.directions.features import ALONE, Features, listed
from steersman.directions.mean_difference import contrast
from steersman.directions.separation import Separation, separation

__all__ = [
    "ALONE",
    "RANKS",
    "RIDGES",
    "Choice",
    "ConditionalShift",
    "Direction",
    "Features",
    "Separation",
    "StateRow",
    "choose",
    "conditional_shift",
    "contrast",
    "listed",
    "separation",
    "worth_steering",
]
