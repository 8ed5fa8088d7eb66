"""A direction: what is desired minus what is not, at every state of the residual stream."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import NumericalError, ShapeError


class StateRow(NamedTuple):
    """What a report says about the direction at one state.

    Attributes:
        state: `t` of `x_t`: the input of block `t`; the last one is the last block's output.
        norm: `v_t' c_t`, what one natural unit is worth along the direction.
        origin: the feature of the undesired examples.
        separation: d' out of sample.
        separation_se: its standard error.
    """

    state: int
    norm: float
    origin: float
    separation: float
    separation_se: float


@dataclass(frozen=True, eq=False)
class Direction:
    """A semantic feature `v_t' x_t` at the states `x_0 .. x_T`, with its natural units.

        m_t = mean(x_t | desired) - mean(x_t | undesired),    v_t'c_t = v_t'm_t
        in natural units the feature is   (v_t' x_t - origin_t) / v_t'c_t:  0 undesired, 1 desired

    `v_t` is where one looks, `c_t` what one adds. By default `c_t = m_t` and they are parallel,
    `v_t = c_t/|c_t|`, so that one unit is `|c_t|`. Another rule may find a better direction to push
    along, another observer may tell the sides apart better; one unit remains what the means differ
    by on the feature. A state without contrast has `v_t = 0`: nothing is observed there, and
    nothing asked for.

    Args:
        contrast: `c_t`, what is added for one unit, `(states, n)`, in units of the residual stream.
        vectors: `v_t`, of length one or zero, `(states, n)`.
        norm: `v_t' c_t`, zero or above, `(states,)`.
        origin: `v_t' mean(x_t | undesired)`, `(states,)`.
        separation: d' of the two sides along the direction, out of sample, `(states,)`.
        separation_se: its standard error; infinite where it could not be measured, `(states,)`.

    Raises:
        ShapeError: the shapes do not belong together.
        NumericalError: NaN or infinity where there must be none.
    """

    contrast: Float[Tensor, "states n"]
    vectors: Float[Tensor, "states n"]
    norm: Float[Tensor, " states"]
    origin: Float[Tensor, " states"]
    separation: Float[Tensor, " states"]
    separation_se: Float[Tensor, " states"]

    def __post_init__(self) -> None:
        """Check shapes and values."""
        shape = tuple(self.contrast.shape)
        if len(shape) != 2:
            raise ShapeError(f"contrast has shape {shape}; expected (states, n).")
        for name, tensor in vars(self).items():
            expected = shape if name in ("contrast", "vectors") else shape[:1]
            if tuple(tensor.shape) != expected:
                raise ShapeError(f"{name} has shape {tuple(tensor.shape)}; expected {expected}.")
            may_be_infinite = name == "separation_se"
            if bool((tensor.isnan() if may_be_infinite else ~tensor.isfinite()).any()):
                raise NumericalError(f"{name} of the direction has NaN or infinite values.")

    @property
    def states(self) -> int:
        """How many states there are: one more than blocks."""
        return self.contrast.shape[0]

    @property
    def blocks(self) -> int:
        """How many blocks the model has."""
        return self.states - 1

    @property
    def n(self) -> int:
        """Width of the residual stream."""
        return self.contrast.shape[1]

    @property
    def patterns(self) -> Float[Tensor, "states n"]:
        """`p_t = c_t / v_t'c_t`: what moves the feature by one as the examples do; `v_t' p_t = 1`.

        Zero at a state without contrast. Where the contrast itself is observed it is `v_t`.
        """
        unit = self.norm.unsqueeze(-1)
        return torch.where(unit > 0, self.contrast / unit, torch.zeros_like(self.contrast))

    def features(self, x: Float[Tensor, "rows states n"]) -> Float[Tensor, "rows states"]:
        """`(v_t' x_t - origin_t) / v_t'c_t`: each state's feature in natural units.

        Args:
            x: states `x_0 .. x_T` of any rows, `(rows, states, n)`.

        Returns:
            0 where undesired examples are on average, 1 where desired ones are; 0 at a state
            without contrast.

        Raises:
            ShapeError: `x` has other states.
        """
        if x.ndim != 3 or x.shape[1:] != self.contrast.shape:
            raise ShapeError(
                f"x has shape {tuple(x.shape)}; expected (rows, {self.states}, {self.n})."
            )
        raw = torch.einsum("rsn,sn->rs", x.to(self.vectors), self.vectors) - self.origin
        return torch.where(self.norm > 0, raw / self.norm, torch.zeros_like(raw))

    def summary(self) -> list[StateRow]:
        """One row for each state, for a table."""
        columns = (self.norm, self.origin, self.separation, self.separation_se)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [StateRow(state, *row) for state, row in enumerate(rows)]
