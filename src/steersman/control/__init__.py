"""Control on a linear time-varying plant. Torch only: it knows no language model."""

from steersman.control.law import AffineLaw, Law
from steersman.control.lqr import cost, feature_gains
from steersman.control.riccati import RiccatiStep, dense_riccati
from steersman.control.setpoint import Absolute, Paper, Reference, Relative, Target, Units
from steersman.control.simulate import Rollout, plan, prefilter, reached, simulate
from steersman.control.system import LTVSystem

__all__ = [
    "Absolute",
    "AffineLaw",
    "LTVSystem",
    "Law",
    "Paper",
    "Reference",
    "Relative",
    "RiccatiStep",
    "Rollout",
    "Target",
    "Units",
    "cost",
    "dense_riccati",
    "feature_gains",
    "plan",
    "prefilter",
    "reached",
    "simulate",
]
