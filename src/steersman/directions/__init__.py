"""From states of contrastive examples to directions, and whether they are worth steering by."""

from steersman.directions.boundary import Boundary
from steersman.directions.conditional import (
    RANKS,
    RIDGES,
    Choice,
    ConditionalShift,
    choose,
    conditional_shift,
    plainest,
)
from steersman.directions.confident import ConfidentMean
from steersman.directions.covariance import Covariance, shrunk_covariance
from steersman.directions.direction import Direction, StateRow
from steersman.directions.doubts import worth_steering
from steersman.directions.features import ALONE, Features, listed
from steersman.directions.filtered import Filtered, Removed
from steersman.directions.kernel_machine import Learnt, feature_machine
from steersman.directions.lda import LinearDiscriminant
from steersman.directions.mean_difference import contrast
from steersman.directions.native import NativeAxis
from steersman.directions.natural import Natural, natural_differences
from steersman.directions.naturalness import Naturalness
from steersman.directions.observer import MeanDifference, Observer
from steersman.directions.observers import observer_named
from steersman.directions.one_for_all import OneForAll
from steersman.directions.pca import PrincipalComponent
from steersman.directions.probe import Probe, fit_logistic, fold_numbers
from steersman.directions.purified import Purified
from steersman.directions.raptor import Raptor, Tuned
from steersman.directions.rfm import FeatureMachine
from steersman.directions.separation import Separation, separation
from steersman.directions.subspace import Subspace, principal_axes
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
    "fold_numbers",
    "listed",
    "plainest",
    "natural_differences",
    "observer_named",
    "separation",
    "shrunk_covariance",
    "Boundary",
    "ConfidentMean",
    "Filtered",
    "Removed",
    "Learnt",
    "feature_machine",
    "LinearDiscriminant",
    "NativeAxis",
    "OneForAll",
    "PrincipalComponent",
    "Purified",
    "Raptor",
    "Tuned",
    "FeatureMachine",
    "Subspace",
    "principal_axes",
    "worth_steering",
]
