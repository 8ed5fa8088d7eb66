"""Where each kind of step leads, and what is refused."""

import pytest
import torch
from torch import Tensor

from steersman.directions import Direction, contrast
from steersman.errors import InputError, ShapeError
from steersman.local_linearity.steps import BETWEEN, FEATURE, RANDOM, checked_scales, steps

PROMPTS, BLOCKS, N = 3, 2, 64
PARTNERS = (1, 2, 0)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def states() -> Tensor:
    return 5 * drawn(PROMPTS, BLOCKS, N, seed=1)


@pytest.fixture
def direction() -> Direction:
    return contrast(drawn(6, BLOCKS + 1, N, seed=2) + 1, drawn(6, BLOCKS + 1, N, seed=3))


def test_every_step_has_length_one(states: Tensor, direction: Direction) -> None:
    found = steps(states, PARTNERS, direction, seed=0)
    assert found.kinds == (RANDOM, FEATURE, BETWEEN)
    torch.testing.assert_close(found.units.norm(dim=-1), torch.ones(3, PROMPTS, BLOCKS).double())


def test_a_step_between_prompts_of_its_natural_length_ends_in_the_others_state(
    states: Tensor,
) -> None:
    found = steps(states, PARTNERS, None, seed=0)
    units, reach = found.units[1], found.reach[1]
    ends = states + (reach * states.norm(dim=-1))[..., None] * units
    torch.testing.assert_close(ends, states[list(PARTNERS)])


def test_a_step_along_the_feature_of_its_natural_length_is_the_contrast(
    states: Tensor, direction: Direction
) -> None:
    found = steps(states, PARTNERS, direction, seed=0)
    step = (found.reach[1] * states.norm(dim=-1))[..., None] * found.units[1]
    torch.testing.assert_close(step, direction.contrast[:-1].expand_as(step))


def test_random_steps_are_isotropic_and_as_many_as_there_are_states() -> None:
    found = steps(drawn(400, BLOCKS, 8), tuple(range(1, 400)) + (0,), None, seed=0).units[0]
    covariance = torch.einsum("pbi,pbj->ij", found, found) / (400 * BLOCKS)
    torch.testing.assert_close(covariance, torch.eye(8).double() / 8, atol=0.02, rtol=0)
    assert not torch.equal(found[:, 0], found[:, 1])


def test_the_same_seed_gives_the_same_steps(states: Tensor) -> None:
    first, second, third = (steps(states, PARTNERS, None, seed=seed).units for seed in (4, 4, 5))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_between_equal_states_there_is_no_step(states: Tensor) -> None:
    states[1, 0] = states[0, 0] * (1 + 1e-9)
    found = steps(states, PARTNERS, None, seed=0)
    assert not found.units[1, 0, 0].any()
    assert found.reach[1, 0, 0] == 0
    assert found.units[1, 0, 1].norm() == pytest.approx(1)


def test_without_contrast_there_is_no_step(states: Tensor) -> None:
    desired, undesired = drawn(6, BLOCKS + 1, N, seed=2) + 1, drawn(6, BLOCKS + 1, N, seed=3)
    desired[:, 0] = undesired[:, 0]
    found = steps(states, PARTNERS, contrast(desired, undesired), seed=0)
    assert not found.units[1, :, 0].any()
    assert found.units[1, :, 1].any()


def test_a_direction_of_another_model_is_refused(direction: Direction) -> None:
    with pytest.raises(ShapeError, match="the feature is of 2 blocks of width 64, the model has 3"):
        steps(drawn(PROMPTS, 3, N), PARTNERS, direction, seed=0)


@pytest.mark.parametrize("scales", [[], [0.0], [-0.1, 0.1], [float("nan")], [float("inf")]])
def test_scales_are_finite_and_above_zero(scales: list[float]) -> None:
    with pytest.raises(InputError, match="finite and above zero"):
        checked_scales(scales)


@pytest.mark.parametrize("scales", [[0.2, 0.1], [0.1, 0.1]])
def test_scales_rise(scales: list[float]) -> None:
    with pytest.raises(InputError, match="rising order"):
        checked_scales(scales)
