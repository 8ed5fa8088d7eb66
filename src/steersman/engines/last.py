"""Where features were at the last token of a pass, read while the run goes on."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor


class Last(NamedTuple):
    """One steering at the token that the next one is chosen behind, after the last block.

        z = V' x_T      projections, not yet in natural units

    Attributes:
        feature: with everything added to the state.
        nominal: of the unsteered run of the same tokens; None where there was none.
        steered: which rows the gate let through.
    """

    feature: Float[Tensor, "rows features"]
    nominal: Float[Tensor, "rows features"] | None
    steered: Bool[Tensor, " rows"]
