"""Control on a linear time-varying plant. Torch only: it knows no language model."""

from steersman.control.along import along, clamped, mirrored, offset, scaled
from steersman.control.angular import AngularLaw
from steersman.control.authority import (
    Authority,
    AuthorityRow,
    authority,
    controllability,
    observability,
)
from steersman.control.barrier import Barrier, LinearBarrier, UnitBarrier
from steersman.control.bounds import Remainder, error_bound
from steersman.control.by_place import ByPlace
from steersman.control.capped import Capped, CappedState
from steersman.control.conformal import conformal_bound, prompts_needed
from steersman.control.curve import CurveLaw
from steersman.control.cylinder import CylinderLaw
from steersman.control.diagonal import DiagonalField
from steersman.control.effort import Effort
from steersman.control.feature_cost import FeatureCost
from steersman.control.feature_design import FeatureDesign
from steersman.control.field import AffineField
from steersman.control.flow import FlowLaw, Solver
from steersman.control.great_circle import GreatCircleLaw
from steersman.control.law import AffineLaw, Law, Reads
from steersman.control.loop import ClosedLoop
from steersman.control.low_rank import LowRankGains, low_rank_gains
from steersman.control.lqr import cost, feature_gains, least_errors
from steersman.control.lyapunov import Lyapunov
from steersman.control.norm_kept import NormKept
from steersman.control.observer import DisturbanceObserver
from steersman.control.one_sided import ClampLaw, Side
from steersman.control.pid import PIDLaw, PIDState
from steersman.control.prefilter import prefilter
from steersman.control.propagate import Product, propagate
from steersman.control.quadratic import QuadraticBarrier
from steersman.control.readout import Readout
from steersman.control.remainder import linear_range, relative_remainder
from steersman.control.riccati import RiccatiStep, dense_riccati
from steersman.control.rows import RowsLaw
from steersman.control.sensitivity import answer, sensitivities
from steersman.control.setpoint import Absolute, Held, Paper, Reference, Relative, Target
from steersman.control.simulate import Rollout, plan, reached, simulate
from steersman.control.sketch import Sketch, SketchBarrier
from steersman.control.soft import Softly
from steersman.control.sparse import ActivatedBias, FeatureClamp, SparseLaw
from steersman.control.spline import spline
from steersman.control.square_root import feature_lqr
from steersman.control.stage import Stage
from steersman.control.subspaces import (
    Leading,
    chance_similarity,
    drawn_similarity,
    leading,
    random_corners,
    similarities,
)
from steersman.control.system import LTVSystem, Plant
from steersman.control.toward import Toward
from steersman.control.trajectory import Trajectory, duality_gap, roll_out
from steersman.control.turning import TurnLaw
from steersman.control.units import Units
from steersman.control.within import Within

__all__ = [
    "ActivatedBias",
    "FeatureClamp",
    "SparseLaw",
    "ClampLaw",
    "CurveLaw",
    "CylinderLaw",
    "DiagonalField",
    "GreatCircleLaw",
    "Side",
    "Within",
    "along",
    "clamped",
    "mirrored",
    "offset",
    "scaled",
    "spline",
    "relative_remainder",
    "linear_range",
    "similarities",
    "random_corners",
    "leading",
    "drawn_similarity",
    "chance_similarity",
    "Leading",
    "Absolute",
    "AffineField",
    "AffineLaw",
    "DisturbanceObserver",
    "Authority",
    "Barrier",
    "FlowLaw",
    "LinearBarrier",
    "QuadraticBarrier",
    "Sketch",
    "SketchBarrier",
    "Solver",
    "UnitBarrier",
    "AuthorityRow",
    "ClosedLoop",
    "AngularLaw",
    "NormKept",
    "Softly",
    "TurnLaw",
    "ByPlace",
    "Capped",
    "CappedState",
    "Effort",
    "FeatureCost",
    "FeatureDesign",
    "Held",
    "LTVSystem",
    "Law",
    "Lyapunov",
    "LowRankGains",
    "PIDLaw",
    "PIDState",
    "Paper",
    "Plant",
    "Product",
    "Readout",
    "Reads",
    "Reference",
    "Relative",
    "Remainder",
    "RiccatiStep",
    "Rollout",
    "RowsLaw",
    "Stage",
    "Target",
    "Toward",
    "Trajectory",
    "Units",
    "answer",
    "authority",
    "conformal_bound",
    "controllability",
    "cost",
    "dense_riccati",
    "duality_gap",
    "error_bound",
    "feature_gains",
    "feature_lqr",
    "least_errors",
    "observability",
    "low_rank_gains",
    "plan",
    "prefilter",
    "prompts_needed",
    "propagate",
    "reached",
    "roll_out",
    "sensitivities",
    "simulate",
]
