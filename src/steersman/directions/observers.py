"""Observers by their names, as files and the command line write them."""

from steersman.directions.observer import MeanDifference, Observer
from steersman.directions.probe import Probe
from steersman.directions.whitened import Whitened
from steersman.errors import InputError, UnknownNameError

_PLAIN: dict[str, Observer] = {rule.name: rule for rule in (MeanDifference(), Whitened(), Probe())}
_WITH_NUMBER: dict[str, type[Whitened] | type[Probe]] = {"whitened": Whitened, "probe": Probe}


def observer_named(name: str) -> Observer:
    """The rule of that name.

    Args:
        name: "mean", "whitened", "probe", "whitened:<shrinkage>" or "probe:<ridge>".

    Raises:
        UnknownNameError: there is no such rule.
        InputError: the shrinkage or the ridge is no number, or one that cannot be.
    """
    kind, colon, text = name.partition(":")
    if colon and kind in _WITH_NUMBER:
        try:
            number = float(text)
        except ValueError as error:
            raise InputError(f"observer is {name!r}; {text!r} is no number.") from error
        return _WITH_NUMBER[kind](number)
    if name in _PLAIN:
        return _PLAIN[name]
    known = [*_PLAIN, *(f"{kind}:..." for kind in _WITH_NUMBER)]
    raise UnknownNameError(f"there is no observer {name!r}; choose one of {', '.join(known)}.")
