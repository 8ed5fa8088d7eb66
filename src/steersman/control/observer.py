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

    A run that was denied some of what it asked for, as by a cap, misses its target whatever is
    asked. Such a miss is no disturbance, and the estimate waits, so that it does not pile up what
    nothing could act on and overshoots when the cap lets go. Only a miss that asks for less than
    was denied is learnt from (anti-windup by conditional integration).

    Args:
        gain: the share of the last miss that is made up for; above 0, below 2.

    Raises:
        InputError: another gain.

    Source:
        Pannocchia and Rawlings, Disturbance Models for Offset-Free Model-Predictive Control (2003);
        Astrom and Murray, Feedback Systems, chapter 11, for conditional integration.
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
        denied: Float[Tensor, "rows features"] | None = None,
    ) -> Float[Tensor, "rows features"]:
        """The correction for the next run.

        Args:
            correction: that of the last run.
            missed: target minus what was reached.
            acted: the rows in which the loop acted at all; the others learn nothing.
            denied: which way, by its sign, the loop would have pushed each feature further, had it
                been let; zero where it was. None is nowhere.
        """
        learns = acted.unsqueeze(1)
        if denied is not None:
            learns = learns & ~(denied.to(missed) * missed > 0)
        return correction + self.gain * torch.where(learns, missed, torch.zeros_like(missed))
