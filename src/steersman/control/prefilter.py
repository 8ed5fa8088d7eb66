"""What has to be asked of a loop, so that it does what was wanted."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError, NumericalError

MIN_GAIN = 1e-6
"""Below this share of the asked shift a loop is said to have no authority."""


def prefilter(
    reached: Float[Tensor, "k k"], units: Float[Tensor, " k"], names: Sequence[str] = ()
) -> Float[Tensor, "k k"]:
    """The reference prefilter `N` of unit static gain: asking for `N tau` brings `tau` about.

    A loop stops short of its reference, and what it does for one feature moves the others. Its
    answer is linear in the reference, so a matrix puts that right on the nominal plant,

        M N = diag(units)        M_ij = v_i' delta_T  where one unit of feature j is asked for

    and the feedback itself is left as it was. It is solved for, and never inverted.

    Args:
        reached: `M`; how far each feature moves after the last block, a column for each demand.
        units: the shift of each feature after the last block that one unit of its target asks for,
            above zero.
        names: what the features are called, for messages.

    Returns:
        `N`; for one feature negative where the loop, left alone, moves it the wrong way.

    Raises:
        InputError: a unit is not above zero.
        NumericalError: a feature that the loop cannot move, demands that it cannot meet together,
            or a loop that diverges.

    Source:
        Franklin, Powell and Emami-Naeini, Feedback Control of Dynamic Systems, chapter 7.
    """
    called = [f" {name!r}" for name in names] if len(units) > 1 else [""]
    called = called or [f" {index}" for index in range(len(units))]
    for name, unit in zip(called, units.tolist(), strict=True):
        if not (math.isfinite(unit) and unit > 0):
            raise InputError(
                f"The unit of the final feature{name} is {unit}; it must be finite and above zero. "
                "The examples have to differ after the last block."
            )
    natural = reached / units.unsqueeze(1)
    _require_authority(reached, natural, called, units)
    _require_separable(natural, called)
    found: Tensor = torch.linalg.solve(reached.double(), torch.diag(units).double())
    return found.to(reached)


def _require_authority(
    reached: Tensor, natural: Tensor, called: Sequence[str], units: Tensor
) -> None:
    """Every feature answers to something."""
    most = natural.abs().amax(dim=1)
    for index, name in enumerate(called):
        if not bool(natural[index].isfinite().all()) or float(most[index]) <= MIN_GAIN:
            best = reached[index, natural[index].abs().argmax()]
            raise NumericalError(
                f"The loop moves the final feature{name} by {float(best):.3g} where "
                f"{float(units[index]):.3g} is asked: it has no authority over it. Act at more "
                "blocks, raise q/r or qf/r, or choose another direction."
            )


def _require_separable(natural: Tensor, called: Sequence[str]) -> None:
    """No feature's answer is a combination of the others', to rounding."""
    rows = torch.nn.functional.normalize(natural.double(), dim=1)
    columns = torch.nn.functional.normalize(rows, dim=0)
    left, sizes, _ = torch.linalg.svd(columns)
    if float(sizes[-1]) > MIN_GAIN:
        return
    alike = [called[i].strip() for i in (left[:, -1].abs() > 0.01).nonzero().flatten().tolist()]
    raise NumericalError(
        f"The loop cannot meet the demands on the final features {' and '.join(alike)} one by one: "
        f"what moves one moves the others alike (smallest singular value {float(sizes[-1]):.1e}). "
        "Act at more blocks or by more actuators, or leave a feature out."
    )
