"""The mean difference: against numpy, in natural units, and what it refuses."""

import numpy as np
import pytest
import torch

from steersman.directions import Direction, contrast
from steersman.errors import InputError, NumericalError, ShapeError


def sides(desired=40, undesired=30, states=4, n=6, shift=1.0, dtype=torch.float64):
    """States around an offset; the desired ones are shifted along the first axis."""
    generator = torch.Generator().manual_seed(0)
    offset = 3 * torch.randn(states, n, generator=generator, dtype=dtype)
    d = torch.randn(desired, states, n, generator=generator, dtype=dtype) + offset
    u = torch.randn(undesired, states, n, generator=generator, dtype=dtype) + offset
    d[..., 0] += shift
    return d, u


def test_the_direction_is_that_of_numpy():
    d, u = sides()
    direction = contrast(d, u)
    c = np.mean(d.numpy(), axis=0) - np.mean(u.numpy(), axis=0)
    length = np.sqrt((c**2).sum(-1))
    np.testing.assert_allclose(direction.contrast, c, atol=1e-13)
    np.testing.assert_allclose(direction.norm, length, atol=1e-13)
    np.testing.assert_allclose(direction.vectors, c / length[:, None], atol=1e-13)
    origin = [v @ m for v, m in zip(c / length[:, None], np.mean(u.numpy(), axis=0), strict=True)]
    np.testing.assert_allclose(direction.origin, origin, atol=1e-13)


def test_undesired_examples_are_at_zero_and_desired_ones_at_one_natural_unit():
    d, u = sides()
    direction = contrast(d, u)
    ones = torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(direction.features(u).mean(0), 0 * ones)
    torch.testing.assert_close(direction.features(d).mean(0), ones)


def test_exchanging_the_sides_turns_the_direction_around():
    d, u = sides()
    there, back = contrast(d, u), contrast(u, d)
    torch.testing.assert_close(there.vectors, -back.vectors)
    torch.testing.assert_close(there.norm, back.norm)
    torch.testing.assert_close(there.separation, back.separation)


def test_a_shift_of_all_states_leaves_all_but_the_origin():
    d, u = sides()
    shift = torch.full((6,), 7.0, dtype=torch.float64)
    here, there = contrast(d, u), contrast(d + shift, u + shift)
    torch.testing.assert_close(here.contrast, there.contrast)
    torch.testing.assert_close(here.separation, there.separation)
    torch.testing.assert_close(here.origin + here.vectors @ shift, there.origin)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions_give_the_direction_in_float32(dtype):
    d, u = (side.to(dtype) for side in sides())
    direction = contrast(d, u)
    expected = contrast(d.double(), u.double())
    assert direction.vectors.dtype == direction.separation.dtype == torch.float32
    torch.testing.assert_close(direction.vectors.double(), expected.vectors, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        direction.separation.double(), expected.separation, rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_state_that_is_the_same_for_all_examples_has_no_direction(dtype):
    d, u = sides(dtype=dtype)
    d[:, 0] = u[:, 0] = torch.full((6,), 0.1, dtype=dtype)
    direction = contrast(d, u)
    for tensor in (direction.contrast, direction.vectors, direction.norm, direction.origin):
        assert not tensor[0].any()
        assert tensor[1:].any()
    assert direction.separation[0] == 0
    assert direction.separation_se[0] == torch.inf
    assert not direction.features(d)[:, 0].any()


def test_one_example_of_each_side_gives_a_direction_of_unknown_separation():
    d, u = sides(1, 1)
    direction = contrast(d, u)
    torch.testing.assert_close(direction.contrast, d[0] - u[0])
    assert not direction.separation.any()
    assert torch.all(direction.separation_se == torch.inf)


def test_the_summary_has_a_row_for_each_state():
    direction = contrast(*sides())
    rows = direction.summary()
    assert [row.state for row in rows] == list(range(direction.blocks + 1))
    assert direction.states == 5 - 1
    assert direction.n == 6
    assert [row.norm for row in rows] == direction.norm.tolist()
    assert [row.separation_se for row in rows] == direction.separation_se.tolist()


def test_states_that_are_all_the_same_are_refused():
    d, _ = sides()
    with pytest.raises(InputError, match="the same at every block"):
        contrast(d, d.clone())


def test_states_that_are_not_finite_are_refused_by_example_and_state():
    d, u = sides()
    u[7, 2, 3] = torch.nan
    with pytest.raises(NumericalError, match="undesired example 7 .* at state 2"):
        contrast(d, u)


@pytest.mark.parametrize(
    ("desired", "undesired", "error", "says"),
    [
        ((0, 4, 6), (3, 4, 6), InputError, "no desired states"),
        ((3, 4, 6), (0, 4, 6), InputError, "no undesired states"),
        ((3, 4, 6), (3, 4, 5), ShapeError, r"\(4, 6\) and undesired ones \(4, 5\)"),
        ((3, 6), (3, 4, 6), ShapeError, r"desired has shape \(3, 6\); expected"),
    ],
)
def test_sides_of_wrong_shapes_are_refused(unchecked, desired, undesired, error, says):
    with pytest.raises(error, match=says):
        contrast(torch.ones(desired), torch.zeros(undesired))


def test_a_direction_that_does_not_belong_together_is_refused(unchecked):
    whole = vars(contrast(*sides()))
    with pytest.raises(ShapeError, match=r"norm has shape \(3,\); expected \(4,\)"):
        Direction(**(whole | {"norm": torch.ones(3)}))
    with pytest.raises(ShapeError, match=r"contrast has shape \(4,\)"):
        Direction(**(whole | {"contrast": torch.ones(4)}))
    with pytest.raises(NumericalError, match="origin of the direction"):
        Direction(**(whole | {"origin": torch.full((4,), torch.nan)}))


def test_features_of_other_states_are_refused(unchecked):
    direction = contrast(*sides())
    with pytest.raises(ShapeError, match=r"x has shape \(2, 3, 6\); expected \(rows, 4, 6\)"):
        direction.features(torch.ones(2, 3, 6))
