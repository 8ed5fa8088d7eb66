"""Named compositions of directions, plants and laws, one file each."""

from steersman.errors import UnknownNameError
from steersman.methods.addition import ActivationAddition
from steersman.methods.alqr import ALQR, ALQRPlus
from steersman.methods.base import Controller, ExecutionName, Method, PlantKind, ReferenceName
from steersman.methods.feature_lqr import FeatureLQR

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (ALQR, ALQRPlus, FeatureLQR, ActivationAddition)
}


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
    "ActivationAddition",
    "ALQRPlus",
    "Controller",
    "ExecutionName",
    "FeatureLQR",
    "Method",
    "PlantKind",
    "ReferenceName",
    "method_named",
]
