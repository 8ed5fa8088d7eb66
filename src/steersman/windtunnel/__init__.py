"""The wind tunnel: a controlled world with exact scores, and a small model that lives in it."""

from steersman.windtunnel.behaviours import Behaviour, Item, behaviour, names
from steersman.windtunnel.domains import domains
from steersman.windtunnel.embedded import load
from steersman.windtunnel.experiment import (
    UNSTEERED,
    Condition,
    Outcome,
    compare,
    fit_behaviour,
)
from steersman.windtunnel.measure import Measurement, Sample, generate, measure
from steersman.windtunnel.scores import Score

__all__ = [
    "UNSTEERED",
    "Behaviour",
    "Condition",
    "Item",
    "Measurement",
    "Outcome",
    "Sample",
    "Score",
    "behaviour",
    "compare",
    "domains",
    "fit_behaviour",
    "generate",
    "load",
    "measure",
    "names",
]
