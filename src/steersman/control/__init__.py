"""Control on a linear time-varying plant. Torch only: it knows no language model."""

from steersman.control.angular import AngularLaw
from steersman.control.capped import Capped
from steersman.control.effort import Effort
from steersman.control.feature_cost import FeatureCost
from steersman.control.feature_design import FeatureDesign
from steersman.control.field import AffineField
from steersman.control.law import AffineLaw, Law
from steersman.control.low_rank import LowRankGains, low_rank_gains
from steersman.control.lqr import cost, feature_gains
from steersman.control.pid import PIDLaw, PIDState
from steersman.control.propagate import Product, propagate
from steersman.control.riccati import RiccatiStep, dense_riccati
from steersman.control.rows import RowsLaw
from steersman.control.setpoint import Absolute, Paper, Reference, Relative, Target, Units
from steersman.control.simulate import Rollout, plan, prefilter, reached, simulate
from steersman.control.square_root import feature_lqr
from steersman.control.stage import Stage
from steersman.control.system import LTVSystem, Plant
from steersman.control.toward import Toward
from steersman.control.trajectory import Trajectory, duality_gap, roll_out

__all__ = [
    "Absolute",
    "AffineField",
    "AffineLaw",
    "AngularLaw",
    "Capped",
    "Effort",
    "FeatureCost",
    "FeatureDesign",
    "LTVSystem",
    "Law",
    "LowRankGains",
    "PIDLaw",
    "PIDState",
    "Paper",
    "Plant",
    "Product",
    "Reference",
    "Relative",
    "RiccatiStep",
    "Rollout",
    "RowsLaw",
    "Stage",
    "Target",
    "Toward",
    "Trajectory",
    "Units",
    "cost",
    "dense_riccati",
    "duality_gap",
    "feature_gains",
    "feature_lqr",
    "low_rank_gains",
    "plan",
    "prefilter",
    "propagate",
    "reached",
    "roll_out",
    "simulate",
]
