"""A flow along a barrier: closed forms, other people's solvers, and what a law has to keep to."""

from dataclasses import dataclass
from math import cos, sin

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor
from toy_plants import randn, unit_rows

from steersman.control import (
    Barrier,
    FlowLaw,
    LinearBarrier,
    QuadraticBarrier,
    Sketch,
    SketchBarrier,
)
from steersman.errors import InputError, ShapeError

N, ROWS, SOLVERS = 6, 4, ("euler", "midpoint", "rk4")


def number(seed: int) -> Tensor:
    """One random number."""
    return randn(seed, 1)[0]


def curved() -> SketchBarrier:
    sketch = Sketch.drawn(N, 2, 64, 3.0, 0.2, seed=0)
    return SketchBarrier(sketch, randn(1, 64), number(2))


def moved(law: FlowLaw, x: Tensor, length: float) -> Tensor:
    """`u` for a path of so much length."""
    return law.step(None, x, x.new_full((len(x), 1), length), law.block)[1]


@dataclass(frozen=True, eq=False)
class Plane(Barrier):
    """`h = v'x`, of the state itself: its field is the same everywhere."""

    v: Tensor

    @property
    def n(self) -> int:
        return len(self.v)

    @property
    def dtype(self) -> torch.dtype:
        return self.v.dtype

    def to(self, target):
        return Plane(self.v.to(target))

    def value(self, x: Tensor) -> Tensor:
        return x @ self.v

    def gradient(self, x: Tensor) -> Tensor:
        return self.v.expand_as(x)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 10])
def test_in_a_field_that_is_the_same_everywhere_it_is_activation_addition(
    solver: str, steps: int
) -> None:
    contrast, x = randn(3, N), randn(4, ROWS, N)
    law = FlowLaw(Plane(contrast), 0, 1, solver, steps)
    tau = 0.7
    addition = tau * contrast.expand_as(x)  # what activation addition adds at target tau
    torch.testing.assert_close(moved(law, x, tau * float(contrast.norm())), addition)


def test_activation_addition_is_one_euler_step_to_the_bit() -> None:
    v, x = unit_rows(5, 1, N)[0], randn(6, ROWS, N)
    law = FlowLaw(Plane(v), 0, 1, "euler", 1)
    assert torch.equal(moved(law, x, 2.5), 2.5 * (v / v.norm()).expand_as(x))


def test_one_euler_step_is_the_velocity_where_the_state_is() -> None:
    x, barrier = randn(7, ROWS, N), curved()
    torch.testing.assert_close(
        moved(FlowLaw(barrier, 0, 1, "euler", 1), x, 0.3), 0.3 * barrier.velocity(x)
    )


def test_a_linear_barrier_turns_the_state_along_a_great_circle() -> None:
    w, x = randn(8, N), 5 * randn(9, ROWS, N)
    law = FlowLaw(LinearBarrier(w, number(10)), 0, 1, "rk4", 200)
    T = 3.0
    for row, u in zip(x, moved(law, x, T), strict=True):
        radius = float(row.norm())
        across = w - (w @ row) * row / radius**2
        across = across / across.norm()
        expected = row * cos(T / radius) + across * radius * sin(T / radius)
        torch.testing.assert_close(row + u, expected, rtol=1e-8, atol=1e-8)


def test_many_steps_follow_the_flow_as_scipy_does() -> None:
    barrier, x, T = curved(), randn(11, ROWS, N), 1.2
    found = x + moved(FlowLaw(barrier, 0, 1, "rk4", 60), x, T)

    def field(s, state):
        return barrier.velocity(torch.from_numpy(state)[None])[0].numpy()

    for start, end in zip(x, found, strict=True):
        exact = solve_ivp(field, (0, T), start.numpy(), rtol=1e-11, atol=1e-12).y[:, -1]
        torch.testing.assert_close(end, torch.from_numpy(exact), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_every_solver_is_of_its_order(solver: str, order: int) -> None:
    barrier, x, T = curved(), randn(12, 1, N), 0.5
    exact = moved(FlowLaw(barrier, 0, 1, "rk4", 512), x, T)
    errors = [
        float((moved(FlowLaw(barrier, 0, 1, solver, steps), x, T) - exact).norm())
        for steps in (8, 16)
    ]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.3)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_it_is_what_torchdiffeq_integrates(solver: str, steps: int) -> None:
    odeint = pytest.importorskip("torchdiffeq").odeint
    barrier, x, T = curved(), randn(13, ROWS, N), 2.0
    times = torch.linspace(0, T, steps + 1, dtype=torch.float64)
    expected = odeint(lambda s, state: barrier.velocity(state), x, times, method=solver)[-1]
    found = x + moved(FlowLaw(barrier, 0, 1, solver, steps), x, T)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_barrier_grows_along_the_flow_and_falls_against_it() -> None:
    barrier, x = curved(), randn(14, ROWS, N)
    law = FlowLaw(barrier, 0, 1, "rk4", 20)
    values = [barrier.value(x + moved(law, x, T)) for T in (-0.6, -0.3, 0.0, 0.3, 0.6)]
    for lower, higher in zip(values, values[1:], strict=False):
        assert bool((higher > lower).all())


def test_a_flow_keeps_the_length_of_the_state_and_euler_steps_let_it_grow() -> None:
    barrier, x, T, steps = curved(), randn(15, ROWS, N), 1.5, 10
    exact = x + moved(FlowLaw(barrier, 0, 1, "rk4", 100), x, T)
    torch.testing.assert_close(exact.norm(dim=1), x.norm(dim=1), rtol=1e-6, atol=0)
    euler = x + moved(FlowLaw(barrier, 0, 1, "euler", steps), x, T)
    grown = x.square().sum(dim=1) + steps * (T / steps) ** 2
    torch.testing.assert_close(euler.square().sum(dim=1), grown)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_state_as_many_times_longer_takes_a_path_as_many_times_longer(solver: str) -> None:
    # A path of one length in the units of the state is another push in a model of other lengths.
    law, x = FlowLaw(curved(), 0, 1, solver, 7), randn(16, ROWS, N)
    torch.testing.assert_close(moved(law, 50 * x, 50 * 0.8), 50 * moved(law, x, 0.8))
    shorter = moved(law, 50 * x, 0.8) / 50
    assert float((shorter - moved(law, x, 0.8)).norm()) > 0.5 * float(moved(law, x, 0.8).norm())


def test_odds_of_the_sides_move_the_barrier_and_not_the_flow() -> None:
    barrier, x = curved(), randn(17, ROWS, N)
    commoner = SketchBarrier(barrier.sketch, barrier.w, barrier.b + 2.0)
    torch.testing.assert_close(commoner.value(x), barrier.value(x) + 2.0)
    assert torch.equal(commoner.gradient(x), barrier.gradient(x))


def test_every_row_has_its_own_length_and_a_length_of_zero_moves_nothing() -> None:
    law, x = FlowLaw(curved(), 2, 4), randn(18, ROWS, N)
    lengths = torch.tensor([[0.0], [0.5], [-1.0], [2.0]]).double()
    _, u = law.step(None, x, lengths, 2)
    alone = [
        law.step(None, row[None], length[None], 2)[1][0]
        for row, length in zip(x, lengths, strict=True)
    ]
    torch.testing.assert_close(u, torch.stack(alone), rtol=1e-12, atol=1e-14)
    assert not bool(u[0].any())
    y = randn(19, ROWS, N)
    assert torch.equal(law.added(None, x, lengths, 2, y)[1][0], y[0])


def test_it_acts_at_its_block_alone_and_reads_what_leaves_it() -> None:
    law = FlowLaw(curved(), 2, 4)
    assert [law.is_active(t) for t in (-1, 0, 1, 2, 3, 4)] == [False, False, False, True] + [
        False
    ] * 2
    assert (law.reads, law.blocks, law.n, law.k, law.dtype) == ("output", 4, N, 1, torch.float64)
    x = randn(20, ROWS, N)
    assert not bool(law.step(None, x, x.new_ones(ROWS, 1), 1)[1].any())
    assert law.to("cpu").known(x.new_ones(4, ROWS, 1)) is None


def test_half_precision_states_flow_in_the_laws_own() -> None:
    law, x = FlowLaw(curved(), 0, 1), randn(21, ROWS, N).bfloat16()
    torch.testing.assert_close(moved(law, x, 1.0), moved(law, x.double(), 1.0))


def test_at_the_top_of_the_barrier_it_stays() -> None:
    w = randn(22, N)
    law = FlowLaw(LinearBarrier(w, number(23)), 0, 1)
    u = moved(law, 3 * w[None], 1e-3)
    assert bool(torch.isfinite(u).all()) and float(u.norm()) <= 1.01e-3


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"block": 4}, "block is 4; there are 0 .. 3"),
        ({"solver": "dopri5"}, "solver is 'dopri5'; choose one of euler, midpoint, rk4"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        FlowLaw(**{"barrier": curved(), "block": 1, "depth": 4, **settings})


def test_states_of_another_width_are_refused() -> None:
    form = QuadraticBarrier(torch.eye(N).double(), randn(24, N), number(25))
    with pytest.raises(ShapeError, match="x has shape"):
        FlowLaw(form, 0, 1).step(None, randn(26, ROWS, N + 1), randn(27, ROWS, 1), 0)
