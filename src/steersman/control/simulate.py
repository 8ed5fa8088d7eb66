"""Run a law on a linear plant, without a model."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_positive, require_shape
from steersman.control.law import Law
from steersman.control.propagate import propagate
from steersman.control.system import Plant
from steersman.errors import InputError, NumericalError

MIN_GAIN = 1e-6
"""Below this share of the asked shift a loop is said to have no authority."""


@dataclass(frozen=True, eq=False)
class Rollout:
    """A simulated run: `states` has one row more than `inputs`, the last block's output."""

    states: Float[Tensor, "states n"]
    inputs: Float[Tensor, "blocks n"]

    def features(self, directions: Float[Tensor, "states n"]) -> Float[Tensor, " states"]:
        """`v_t' x_t` for `t = 0 .. blocks`."""
        states, n = self.states.shape
        require_shape("directions", directions, ("states", states), ("n", n))
        return (self.states * directions.to(self.states)).sum(dim=1)


def simulate(
    system: Plant,
    law: Law[Any],
    setpoints: Float[Tensor, "blocks k"],
    delta0: Float[Tensor, " n"] | None = None,
) -> Rollout:
    """Run `x_{t+1} = A_t x_t + u_t`, `(state, u_t) = law.step(state, x_t, s_t, t)`.

    Args:
        system: the plant.
        law: any law; it is stepped exactly as it is in front of a model.
        setpoints: `s_t`, `(blocks, k)`, in the coordinates that the law observes.
        delta0: the state at the first block's input, `(n,)`; zero when None.

    Raises:
        InputError: the law was made for another plant.
        ShapeError: `setpoints` or `delta0` does not fit.
    """
    if (law.blocks, law.n) != (system.blocks, system.n):
        raise InputError(
            f"The law has {law.blocks} blocks of width {law.n}, the system {system.blocks} of "
            f"width {system.n}."
        )
    require_shape("setpoints", setpoints, ("blocks", system.blocks), ("k", law.k))
    at_rest = torch.zeros(system.n, dtype=law.dtype)
    x = at_rest if delta0 is None else delta0.to(at_rest)
    require_shape("delta0", x, ("n", system.n))
    state = law.init(1)

    def act(block: int, x: Tensor) -> Tensor:
        nonlocal state
        state, u = law.step(state, x.unsqueeze(0), setpoints[block].unsqueeze(0).to(x), block)
        return u[0]

    return Rollout(*propagate(system.jvp, system.blocks, x, act))


def plan(
    system: Plant, law: Law[Any], shifts: Float[Tensor, "blocks k"]
) -> Float[Tensor, "blocks n"]:
    """The fixed schedule that a closed loop with a relative reference amounts to.

        u_t = law(shift_t - H_t' delta_t),   delta_{t+1} = A_t delta_t + u_t,   delta_0 = 0

    With `s_t = H_t' xbar_t + shift_t` the law reads only the deviation `delta = x - xbar` from
    the unsteered run, and that obeys the linear plant: so its inputs are known beforehand. The
    schedule of a linear law is linear in `shifts`: half the shifts give half the schedule.

    Args:
        system: the plant.
        law: what is observed, and what is done about it.
        shifts: how far each observed number should move, `(blocks, k)`.

    Raises:
        ShapeError: the shapes do not fit each other.
        InputError: `law` does not fit `system`.
    """
    return simulate(system, law, shifts).inputs


def reached(
    system: Plant, inputs: Float[Tensor, "blocks n"], terminal_direction: Float[Tensor, " n"]
) -> float:
    """`v' delta_T`: how far `inputs`, from `delta_0 = 0`, move the feature after the last block.

    Args:
        system: the plant.
        inputs: the schedule `u_t`, `(blocks, n)`.
        terminal_direction: `v`, the feature's direction after the last block, `(n,)`.

    Raises:
        ShapeError: `inputs` or `terminal_direction` does not fit `system`.
    """
    require_shape("terminal_direction", terminal_direction, ("n", system.n))
    return float(terminal_direction.to(inputs) @ _terminal(system, inputs))


def prefilter(
    system: Plant,
    law: Law[Any],
    shifts: Float[Tensor, "blocks k"],
    terminal_direction: Float[Tensor, " n"],
    terminal_unit: float,
) -> float:
    """The reference prefilter `N` of unit static gain: `N * shifts` reaches what was asked.

    A proportional loop stops short of its reference. Its answer is linear in the reference, so
    one number puts that right on the nominal plant,

        N = terminal_unit / (v' delta_T),

    where `delta_T` is what `shifts` reach; the feedback itself is left as it was.

    Args:
        system: the plant.
        law: what is observed, and what is done about it; linear in its errors.
        shifts: the reference for one unit of target, `(blocks, k)`.
        terminal_direction: `v`, the feature's direction after the last block, `(n,)`.
        terminal_unit: the shift of `v' x_T` that one unit of target asks for, above zero.

    Returns:
        `N`; negative where the loop, left alone, moves the feature the wrong way.

    Raises:
        ShapeError: the shapes do not fit each other.
        InputError: `terminal_unit` is not above zero, or `law` does not fit `system`.
        NumericalError: the loop cannot move the feature (it has no authority), or diverges.

    Source:
        Franklin, Powell and Emami-Naeini, Feedback Control of Dynamic Systems, chapter 7.
    """
    require_positive("terminal_unit", terminal_unit)
    inputs = plan(system, law, shifts)
    shift = reached(system, inputs, terminal_direction)
    # A feature orthogonal to what the loop moves still shows a shift: the rounding of v' delta_T.
    length = float(terminal_direction.norm()) * float(_terminal(system, inputs).norm())
    rounding = 16 * torch.finfo(inputs.dtype).eps * length
    if not math.isfinite(shift) or abs(shift) <= max(MIN_GAIN * terminal_unit, rounding):
        raise NumericalError(
            f"The loop moves the final feature by {shift:.3g} where {terminal_unit:.3g} is asked: "
            "it has no authority over it. Act at more blocks, raise q/r or qf/r, or choose another "
            "direction."
        )
    return terminal_unit / shift


def _terminal(system: Plant, inputs: Float[Tensor, "blocks n"]) -> Float[Tensor, " n"]:
    """`delta_T`, the state after the last block, from `delta_0 = 0`."""
    require_shape("inputs", inputs, ("blocks", system.blocks), ("n", system.n))
    at_rest = inputs.new_zeros(system.n)
    return propagate(system.jvp, system.blocks, at_rest, lambda block, _: inputs[block])[0][-1]
