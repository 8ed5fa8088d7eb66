"""What one run missed is asked for in the next: offset-free, and told apart by row."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_plants import randn, unit_rows

from steersman.control import (
    Absolute,
    AffineLaw,
    Capped,
    DisturbanceObserver,
    Held,
    LTVSystem,
    Paper,
    Readout,
    Relative,
    Units,
    simulate,
)
from steersman.errors import InputError

ONE = torch.ones(1, dtype=torch.bool)


@given(st.floats(0.05, 1.9), st.floats(-3, 3), st.floats(-3, 3))
def test_a_constant_disturbance_is_made_up_for(gain: float, target: float, size: float) -> None:
    observer, correction = DisturbanceObserver(gain), torch.zeros(1, 1, dtype=torch.float64)
    for _ in range(400):
        reached = target + correction + size
        correction = observer.step(correction, target - reached, ONE)
    assert float(correction) == pytest.approx(-size, abs=1e-6)


def test_the_miss_shrinks_by_the_gain_at_every_run() -> None:
    observer, correction = DisturbanceObserver(0.25), torch.zeros(1, 1)
    misses = []
    for _ in range(4):
        misses.append(-(correction + 2.0))
        correction = observer.step(correction, misses[-1], ONE)
    assert [float(m) for m in misses] == pytest.approx([-2.0 * 0.75**i for i in range(4)])


def test_rows_that_did_not_act_learn_nothing() -> None:
    correction = torch.tensor([[1.0], [1.0]])
    found = DisturbanceObserver(0.5).step(
        correction, torch.tensor([[2.0], [2.0]]), torch.tensor([True, False])
    )
    assert found.tolist() == [[2.0], [1.0]]


@pytest.mark.parametrize(
    ("missed", "denied", "learnt"),
    [(1.0, 0.5, 0.0), (-1.0, -0.5, 0.0), (-1.0, 0.5, -1.0), (1.0, -0.5, 1.0), (1.0, 0.0, 1.0)],
)
def test_a_run_that_was_held_back_teaches_only_to_ask_for_less(
    missed: float, denied: float, learnt: float
) -> None:
    found = DisturbanceObserver(1.0).step(
        torch.zeros(1, 1), torch.tensor([[missed]]), ONE, torch.tensor([[denied]])
    )
    assert float(found) == learnt


BLOCKS, N, CAP, LASTING = 4, 6, 0.3, -0.4
FREE, HELD = 20.0, 0.5


def misses_of(sizes: list[float], told: bool) -> list[float]:
    """Of one run after another on a plant, each with a state of its own size and the same cap.

    Every run is disturbed by as much; the cap binds where the state is small.
    """
    v = unit_rows(0, 1, N).expand(BLOCKS + 1, N)
    system = LTVSystem(torch.eye(N).double() + 0.1 * randn(1, BLOCKS, N, N))
    H, ones = v[:-1].unsqueeze(-1), torch.ones(BLOCKS, 1).double()
    answer = v[-1] @ simulate(system, AffineLaw(H, H), ones).states[-1]
    law, units = Capped(AffineLaw(H, H), CAP), Units.shifts((ones / answer).unsqueeze(-1))
    observer, correction = DisturbanceObserver(0.5), torch.zeros(1, 1).double()
    found = []
    for size in sizes:
        nominal = x = size * torch.nn.functional.normalize(randn(2, 1, N))
        state, denied = law.init(1), torch.zeros(1, 1).double()
        for t in range(BLOCKS):
            reference = Relative(1.0 + correction).at(t, units, 1, law.observe(nominal, t))
            state, u = law.step(state, x, reference, t)
            denied += torch.where(law.held_back(state)[:, None], u @ v[t + 1][:, None], 0.0)
            x, nominal = x @ system.A[t].T + u, nominal @ system.A[t].T
        reached, start = (end @ v[-1][:, None] for end in (x, nominal))
        missed = Relative(1.0).missed(reached + LASTING, start)
        correction = observer.step(correction, missed, ONE, denied if told else None)
        found.append(float(missed))
    return found


def test_after_a_cap_let_go_the_target_is_hit_at_once() -> None:
    sizes = [FREE] * 10 + [HELD] * 8 + [FREE] * 4
    found, deaf = misses_of(sizes, told=True), misses_of(sizes, told=False)
    assert found[:10] == deaf[:10] and abs(found[9]) < 0.01  # before the cap binds
    assert min(found[10:18]) > 0.5 and min(deaf[10:18]) > 0.5  # while it binds
    assert max(map(abs, found[18:])) < 0.01
    assert deaf[18] < -2.0


@pytest.mark.parametrize("gain", [-0.1, 2.0, float("nan")])
def test_a_gain_that_diverges_is_refused(gain: float) -> None:
    with pytest.raises(InputError, match="above 0 and below 2"):
        DisturbanceObserver(gain)


def test_a_readout_is_in_natural_units_and_zero_without_a_unit() -> None:
    read = Readout(torch.eye(3)[:, :2], torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0]))
    assert read(torch.tensor([[5.0, 7.0, 9.0]])).tolist() == [[2.0, 0.0]]


def test_what_was_missed_is_measured_as_the_reference_asks() -> None:
    reached, start = torch.tensor([[1.5], [0.0]]), torch.tensor([[1.0], [0.0]])
    targets = torch.tensor([1.0, 2.0])
    assert Relative(targets).missed(reached, start).tolist() == [[0.5], [2.0]]
    assert Held(targets).missed(reached, start).tolist() == [[-0.5], [2.0]]
    assert Absolute(targets).missed(reached, None).tolist() == [[-0.5], [2.0]]
    with pytest.raises(InputError, match="beside the unsteered run"):
        Relative(1.0).missed(reached, None)
    with pytest.raises(InputError, match="no target in natural units"):
        Paper(1.0).missed(reached, start)
    with pytest.raises(InputError, match="no target in natural units"):
        Paper(1.0).moved(reached)


def test_a_held_value_asks_for_what_is_left() -> None:
    start = torch.tensor([[0.2, 0.0], [-1.0, 1.0]])
    left = Held(torch.tensor([[1.0, 0.5]])).started(start)
    assert isinstance(left, Relative) and not isinstance(left, Held)
    torch.testing.assert_close(left.target, torch.tensor([[0.8, 0.5], [2.0, -0.5]]))
    assert Relative(1.0).started(start) == Relative(1.0)
