"""A number that was measured, and how well it is known."""

from dataclasses import dataclass
from math import nan

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error over prompts, which is NaN for one prompt alone."""

    value: float
    se: float

    def __str__(self) -> str:
        """Both, to three and two digits; what is left of rounding is no error."""
        se = 0.0 if self.se < 1e-6 * abs(self.value) else self.se
        return f"{self.value:.3g} +- {se:.2g}"


def mean_over(values: Float[Tensor, " prompts"]) -> Estimate:
    """Mean over prompts, NaN left out, with its standard error.

        se = sqrt( sum_p (x_p - mean)^2 / (P - 1) / P )

    Args:
        values: one number for each of P prompts.
    """
    known = values[~values.isnan()].double()
    se = float(known.std()) / len(known) ** 0.5 if len(known) > 1 else nan
    return Estimate(float(known.mean()), se)
