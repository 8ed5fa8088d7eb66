"""The mean of those examples that a probe is sure of."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.observer import Observer, require_several
from steersman.directions.probe import chosen_ridge, fit_logistic, fold_numbers
from steersman.errors import InputError

BETA = 0.9


@dataclass(frozen=True)
class ConfidentMean(Observer):
    """The difference of the means of confident examples.

        c = mean(x_i | desired, p_i >= beta) - mean(x_i | undesired, p_i >= beta)

    `p_i` is the probability that a logistic probe gives to the side example `i` is of. The probe
    that judges an example has not seen it: in many dimensions it would be sure of all it has seen.
    Examples `i` of two equally large sides are left out together; the ridge is the `probe`'s.

    Args:
        beta: the least confidence, from 0.5 up to below 1; at 0 every example counts and this is
            the mean difference.

    Raises:
        InputError: a `beta` that is no probability.

    Source:
        CONFST, confident direction steering, where the threshold is said to exist and no number is
        given: 0.9 is ours, and so is leaving out.
    """

    beta: float = BETA

    def __post_init__(self) -> None:
        """Check the threshold."""
        if not 0 <= self.beta < 1:
            raise InputError(f"beta is {self.beta}; it must be at least 0 and below 1.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "confident" if self.beta == BETA else f"confident:{self.beta:g}"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """The difference; zero where the probe is sure of no example of a side.

        Raises:
            InputError: a side of which there are fewer than two examples.
        """
        sides = (desired, undesired)
        kept = [
            side[sure >= self.beta]
            for side, sure in zip(sides, self.confidence(desired, undesired), strict=True)
        ]
        if not all(len(side) for side in kept):
            return torch.zeros_like(desired[0])
        return kept[0].mean(0) - kept[1].mean(0)

    def confidence(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> tuple[Float[Tensor, " desired"], Float[Tensor, " undesired"]]:
        """How sure the probe of the others is of each example, that it is of its own side.

        Args:
            desired: states of the desired examples, float64.
            undesired: of the undesired ones.

        Raises:
            InputError: a side of which there are fewer than two examples.
        """
        require_several(desired, undesired, self.name)
        if min(len(desired), len(undesired)) < 2:
            raise InputError(
                f"{len(desired)} desired and {len(undesired)} undesired examples: none can be "
                "judged by the others. Give two of each side or more, or use 'mean'."
            )
        x = torch.cat([desired, undesired])
        y = torch.ones(len(x), dtype=x.dtype)
        y[len(desired) :] = -1
        fold = fold_numbers(len(desired), len(undesired))
        ridge, sure = chosen_ridge(x, y, fold), torch.empty_like(y)
        for index in range(int(fold.max()) + 1):
            test = fold == index
            v, b = fit_logistic(x[~test], y[~test], (ridge,))
            sure[test] = torch.sigmoid(y[test] * (x[test] @ v[0] + b[0]))
        return sure[: len(desired)], sure[len(desired) :]
