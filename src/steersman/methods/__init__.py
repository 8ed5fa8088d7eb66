"""Named compositions of directions, plants and laws, one file each."""

from steersman.errors import UnknownNameError
from steersman.methods.ablation import Ablation
from steersman.methods.addition import ActivationAddition
from steersman.methods.alphasteer import AlphaSteer
from steersman.methods.alqr import ALQR, ALQRPlus
from steersman.methods.angular import AngularSteering
from steersman.methods.attention_guided import AttentionGuided
from steersman.methods.austeer import AUSteer
from steersman.methods.axes import ParametricAxes
from steersman.methods.base import ExecutionName, Method, PlantKind, ReferenceName, Settled
from steersman.methods.bipo import BiPO
from steersman.methods.caa import CAA, ActAdd
from steersman.methods.cast import CAST
from steersman.methods.cdas import CDAS
from steersman.methods.clamp import Clamp
from steersman.methods.confst import ConfST
from steersman.methods.contrasts import (
    BiasMitigation,
    LanguageShift,
    Personality,
    RefusalAddition,
    ShiftOfMeans,
)
from steersman.methods.controller import Controller
from steersman.methods.counterfactual import Counterfactual
from steersman.methods.coupling import Coupling, coupling
from steersman.methods.cylinder import Cylinder
from steersman.methods.evidence import (
    AlignedStates,
    AtSite,
    Evidence,
    Means,
    Prompts,
    Read,
    Reread,
    Sides,
)
from steersman.methods.feature_lqr import FeatureLQR
from steersman.methods.function_vectors import FunctionVectors
from steersman.methods.grains import GrAInS
from steersman.methods.great_circle import GreatCircle
from steersman.methods.guiding_giants import GuidingGiants
from steersman.methods.half_space import StMP, StTP, SwFC
from steersman.methods.iti import ITI
from steersman.methods.iti_residual import ITIResidual
from steersman.methods.langfir import LangFIR, LangFIRAblation
from steersman.methods.lf_steering import LFSteering
from steersman.methods.lineas import LinEAS
from steersman.methods.manifold import Manifold
from steersman.methods.odesteer import ODESteer, StepODESteer
from steersman.methods.one_sided_clamp import OneSidedClamp
from steersman.methods.open_loop import OpenLoopLQR
from steersman.methods.pid import SPID, ProportionalAddition
from steersman.methods.pid_steering import PIDSteering, PIDSteeringOnce
from steersman.methods.pre_control import PreControl
from steersman.methods.prosv import PrOSV
from steersman.methods.raptor import RAPTOR
from steersman.methods.reasoning import Efficiency, OverthinkManifold, Seal
from steersman.methods.repe import RepE
from steersman.methods.riser import RISER
from steersman.methods.sae_feature import SAEClamp, SAEFeature
from steersman.methods.selective import SelectiveSteering
from steersman.methods.target_probability import TargetProbability
from steersman.methods.tracking import Tracking
from steersman.methods.transport import LinearAcT, MeanAcT
from steersman.methods.vectors import GivenVectors

_ALL = (
    ALQR,
    ALQRPlus,
    OpenLoopLQR,
    FeatureLQR,
    SPID,
    ProportionalAddition,
    PIDSteering,
    PIDSteeringOnce,
    ActivationAddition,
    Clamp,
    AngularSteering,
    Tracking,
    Counterfactual,
    GivenVectors,
    Ablation,
    SwFC,
    StTP,
    StMP,
    TargetProbability,
    ITI,
    ITIResidual,
    FunctionVectors,
    AttentionGuided,
    AUSteer,
    MeanAcT,
    LinearAcT,
    GreatCircle,
    OneSidedClamp,
    ParametricAxes,
    Cylinder,
    Manifold,
    ODESteer,
    StepODESteer,
    BiPO,
    LinEAS,
    PrOSV,
    CDAS,
    GuidingGiants,
    PreControl,
    RISER,
    CAA,
    ActAdd,
    RepE,
    ConfST,
    RAPTOR,
    CAST,
    Seal,
    Efficiency,
    BiasMitigation,
    Personality,
    RefusalAddition,
    LanguageShift,
    ShiftOfMeans,
    OverthinkManifold,
    SelectiveSteering,
    AlphaSteer,
    SAEFeature,
    SAEClamp,
    LangFIR,
    LangFIRAblation,
    LFSteering,
    GrAInS,
)
METHODS: dict[str, type[Method]] = {method.name: method for method in _ALL}


def method_named(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        UnknownNameError: there is none; lists those that there are.
    """
    if name not in METHODS:
        raise UnknownNameError(f"there is no method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]


__all__ = [
    "ALQR",
    "METHODS",
    "CAA",
    "CAST",
    "RAPTOR",
    "ActAdd",
    "AlphaSteer",
    "BiasMitigation",
    "ConfST",
    "Efficiency",
    "LanguageShift",
    "OverthinkManifold",
    "Personality",
    "Prompts",
    "RefusalAddition",
    "RepE",
    "Seal",
    "SelectiveSteering",
    "ShiftOfMeans",
    "SPID",
    "ActivationAddition",
    "AlignedStates",
    "AtSite",
    "ALQRPlus",
    "AngularSteering",
    "BiPO",
    "CDAS",
    "GrAInS",
    "GuidingGiants",
    "LangFIR",
    "LangFIRAblation",
    "LFSteering",
    "LinEAS",
    "PreControl",
    "PrOSV",
    "RISER",
    "SAEClamp",
    "SAEFeature",
    "Clamp",
    "Controller",
    "Counterfactual",
    "Coupling",
    "Evidence",
    "ExecutionName",
    "FeatureLQR",
    "FunctionVectors",
    "GivenVectors",
    "Means",
    "Method",
    "ODESteer",
    "OpenLoopLQR",
    "PIDSteering",
    "PIDSteeringOnce",
    "PlantKind",
    "ProportionalAddition",
    "Read",
    "ReferenceName",
    "Settled",
    "Sides",
    "StepODESteer",
    "coupling",
    "Tracking",
    "method_named",
    "Reread",
    "Ablation",
    "SwFC",
    "StTP",
    "StMP",
    "TargetProbability",
    "ITI",
    "ITIResidual",
    "AUSteer",
    "AttentionGuided",
    "MeanAcT",
    "LinearAcT",
    "GreatCircle",
    "OneSidedClamp",
    "ParametricAxes",
    "Cylinder",
    "Manifold",
]
