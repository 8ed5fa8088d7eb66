"""The direction that a recursive feature machine learns from the two sides."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.kernel_machine import ITERATIONS, feature_machine
from steersman.directions.observer import Observer
from steersman.directions.probe import fold_numbers
from steersman.directions.subspace import upwards
from steersman.errors import InputError


@dataclass(frozen=True)
class FeatureMachine(Observer):
    """`u` of `feature_machine` with the label 1 on desired and 0 on undesired examples.

    Four fifths of the examples are learnt from, and the last fifth chooses; which is fixed, and
    pairs stay together. The method `attention-guided` has labels by attention instead of the side.
    The sign is that of the difference of the means, the length one.

    Sixty kernel fits a state, and six times that for the separation out of sample: much dearer
    than the other rules where there are hundreds of examples.

    Args:
        iterations: updates of the metric.

    Raises:
        InputError: less than one iteration.

    Source:
        arXiv 2602.00333, with the sides as labels.
    """

    iterations: int = ITERATIONS

    def __post_init__(self) -> None:
        """Check the iterations."""
        if self.iterations < 1:
            raise InputError(f"rfm has {self.iterations} iterations; give 1 or more.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "rfm" if self.iterations == ITERATIONS else f"rfm:{self.iterations}"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """The direction; zero where the machine finds none that fits what was held out.

        Raises:
            InputError: fewer than two examples of a side.
        """
        if min(len(desired), len(undesired)) < 2:
            raise InputError(
                f"{len(desired)} desired and {len(undesired)} undesired examples: rfm learns from "
                "some and chooses by others. Give two of each side or more, or use 'mean'."
            )
        x = torch.cat([desired, undesired])
        y = torch.zeros(len(x), dtype=x.dtype)
        y[: len(desired)] = 1
        held = fold_numbers(len(desired), len(undesired)) == 0
        found = feature_machine(x[~held], y[~held], x[held], y[held], iterations=self.iterations)
        return upwards(found.direction, desired.mean(0) - undesired.mean(0))
