"""Named compositions of directions, plants and laws, one file each."""

from steersman.errors import UnknownNameError
from steersman.methods.addition import ActivationAddition
from steersman.methods.alqr import ALQR, ALQRPlus
from steersman.methods.angular import AngularSteering
from steersman.methods.base import (
    AlignedStates,
    Controller,
    Evidence,
    ExecutionName,
    Means,
    Method,
    PlantKind,
    Read,
    ReferenceName,
    Settled,
    Sides,
)
from steersman.methods.bipo import BiPO
from steersman.methods.cdas import CDAS
from steersman.methods.clamp import Clamp
from steersman.methods.counterfactual import Counterfactual
from steersman.methods.coupling import Coupling, coupling
from steersman.methods.feature_lqr import FeatureLQR
from steersman.methods.guiding_giants import GuidingGiants
from steersman.methods.lineas import LinEAS
from steersman.methods.open_loop import OpenLoopLQR
from steersman.methods.pid import SPID, ProportionalAddition
from steersman.methods.pid_steering import PIDSteering, PIDSteeringOnce
from steersman.methods.pre_control import PreControl
from steersman.methods.prosv import PrOSV
from steersman.methods.riser import RISER
from steersman.methods.tracking import Tracking
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
    BiPO,
    LinEAS,
    PrOSV,
    CDAS,
    GuidingGiants,
    PreControl,
    RISER,
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
    "SPID",
    "ActivationAddition",
    "AlignedStates",
    "ALQRPlus",
    "AngularSteering",
    "BiPO",
    "CDAS",
    "GuidingGiants",
    "LinEAS",
    "PreControl",
    "PrOSV",
    "RISER",
    "Clamp",
    "Controller",
    "Counterfactual",
    "Coupling",
    "Evidence",
    "ExecutionName",
    "FeatureLQR",
    "GivenVectors",
    "Means",
    "Method",
    "OpenLoopLQR",
    "PIDSteering",
    "PIDSteeringOnce",
    "PlantKind",
    "ProportionalAddition",
    "Read",
    "ReferenceName",
    "Settled",
    "Sides",
    "coupling",
    "Tracking",
    "method_named",
]
