"""Run a law on a linear plant, without a model."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_shape
from steersman.control.law import Law
from steersman.control.propagate import propagate
from steersman.control.system import Plant
from steersman.errors import InputError


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
    system: Plant, law: Law[Any], shifts: Float[Tensor, "blocks k *features"]
) -> Float[Tensor, "blocks n *features"]:
    """The fixed schedules that a closed loop with a relative reference amounts to.

        u_t = law(shift_t - H_t' delta_t),   delta_{t+1} = A_t delta_t + u_t,   delta_0 = 0

    With `s_t = H_t' xbar_t + shift_t` the law reads only the deviation `delta = x - xbar` from
    the unsteered run, and that obeys the linear plant: so its inputs are known beforehand. The
    schedule of a linear law is linear in `shifts`: half the shifts give half the schedule, and
    targets of several features add up.

    Args:
        system: the plant.
        law: what is observed, and what is done about it.
        shifts: how far each observed number should move, `(blocks, k)`; or for one unit of each
            feature's target, `(blocks, k, features)`.

    Raises:
        ShapeError: the shapes do not fit each other.
        InputError: `law` does not fit `system`.
    """
    each = shifts.reshape(*shifts.shape[:2], -1).unbind(-1)
    runs = torch.stack([simulate(system, law, one).inputs for one in each], dim=-1)
    return runs.reshape(*runs.shape[:2], *shifts.shape[2:])


def reached(
    system: Plant,
    inputs: Float[Tensor, "blocks n demands"],
    terminal: Float[Tensor, "n features"],
) -> Float[Tensor, "features demands"]:
    """`V' delta_T`: how far `inputs`, from `delta_0 = 0`, move the features after the last block.

        V' delta_T = sum_t W_{t+1}' u_t,   W_T = V,   W_t = A_t' W_{t+1}

    The plant is asked for a column a feature at every block, however many schedules there are. A
    shift no longer than the rounding of that sum is zero: a feature that the inputs move only by
    rounding is not moved.

    Args:
        system: the plant.
        inputs: schedules `u_t`, one a demand, `(blocks, n, demands)`.
        terminal: `V`, the features' directions after the last block, `(n, features)`.

    Raises:
        ShapeError: `inputs` or `terminal` does not fit `system`.
    """
    n = ("n", system.n)
    require_shape("inputs", inputs, ("blocks", system.blocks), n, ("demands", inputs.shape[-1]))
    require_shape("terminal", terminal, n, ("features", terminal.shape[-1]))
    W = terminal.to(inputs)
    shift = size = W.new_zeros(W.shape[1], inputs.shape[-1])
    eps = torch.finfo(W.dtype).eps
    for block in reversed(range(system.blocks)):
        shift = shift + W.mT @ inputs[block]
        size = size + W.norm(dim=0).unsqueeze(1) * inputs[block].norm(dim=0)
        if block:
            pulled = system.vjp(block, W)
            W, eps = pulled.to(W), max(eps, torch.finfo(pulled.dtype).eps)
    rounding = 16 * system.blocks * eps * size
    return shift.masked_fill(shift.isfinite() & (shift.abs() <= rounding), 0.0)
