"""The feature LQR of one block."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite
from steersman.errors import ShapeError


class Stage(NamedTuple):
    """The design at one block `t`; `m` columns, of which the first ones are the features' own.

    Attributes:
        H: what is observed at the block's input, `A_t' W_{t+1}`, `(n, m)`.
        G: what is done about it at its output, `B_t K_t`, `(n, m)`.
        W: the factor of the cost-to-go at its output, `W_{t+1}`, `(n, m)`.
        L: `L L' = (I + W' B R^-1 B' W)^-1`, `(m, m)`.
        D: the inputs for each normalised error, `R^-1 B' W L`, `(p, m)`; `K_t = D L'`.
        demand_map: the demands' share of `b_{t+1}`, `Q_{t+1}^{1/2}` without zero rows.
        basis: what truncation kept of the columns before it, `(columns, m)`; None where it kept
            all of them.
        discarded: the largest singular value that truncation left out of `W_{t+1}`.
    """

    H: Float[Tensor, "n m"]
    G: Float[Tensor, "n m"]
    W: Float[Tensor, "n m"]
    L: Float[Tensor, "m m"]
    D: Float[Tensor, "p m"]
    demand_map: Float[Tensor, "weighted k"]
    basis: Float[Tensor, "columns m"] | None
    discarded: float

    def keep(self, demand: Float[Tensor, "columns *many"]) -> Float[Tensor, "m *many"]:
        """`b_{t+1}` from its value before truncation."""
        return demand if self.basis is None else self.basis.mT @ demand

    def neglected(self, demand: Float[Tensor, "columns *many"]) -> Float[Tensor, "columns *many"]:
        """The part of a demand that no kept column answers: a constant cost."""
        return demand - self.spread(self.keep(demand))

    def spread(self, value: Float[Tensor, "m *many"]) -> Float[Tensor, "columns *many"]:
        """A value of the kept columns as one of the columns before truncation."""
        return value if self.basis is None else self.basis @ value


def asked_of(
    stages: Sequence[Stage], demands: Float[Tensor, "states k *many"]
) -> list[Float[Tensor, "_ *many"]]:
    """Every `b_{t+1}` as it is before truncation: `[ Q_{t+1}^{1/2} ebar_{t+1} ; L' b_{t+2} ]`.

    Args:
        stages: the design of every block.
        demands: `ebar_0 .. ebar_T`, `(states, k)`, or several sets of them side by side.

    Raises:
        ShapeError: `demands` does not belong to this design.
        NumericalError: NaN or infinity.
    """
    states, k = len(stages) + 1, stages[-1].demand_map.shape[1]
    if tuple(demands.shape[:2]) != (states, k) or demands.ndim > 3:
        raise ShapeError(
            f"demands has shape {tuple(demands.shape)}; expected (states={states}, k={k}), one row "
            f"for each of x_0 .. x_{states - 1}."
        )
    require_finite("demands", demands[1:])
    asked: list[Tensor] = []
    tail = stages[-1].L.new_zeros(0, *demands.shape[2:])
    for stage, ebar in zip(reversed(stages), demands.to(tail).flip(0), strict=False):
        asked.append(torch.cat([stage.demand_map @ ebar, tail]))
        tail = stage.L.mT @ stage.keep(asked[-1])
    return asked[::-1]
