"""A band around the predicted feature, and what is promised of it."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from steersman.errors import UnknownNameError


@dataclass(frozen=True, eq=False)
class Band:
    """`|v_t' d_t| / |c_t| <= radius_t`: how far the feature may be from its prediction.

    Args:
        name: a word or two.
        radius: natural units, `(states,)`.
        guarantee: under what, and how often, it holds.
    """

    name: str
    radius: Float[Tensor, " states"]
    guarantee: str


def band_named(bands: tuple[Band, ...], name: str) -> Band:
    """The band of that name.

    Raises:
        UnknownNameError: there is none; lists those that there are.
    """
    for band in bands:
        if band.name == name:
            return band
    known = ", ".join(band.name for band in bands)
    raise UnknownNameError(f"there is no band {name!r}; choose one of {known}")
