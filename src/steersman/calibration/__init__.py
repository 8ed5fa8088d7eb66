"""Strength without tuning: say what can be afforded or what is wanted, and get the strength."""

from steersman.calibration.aims import KL, Aim, Budget, Effort, Judge, Perplexity, Score
from steersman.calibration.calibrating import calibrate
from steersman.calibration.effects import divergence, perplexity_ratio, relative_effort
from steersman.calibration.result import Calibration, Point
from steersman.calibration.writing import Written
from steersman.estimates import Estimate, mean_over

__all__ = [
    "KL",
    "Aim",
    "Budget",
    "Calibration",
    "Effort",
    "Estimate",
    "Judge",
    "Perplexity",
    "Point",
    "Score",
    "Written",
    "calibrate",
    "divergence",
    "mean_over",
    "perplexity_ratio",
    "relative_effort",
]
