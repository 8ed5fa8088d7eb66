"""What a linear plant misses of a change, against maps whose remainder is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from steersman.control import linear_range, relative_remainder
from steersman.errors import InputError, ShapeError

N = 6
SCALES = torch.tensor([0.01, 0.03, 0.1, 0.5, 2.0], dtype=torch.float64)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_linear_map_has_no_remainder_however_long_the_step() -> None:
    A, x, d = (
        drawn(N, N),
        drawn(N, 1, seed=1),
        drawn(N, 4, seed=2) * torch.tensor([1e-3, 1, 10, 99]),
    )
    missed = relative_remainder(A @ (x + d) - A @ x, A @ d)
    assert bool((missed < 1e-11).all())


def test_a_quadratic_map_has_a_remainder_in_proportion_to_the_step() -> None:
    # f(x) = (a'x, x'Bx / 2): at 0 the change is (a'd, d'Bd / 2) and its linear part (a'd, 0).
    a, B, d = drawn(N), drawn(N, N, seed=1), drawn(N, seed=2)
    steps = SCALES * d[:, None]
    linear = torch.stack([a @ steps, torch.zeros_like(SCALES)])
    change = linear.clone()
    change[1] = ((B @ steps) * steps).sum(dim=0) / 2
    missed = relative_remainder(change, linear)
    against_linear = missed / (1 - missed.square()).sqrt()
    torch.testing.assert_close(against_linear / SCALES, (against_linear / SCALES)[:1].expand(5))
    torch.testing.assert_close(against_linear[0], abs(0.01 * (d @ B @ d) / 2 / (a @ d)))


def test_a_plant_that_foretells_nothing_misses_everything() -> None:
    change = drawn(N, 3)
    assert relative_remainder(change, torch.zeros_like(change)).tolist() == [1.0, 1.0, 1.0]


def test_where_nothing_changes_there_is_no_share_to_miss() -> None:
    assert bool(relative_remainder(torch.zeros(N), torch.zeros(N)).isnan())


@pytest.mark.usefixtures("unchecked")
def test_changes_and_what_is_foretold_have_one_shape() -> None:
    with pytest.raises(ShapeError, match="foretold"):
        relative_remainder(drawn(N, 3), drawn(N, 2))


@given(st.floats(0.05, 5.0), st.floats(0.3, 3.0), st.floats(0.02, 0.9))
def test_the_range_of_a_power_law_is_exact(factor: float, power: float, level: float) -> None:
    curve = factor * SCALES**power
    expected = (level / factor) ** (1 / power)
    found = float(linear_range(SCALES, curve[None], level)[0])
    if expected <= SCALES[0]:
        assert found == 0
    elif expected > SCALES[-1]:
        assert found == float("inf")
    else:
        assert found == pytest.approx(expected, rel=1e-9)


def test_a_curve_that_is_not_known_has_no_range() -> None:
    curves = torch.stack([SCALES, SCALES])
    curves[1, 2] = torch.nan
    found = linear_range(SCALES, curves, 0.3)
    assert found[0] == pytest.approx(0.3)
    assert bool(found[1].isnan())


@pytest.mark.parametrize("scales", [[0.1, 0.1], [0.2, 0.1], [0.0, 0.1], [-1.0, 0.1]])
def test_scales_that_do_not_rise_from_above_zero_are_refused(scales: list[float]) -> None:
    with pytest.raises(InputError, match="must rise"):
        linear_range(torch.tensor(scales), torch.ones(1, 2), 0.1)


@pytest.mark.parametrize("level", [0.0, -1.0, float("nan"), float("inf")])
def test_a_level_has_to_be_above_zero(level: float) -> None:
    with pytest.raises(InputError, match="level"):
        linear_range(SCALES, SCALES[None], level)
