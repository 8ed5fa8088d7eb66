"""PID over depth: the sums written out, fresh in every pass, held back without winding up."""

import pytest
import torch
from toy_plants import randn, random_plant, unit_rows

from steersman.control import PIDLaw, plan, prefilter, reached, simulate
from steersman.errors import InputError, NumericalError, ShapeError

BLOCKS, N = 5, 6


def law(**settings: object) -> PIDLaw:
    given: dict = {"kp": 0.4, "ki": 0.2, "kd": 0.3}
    return PIDLaw(unit_rows(1, BLOCKS, N), **{**given, **settings})


def run(some: PIDLaw, x, s):
    """Step through states that are given, whatever the inputs; the inputs along `v`."""
    state, found = some.init(x.shape[1]), []
    for block in range(BLOCKS):
        state, u = some.step(state, x[block], s[block], block)
        found.append((u * some.v[block]).sum(-1))
    return torch.stack(found)


def test_the_input_is_the_error_its_sum_and_its_difference():
    some, x, s = law(), randn(2, BLOCKS, 3, N), randn(3, BLOCKS, 3, 1)
    e = s.squeeze(-1) - torch.einsum("trn,tn->tr", x, some.v)
    change = torch.cat([torch.zeros(1, 3), e[1:] - e[:-1]])
    expected = 0.4 * e + 0.2 * e.cumsum(0) + 0.3 * change
    torch.testing.assert_close(run(some, x, s), expected)


def test_only_the_blocks_that_act_are_counted():
    some, x, s = law(active=(1, 3)), randn(2, BLOCKS, 3, N), randn(3, BLOCKS, 3, 1)
    e = (s.squeeze(-1) - torch.einsum("trn,tn->tr", x, some.v))[[1, 3]]
    expected = torch.zeros(BLOCKS, 3).double()
    expected[1] = 0.6 * e[0]
    expected[3] = 0.4 * e[1] + 0.2 * (e[0] + e[1]) + 0.3 * (e[1] - e[0])
    torch.testing.assert_close(run(some, x, s), expected)


def test_rows_do_not_touch_each_other_and_every_pass_starts_anew():
    some, x, s = law(cap=0.1), randn(2, BLOCKS, 3, N), randn(3, BLOCKS, 3, 1)
    together = run(some, x, s)
    torch.testing.assert_close(run(some, x, s), together, rtol=0, atol=0)
    for row in range(3):
        torch.testing.assert_close(run(some, x[:, [row]], s[:, [row]])[:, 0], together[:, row])


def test_no_input_is_longer_than_its_cap():
    some, x, s = law(cap=0.05), randn(2, BLOCKS, 30, N), 10 * randn(3, BLOCKS, 30, 1)
    found, most = run(some, x, s).abs(), 0.05 * x.norm(dim=-1)
    assert (found <= most * (1 + 1e-12)).all()
    assert (found > 0.999 * most).any()


def test_an_integral_waits_while_its_input_is_held_back():
    v = torch.zeros(BLOCKS, N).double()
    v[:, 0] = 1.0
    some = PIDLaw(v, kp=0.0, ki=1.0, cap=0.5)
    x = torch.zeros(BLOCKS, 1, N).double()
    x[:, :, 1] = 1.0  # of length 1, and of feature 0
    s = torch.tensor([3.0, 3.0, 3.0, -0.4, -0.4]).double()[:, None, None]
    # Were the errors of the first three blocks kept, the last two inputs would still be 0.5.
    expected = torch.tensor([0.5, 0.5, 0.5, -0.4, -0.5]).double()
    torch.testing.assert_close(run(some, x, s)[:, 0], expected)


def test_the_integral_leaves_less_of_a_constant_error():
    system, v = random_plant(0, 40, N, 0.05), unit_rows(1, 1, N).expand(41, N)
    s = torch.ones(40, 1).double()
    left = []
    for ki in (0.0, 0.05):
        found = simulate(system, PIDLaw(v[:-1], kp=0.3, ki=ki), s)
        left.append(abs(1 - float(found.features(v)[-1])))
    assert left[1] < 0.5 * left[0]


def test_the_prefilter_makes_the_loop_reach_what_is_asked():
    system, some, last = random_plant(0, BLOCKS, N), law(), unit_rows(5, 1, N).mT
    asked = randn(3, BLOCKS, 1, 1)
    answer = reached(system, plan(system, some, asked), last)
    shifts = asked @ prefilter(answer, torch.tensor([2.5]).double())
    assert float(reached(system, plan(system, some, shifts), last)) == pytest.approx(2.5)


def test_the_same_law_elsewhere():
    moved = law(cap=0.3, active=(0, 2)).to("cpu")
    assert (moved.kp, moved.cap, moved.active) == (0.4, 0.3, (0, 2))


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"kp": 0.0, "ki": 0.0, "kd": 0.0}, InputError, "all zero"),
        ({"cap": 0.0}, InputError, "cap is 0.0"),
        ({"cap": float("nan")}, InputError, "cap is nan"),
        ({"active": (5,)}, InputError, r"blocks \[5\]; there are 0 .. 4"),
        ({"kp": float("inf")}, NumericalError, "gains"),
    ],
)
def test_what_cannot_be_is_refused(settings, error, says):
    with pytest.raises(error, match=says):
        law(**settings)


@pytest.mark.usefixtures("unchecked")
def test_a_direction_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"v has shape \(6,\)"):
        PIDLaw(torch.ones(N), 1.0)
