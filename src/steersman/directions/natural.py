"""How states differ naturally: the leading directions from undesired to desired ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.covariance import shrunk_covariance
from steersman.errors import InputError, NumericalError, ShapeError

SHARE = 0.9
MOST = 16


@dataclass(frozen=True, eq=False)
class Natural:
    """Factors `F_t` of the second moment of natural differences, on its leading directions.

        F_t F_t' ~ mean_i d_i d_i',    d_i = x_t | desired - x_t | undesired,    x_0 .. x_T

    A difference that examples show has `|F_t^+ d| ~ 1`; one that they do not show has no `w` at all
    with `d = F_t w`.

    Args:
        factors: `F_t`, `(states, n, k)`; zero columns where a state has fewer directions.

    Raises:
        ShapeError: not three axes, or more columns than the state is wide.
        NumericalError: NaN or infinity.
    """

    factors: Float[Tensor, "states n k"]

    def __post_init__(self) -> None:
        """Check the factors."""
        shape = tuple(self.factors.shape)
        if len(shape) != 3 or 0 in shape or shape[2] > shape[1]:
            raise ShapeError(f"natural factors have shape {shape}; expected (states, n, k <= n).")
        if not bool(self.factors.isfinite().all()):
            raise NumericalError("the natural factors have NaN or infinite values.")

    @classmethod
    def beside(cls, parts: Sequence["Natural | None"]) -> "Natural | None":
        """Those of several features together, `F F' = sum_i F_i F_i'`; None where there are none.

        Args:
            parts: one for each feature.
        """
        factors = [part.factors for part in parts if part is not None]
        if not factors:
            return None
        F = torch.cat(factors, dim=-1)
        if F.shape[2] <= F.shape[1]:
            return cls(F)
        U, sizes, _ = torch.linalg.svd(F, full_matrices=False)
        return cls(U * sizes.unsqueeze(1))


def natural_differences(
    desired: Float[Tensor, "desired states n"],
    undesired: Float[Tensor, "undesired states n"],
    *,
    share: float = SHARE,
    most: int = MOST,
    seed: int = 0,
) -> Natural:
    """The leading directions of the differences of paired examples.

        mean_i d_i d_i' = c c' + Cov(d),   shrunk by Ledoit and Wolf, cut to its leading directions

    As many directions as hold `share` of it, and at most `most`. Where one side has more examples
    than the other, each of the smaller one is set against another of the larger, drawn at random.

    Args:
        desired: states of the desired examples, `(N_d, states, n)`; with as many of the other side,
            example `i` belongs to example `i` there.
        undesired: states of the undesired ones.
        share: of the mean square difference, above 0 and at most 1.
        most: the most directions.
        seed: of the draw.

    Returns:
        The factors, in the precision of the states; zero at a state without a difference.

    Raises:
        InputError: `share` or `most` cannot be, `most` is above the width of the states, or one
            example of a side.
    """
    n = desired.shape[2]
    if not 1 <= most <= n:
        raise InputError(f"most is {most}; states of width {n} have 1 to {n} directions.")
    if min(len(desired), len(undesired)) < 2:
        raise InputError(
            f"{len(desired)} desired and {len(undesired)} undesired examples do not show how "
            "states differ: give two of each side or more."
        )
    differences = _differences(desired, undesired, seed)
    found = [_factor(differences[:, state], share, most) for state in range(desired.shape[1])]
    width = max(1, *(factor.shape[1] for factor in found))
    padded = [torch.nn.functional.pad(f, (0, width - f.shape[1])) for f in found]
    return Natural(torch.stack(padded).to(differences.dtype))


def _differences(desired: Tensor, undesired: Tensor, seed: int) -> Tensor:
    sides = [side if side.dtype == torch.float64 else side.float() for side in (desired, undesired)]
    if len(sides[0]) != len(sides[1]):
        count = min(len(side) for side in sides)
        drawn = torch.Generator().manual_seed(seed)
        sides = [side[torch.randperm(len(side), generator=drawn)[:count]] for side in sides]
    return sides[0] - sides[1]


def _factor(rows: Tensor, share: float, most: int) -> Float[Tensor, "n k"]:
    if not bool(rows.any()):
        return torch.zeros(rows.shape[1], 0, dtype=torch.float64)
    return shrunk_covariance(rows).leading(share, most)
