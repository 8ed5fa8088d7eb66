"""Steering as a differential equation: a state flows to where it looks more desired."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.at_block import AtBlock
from steersman.control.barrier import Barrier
from steersman.control.law import Reads
from steersman.errors import InputError

Solver = Literal["euler", "midpoint", "rk4"]
Field = Callable[[Float[Tensor, "rows n"]], Float[Tensor, "rows n"]]


@dataclass(frozen=True, eq=False)
class FlowLaw(AtBlock):
    """Follow the gradient of a barrier for a path of so much length, at one block.

        dx/ds = grad h(x) / |grad h(x)|,   s from 0 to T          u = x(T) - x(0)

    The reference is `T`, in the units of the state; a negative one follows the flow backwards.
    Activation addition is one Euler step in a field that is the same everywhere.

    Args:
        barrier: `h`.
        block: where it acts.
        depth: how many blocks the plant has.
        solver: "euler", "midpoint" or "rk4" (the rule of 3/8), with steps of one length.
        steps: how many.
        reads: whether the state that flows is what enters the block or what leaves it.

    Raises:
        InputError: a block that does not exist, an unknown solver, or no step.

    Source:
        ODESteer (arXiv 2602.17560). The rule of 3/8: Hairer, Norsett and Wanner, Solving Ordinary
        Differential Equations I, section II.1.
    """

    barrier: Barrier
    block: int
    depth: int
    solver: Solver = "euler"
    steps: int = 10
    reads: Reads = "output"

    def __post_init__(self) -> None:
        """Check the settings."""
        self.require_block()
        if self.solver not in SOLVERS:
            raise InputError(f"solver is {self.solver!r}; choose one of {', '.join(SOLVERS)}.")
        if self.steps < 1:
            raise InputError(f"steps is {self.steps}; it must be at least 1.")

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.barrier.n

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the barrier."""
        return self.barrier.dtype

    def to(self, device: torch.device | str) -> "FlowLaw":
        """The same law on another device, in the same precision."""
        return replace(self, barrier=self.barrier.to(device))

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """`x(T) - x(0)` of each row."""
        return None, self.displacement(x, reference)

    def displacement(
        self, x: Float[Tensor, "rows n"], length: Float[Tensor, "rows 1"]
    ) -> Float[Tensor, "rows n"]:
        """`x(T) - x(0)` of each row, in the law's precision.

        Args:
            x: where each row starts.
            length: `T` of each row.
        """
        step, advance = length / self.steps, SOLVERS[self.solver]
        # What is added up is the displacement, which rounds less than what is left of two states.
        u: Tensor = advance(self.barrier.velocity, x, step)
        for _ in range(1, self.steps):
            u = u + advance(self.barrier.velocity, x + u, step)
        return u


def _euler(
    f: Field, x: Float[Tensor, "rows n"], h: Float[Tensor, "rows 1"]
) -> Float[Tensor, "rows n"]:
    return h * f(x)


def _midpoint(
    f: Field, x: Float[Tensor, "rows n"], h: Float[Tensor, "rows 1"]
) -> Float[Tensor, "rows n"]:
    return h * f(x + h / 2 * f(x))


def _three_eighths(
    f: Field, x: Float[Tensor, "rows n"], h: Float[Tensor, "rows 1"]
) -> Float[Tensor, "rows n"]:
    first = f(x)
    second = f(x + h / 3 * first)
    third = f(x + h * (second - first / 3))
    last = f(x + h * (first - second + third))
    return h / 8 * (first + 3 * (second + third) + last)


SOLVERS = dict(zip(get_args(Solver), (_euler, _midpoint, _three_eighths), strict=True))
"""By name, how far a step of length `h` goes from `x` in the field `f`."""
