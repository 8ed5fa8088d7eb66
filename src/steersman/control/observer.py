"""An estimate of what disturbs a loop, carried from one run of it to the next."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.errors import InputError


@dataclass(frozen=True)
class DisturbanceObserver:
    """Offset-free tracking: what the last run missed is asked for in addition in the next one.

        y_i = r_i + d_i                       what run i reaches, asked for r_i, disturbed by d_i
        dhat_{i+1} = dhat_i + gain (y_i - r_i - dhat_i)       r_{i+1} = target - dhat_{i+1}

    With `r_i = target - dhat_i` the bracket is what was missed, `y_i - target`, so the correction
    `-dhat` is its integral over the runs. A constant disturbance is made up for wherever
    `0 < gain < 2`; one that is new in every run is better left alone, as its estimate comes late.

    Args:
        gain: the share of the last miss that is made up for; above 0, below 2.

    Raises:
        InputError: another gain.

    Source:
        Pannocchia and Rawlings, Disturbance Models for Offset-Free Model-Predictive Control (2003).
    """

    gain: float

    def __post_init__(self) -> None:
        """Check the gain."""
        if not 0 < self.gain < 2:
            raise InputError(
                f"the correction is {self.gain}; it must be above 0 and below 2, where the "
                "estimate converges."
            )

    def step(
        self,
        correction: Float[Tensor, "rows features"],
        missed: Float[Tensor, "rows features"],
        acted: Bool[Tensor, " rows"],
    ) -> Float[Tensor, "rows features"]:
        """The correction for the next run.

        Args:
            correction: that of the last run.
            missed: target minus what was reached.
            acted: the rows in which the loop acted at all; the others learn nothing.
        """
        learnt = torch.where(acted.unsqueeze(1), missed, torch.zeros_like(missed))
        return correction + self.gain * learnt
