"""Named compositions of directions, plants and laws, one file each."""

from steersman.errors import UnknownNameError
from steersman.methods.addition import ActivationAddition
from steersman.methods.alqr import ALQR, ALQRPlus
from steersman.methods.base import (
    AlignedStates,
    Controller,
    Evidence,
    ExecutionName,
    Method,
    PlantKind,
    ReferenceName,
    Settled,
)
from steersman.methods.counterfactual import Counterfactual
from steersman.methods.coupling import Coupling, coupling
from steersman.methods.feature_lqr import FeatureLQR
from steersman.methods.pid import SPID, ProportionalAddition

_ALL = (ALQR, ALQRPlus, FeatureLQR, SPID, ProportionalAddition, ActivationAddition, Counterfactual)
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
    "Controller",
    "Counterfactual",
    "Coupling",
    "Evidence",
    "ExecutionName",
    "FeatureLQR",
    "Method",
    "PlantKind",
    "ProportionalAddition",
    "ReferenceName",
    "Settled",
    "coupling",
    "method_named",
]
