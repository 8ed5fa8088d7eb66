"""From states of contrastive examples to directions, and whether they are worth steering by."""

from steersman.directions.conditional import (
    RANKS,
    RIDGES,
    Choice,
    ConditionalShift,
    choose,
    conditional_shift,
    plainest,
)
from steersman.directions.covariance import Covariance, shrunk_covariance
from steersman.directions.direction import Direction, StateRow
from steersman.directions.doubts import worth_steering
from steersman.directions.features import ALONE, Features, listed
from steersman.directions.mean_difference import contrast
from steersman.directions.natural import Natural, natural_differences
from steersman.directions.naturalness import Naturalness
from steersman.directions.observer import MeanDifference, Observer
from steersman.directions.observers import observer_named
from steersman.directions.probe import Probe, fit_logistic, folds_of
from steersman.directions.separation import Separation, separation
from steersman.directions.whitened import Whitened

__all__ = [
    "ALONE",
    "RANKS",
    "RIDGES",
    "Choice",
    "ConditionalShift",
    "Covariance",
    "Direction",
    "Features",
    "MeanDifference",
    "Natural",
    "Naturalness",
    "Observer",
    "Probe",
    "Separation",
    "StateRow",
    "Whitened",
    "choose",
    "conditional_shift",
    "contrast",
    "fit_logistic",
    "folds_of",
    "listed",
    "plainest",
    "natural_differences",
    "observer_named",
    "separation",
    "shrunk_covariance",
    "worth_steering",
]
