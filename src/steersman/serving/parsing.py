"""Which steerings a request asks for, and how strongly."""

import math
import re
from collections.abc import Mapping

from steersman.errors import InputError
from steersman.serving.errors import NotThereError, RequestError
from steersman.serving.limits import Limits
from steersman.serving.protocol import SteeringInfo, Strengths

Asked = Mapping[str, float | Mapping[str, float]]
"""A strength for each steering, or one for each of its features."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
USUAL = 1.0
"""The strength of a steering that is named without one."""


def require_name(name: str) -> str:
    """A name that a steering may be served by.

    Raises:
        InputError: it holds more than letters, digits, dashes and underscores.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"a steering cannot be served as {name!r}: its name may have letters, digits, - and _, "
            "begins with a letter or digit, and has at most 64 of them."
        )
    return name


def read_model(model: str, base: str) -> dict[str, float]:
    """The strengths in a model's name, as in `base+less-toxic:0.8+truthful`.

    Args:
        model: as a request names it.
        base: the name of the model that is served.

    Raises:
        NotThereError: another model.
        RequestError: a strength that is no number, or a steering named twice.
    """
    if model == base:
        return {}
    if not model.startswith(f"{base}+"):
        raise NotThereError(
            f"the model {model!r} is not served here; ask for {base!r}.", "model", "model_not_found"
        )
    found: dict[str, float] = {}
    for part in model.removeprefix(f"{base}+").split("+"):
        name, colon, number = part.partition(":")
        if name in found:
            raise RequestError(f"the model {model!r} names {name!r} twice.", "model")
        found[name] = _number(number, model) if colon else USUAL
    return found


def strengths_of(
    asked: Asked, loaded: Mapping[str, SteeringInfo], limits: Limits, param: str = "steering"
) -> Strengths:
    """What is asked for, checked and feature by feature, in the order in which steerings act.

    Args:
        asked: a strength for each steering; of several features one for each, or
            `{"steering.feature": strength}`.
        loaded: what there is.
        limits: how much may be asked.
        param: where the request says it.

    Raises:
        NotThereError: no such steering or feature.
        RequestError: too many steerings, or a strength that is not finite or too large.
    """
    found: dict[str, dict[str, float]] = {}
    for key, amount in asked.items():
        name, dot, feature = key.partition(".")
        info = _known(name, loaded, param)
        given = {feature: amount} if dot else amount
        for one, value in _by_feature(given, info, param).items():
            if one in found.setdefault(name, {}):
                raise RequestError(f"{_called(info, one)} has two strengths.", param)
            found[name][one] = _checked(value, _called(info, one), limits, param)
    if len(found) > limits.steerings:
        raise RequestError(
            f"{len(found)} steerings are asked for; a request may have {limits.steerings}.",
            param,
            "too_many_steerings",
        )
    for name, each in found.items():
        _require_all(loaded[name], each, param)
    return {name: found[name] for name in sorted(found)}


def _known(name: str, loaded: Mapping[str, SteeringInfo], param: str) -> SteeringInfo:
    if name not in loaded:
        names = ", ".join(sorted(loaded)) or "none"
        raise NotThereError(
            f"there is no steering {name[:80]!r}; loaded: {names}.", param, "steering_not_found"
        )
    return loaded[name]


def _by_feature(given: object, info: SteeringInfo, param: str) -> dict[str, object]:
    """The strength of each feature by its name; a plain number is that of the only one."""
    if not isinstance(given, Mapping):
        if len(info.features) > 1:
            names = ", ".join(f'"{name}": 1.0' for name in info.features)
            raise RequestError(
                f"{info.name!r} steers several features: give each its strength, as in "
                f'{{"{info.name}": {{{names}}}}}.',
                param,
            )
        return {info.features[0]: given}
    unknown = [str(name) for name in given if name not in info.features]
    if unknown:
        raise NotThereError(
            f"{info.name!r} has no feature {unknown[0][:80]!r}; it has {', '.join(info.features)}.",
            param,
            "feature_not_found",
        )
    if not given:
        raise RequestError(f"{info.name!r} is named without a strength.", param)
    return dict(given)


def _checked(value: object, what: str, limits: Limits, param: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise RequestError(f"the strength of {what} must be a finite number.", param)
    if abs(value) > limits.strength:
        raise RequestError(
            f"the strength of {what} is {float(value):g}; this server takes -{limits.strength:g} "
            f"to {limits.strength:g}.",
            param,
            "strength_out_of_range",
        )
    return float(value)


def _finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _require_all(info: SteeringInfo, given: Mapping[str, float], param: str) -> None:
    missing = [name for name in info.features if name not in given]
    if info.needs_all and missing:
        raise RequestError(
            f"{info.name!r} holds every feature at a value: give the strength of "
            f"{', '.join(missing)} too.",
            param,
        )


def _called(info: SteeringInfo, feature: str) -> str:
    return repr(info.name if len(info.features) == 1 else f"{info.name}.{feature}")


def _number(text: str, model: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RequestError(
            f"the model {model!r} has the strength {text!r}, which is no number: write it as in "
            "base+name:0.8.",
            "model",
        ) from None
