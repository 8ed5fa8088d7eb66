"""From states of contrastive examples to directions, and whether they are worth steering by."""

from steersman.directions.direction import Direction, StateRow
from steersman.directions.doubts import worth_steering
from steersman.directions.mean_difference import contrast
from steersman.directions.separation import Separation, separation

__all__ = [
    "Direction",
    "Separation",
    "StateRow",
    "contrast",
    "separation",
    "worth_steering",
]
