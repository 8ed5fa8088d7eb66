"""RAPTOR: a logistic probe of standardised states, its ridge tuned on examples held out."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.boundary import Boundary
from steersman.directions.observer import Observer, centred, require_several
from steersman.directions.probe import EXACT, ROUGH, fit_logistic, fold_numbers
from steersman.errors import InputError

STRENGTHS = tuple(10.0**power for power in range(-3, 5))


class Tuned(NamedTuple):
    """What the tuning found.

    Attributes:
        boundary: the probe of all examples, in units of the states.
        strength: the ridge, `lambda`.
        accuracy: share of the examples held out that the probe of the others put on their side,
            at this strength; NaN where none could be held out.
    """

    boundary: Boundary
    strength: float
    accuracy: float


@dataclass(frozen=True)
class Raptor(Observer):
    """`v = w / |w|` of the logistic regression of the side on the standardised state.

        minimise  sum_i log(1 + exp(-y_i (u'z_i + a))) + lambda/2 |u|^2,   z = (x - m) / s
        w = u / s,   b = a - w'm                                back in units of the states

    `lambda` is the one whose probe of four fifths of the examples puts most of the last fifth on
    their side, the largest of equals; then the probe is made of all examples. Which are held out
    is fixed, and pairs are held out together. A coordinate that does not vary has no weight.

    `probe` differs by its measure: it does not standardise, and its ridge is the one of least loss,
    cross-validated.

    Args:
        strengths: `lambda` to choose from, each above zero.

    Raises:
        InputError: no strength, or one that is not above zero.

    Source:
        RAPTOR: ridge-adaptive logistic probes. The grid and the standardisation are ours where the
        abstract does not tell.
    """

    strengths: tuple[float, ...] = STRENGTHS

    def __post_init__(self) -> None:
        """Check the strengths."""
        if not self.strengths or not all(one > 0 for one in self.strengths):
            raise InputError(f"strengths are {self.strengths}; give some, each above zero.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        if self.strengths == STRENGTHS:
            return "raptor"
        return f"raptor:{','.join(f'{one:g}' for one in self.strengths)}"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """`w`; zero where no coordinate varies.

        Raises:
            InputError: one example of each side.
        """
        return self.fit(desired, undesired).boundary.weights

    def fit(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Tuned:
        """The probe with its bias, and how it was tuned.

        Args:
            desired: states of the desired examples, float64.
            undesired: of the undesired ones.

        Raises:
            InputError: one example of each side.
        """
        require_several(desired, undesired, self.name)
        x = torch.cat([desired, undesired])
        y = torch.ones(len(x), dtype=x.dtype)
        y[len(desired) :] = -1
        # The largest first: the next one starts near its end, and it is the first of equals.
        strengths = sorted(self.strengths, reverse=True)
        held = fold_numbers(len(desired), len(undesired)) == 0
        if bool(held.all()):
            strength, accuracy = strengths[0], float("nan")
        else:
            probes = _probes(x[~held], y[~held], strengths, ROUGH)
            right = [float((y[held] * (x[held] @ p.weights + p.bias) > 0).sum()) for p in probes]
            best = right.index(max(right))
            strength, accuracy = strengths[best], right[best] / int(held.sum())
        return Tuned(_probes(x, y, [strength], EXACT)[0], strength, accuracy)


def _probes(x: Tensor, y: Tensor, strengths: list[float], tolerance: float) -> list[Boundary]:
    """One probe for each strength, from the strongest to the weakest ridge."""
    mean, X = x.mean(0), centred(x)
    deviation = X.square().mean(0).sqrt()
    varies = deviation > 0
    deviation = torch.where(varies, deviation, torch.ones_like(deviation))
    # The mean square length of standardised states is the number of coordinates that vary.
    unit = len(x) * max(1, int(varies.sum()))
    u, a = fit_logistic(X / deviation, y, [one / unit for one in strengths], tolerance)
    w = u / deviation
    return [Boundary(one, float(bias - one @ mean)) for one, bias in zip(w, a, strict=True)]
