"""Rules by their names, as files and the command line write them."""

from collections.abc import Callable

from steersman.directions.confident import ConfidentMean
from steersman.directions.filtered import Filtered, Removed
from steersman.directions.lda import LinearDiscriminant
from steersman.directions.native import NativeAxis
from steersman.directions.observer import MeanDifference, Observer
from steersman.directions.one_for_all import OneForAll
from steersman.directions.pca import PrincipalComponent
from steersman.directions.probe import Probe
from steersman.directions.raptor import Raptor
from steersman.directions.rfm import FeatureMachine
from steersman.directions.whitened import Whitened
from steersman.errors import InputError, UnknownNameError

_PLAIN: dict[str, Observer] = {
    rule.name: rule
    for rule in (
        MeanDifference(),
        Whitened(),
        Probe(),
        PrincipalComponent(),
        PrincipalComponent("states"),
        LinearDiscriminant(),
        Raptor(),
        ConfidentMean(),
        OneForAll("sim"),
        OneForAll("norm"),
        NativeAxis(),
        FeatureMachine(),
    )
}
_WITH_NUMBER: dict[str, Callable[[float], Observer]] = {
    "whitened": Whitened,
    "probe": Probe,
    "confident": ConfidentMean,
}
_WITH_COUNT: dict[str, Callable[[int], Observer]] = {"native": NativeAxis, "rfm": FeatureMachine}
_CHANGED: dict[str, Callable[[Observer, int], Observer]] = {"filter": Filtered, "remove": Removed}
_CHOSEN: dict[str, Callable[[Observer], Observer]] = {
    "max-sim": lambda of: OneForAll("sim", of),
    "max-norm": lambda of: OneForAll("norm", of),
}


def observer_named(name: str) -> Observer:
    """The rule of that name.

    Args:
        name: a rule, such as "mean", "whitened", "probe", "whitened:<shrinkage>", "probe:<ridge>",
            "pca", "pca:states", "lda", "raptor", "raptor:<lambda>,<lambda>...",
            "confident:<beta>", "max-sim", "max-norm", "native", "native:<axis>", "rfm" or
            "rfm:<iterations>"; perhaps followed by "|filter:<axes>" or "|remove:<axes>",
            "|max-sim" or "|max-norm".

    Raises:
        UnknownNameError: there is no such rule.
        InputError: what follows a colon is no number, or one that cannot be.
    """
    first, *rest = name.split("|")
    rule = _rule(first)
    for change in rest:
        rule = _changed(rule, change)
    return rule


def _rule(name: str) -> Observer:
    kind, colon, text = name.partition(":")
    if name in _PLAIN:
        return _PLAIN[name]
    if colon and kind == "raptor":
        return Raptor(tuple(_number(name, one) for one in text.split(",")))
    if colon and kind in _WITH_NUMBER:
        return _WITH_NUMBER[kind](_number(name, text))
    if colon and kind in _WITH_COUNT:
        return _WITH_COUNT[kind](_count(name, text))
    known = [*_PLAIN, *(f"{kind}:..." for kind in (*_WITH_NUMBER, "raptor", *_WITH_COUNT))]
    raise UnknownNameError(
        f"there is no rule {name!r} for a direction; choose one of {', '.join(known)}."
    )


def _changed(rule: Observer, name: str) -> Observer:
    kind, colon, text = name.partition(":")
    if colon and kind in _CHANGED:
        return _CHANGED[kind](rule, _count(name, text))
    if name in _CHOSEN:
        return _CHOSEN[name](rule)
    if kind == "purified":
        raise InputError(
            "a purified rule needs the directions of the other features, which no name holds: "
            "make it with steersman.directions.Purified(rule, directions)."
        )
    known = [*(f"|{kind}:..." for kind in _CHANGED), *(f"|{kind}" for kind in _CHOSEN)]
    raise UnknownNameError(f"nothing changes a rule by |{name}; choose one of {', '.join(known)}.")


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{name!r}: {text!r} is no number.") from error


def _count(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"{name!r}: {text!r} is no whole number.") from error
