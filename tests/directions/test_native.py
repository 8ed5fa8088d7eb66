"""The model's own basis: the axes of numpy, one of them as a direction, filters of a direction."""

import numpy as np
import pytest
import torch
from gaussians import two_sides, unit

from steersman.directions import (
    Filtered,
    MeanDifference,
    NativeAxis,
    OneForAll,
    Removed,
    contrast,
    observer_named,
    principal_axes,
)
from steersman.directions.observer import read_states
from steersman.errors import InputError, UnknownNameError


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("n", [8, 120])
def test_the_axes_are_the_right_singular_vectors(centre: bool, n: int) -> None:
    x = torch.cat(two_sides(n=n))
    given = x - x.mean(0) if centre else x
    _, sizes, rows = np.linalg.svd(given.numpy(), full_matrices=False)
    found = principal_axes(x, 5, centre=centre)
    np.testing.assert_allclose(found.sizes, sizes[:5] / len(x) ** 0.5, rtol=1e-9)
    cosines = np.abs((found.axes.numpy() * rows[:5].T).sum(0))
    np.testing.assert_allclose(cosines, 1, atol=1e-9)


def test_a_direction_is_what_is_kept_and_what_is_removed() -> None:
    x = torch.cat(two_sides())
    space, d = principal_axes(x, 3), x[0]
    torch.testing.assert_close(space.kept(d) + space.removed(d), d)
    torch.testing.assert_close(space.coordinates(space.kept(d)[None]), space.coordinates(d[None]))
    assert float(space.coordinates(space.removed(d)[None]).abs().max()) < 1e-12


def test_states_that_do_not_vary_have_no_axes() -> None:
    x = torch.ones(4, 3).double()
    assert principal_axes(x, 2).axes.shape == (3, 0)
    assert principal_axes(x, 2, centre=False).axes.shape == (3, 1)
    with pytest.raises(InputError, match="0 axes"):
        principal_axes(x, 0)


@pytest.mark.parametrize("axis", [0, 3])
def test_a_native_axis_is_that_singular_vector_towards_the_desired(axis: int) -> None:
    d, u = two_sides()
    x = torch.cat([d, u])
    row = torch.linalg.svd(x - x.mean(0)).Vh[axis]
    expected = row * torch.sign(row @ (d.mean(0) - u.mean(0)))
    torch.testing.assert_close(NativeAxis(axis).read(d, u), expected, rtol=1e-7, atol=1e-9)


def test_of_many_the_axis_is_taken_that_tells_the_sides_apart_best() -> None:
    generator = torch.Generator().manual_seed(0)
    d, u = (torch.randn(200, 6, generator=generator).double() for _ in range(2))
    spread = torch.tensor([20.0, 12.0, 5.0, 3.0, 1.5, 0.5]).double()
    d, u = d * spread, u * spread
    d[:, 2] += 10.0
    assert float(NativeAxis().read(d, u)[2]) > 0.99
    assert float(NativeAxis(most=1).read(d, u).abs()[0]) > 0.8


def test_an_axis_beyond_those_there_are_is_no_direction() -> None:
    d, u = two_sides(2, 2)
    assert NativeAxis(2).read(d, u).any() and not NativeAxis(3).read(d, u).any()


@pytest.mark.parametrize("n", [8, 120])
def test_a_filter_projects_on_the_leading_axes_of_all_states(n: int) -> None:
    d, u = two_sides(n=n)
    x, c = torch.cat([d, u]).numpy(), (d.mean(0) - u.mean(0)).numpy()
    B = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:4].T
    np.testing.assert_allclose(Filtered(MeanDifference(), 4).read(d, u), B @ B.T @ c, atol=1e-9)
    np.testing.assert_allclose(Removed(MeanDifference(), 4).read(d, u), c - B @ B.T @ c, atol=1e-9)


def test_a_filter_finds_the_signal_again_that_noise_hides() -> None:
    """The signal lies within the four of 400 axes along which states vary most."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.full((400,), 0.3).double()
    spread[:4] = 1.0
    d, u = (torch.randn(200, 400, generator=generator).double() * spread for _ in range(2))
    d[:, 0] += 0.5
    truth = torch.eye(400).double()[0]
    plain = float(unit(MeanDifference().read(d, u)) @ truth)
    filtered = float(unit(Filtered(MeanDifference(), 4).read(d, u)) @ truth)
    assert filtered > plain + 0.1


def test_removing_every_axis_leaves_no_direction() -> None:
    d, u = two_sides()
    assert not Removed(MeanDifference(), 8).read(d, u).any()
    states = tuple(side.unsqueeze(1) for side in (d, u))
    with pytest.raises(InputError, match="finds no direction"):
        contrast(*states, direction=Removed(MeanDifference(), 8))  # type: ignore[arg-type]


def test_a_filter_composes_with_a_rule_that_looks_at_all_states() -> None:
    d, u = (torch.stack([side, side.flip(1)], 1) for side in two_sides())
    found = read_states(Filtered(OneForAll("norm"), 3), d, u)
    chosen = read_states(OneForAll("norm"), d, u)
    for state in range(2):
        space = principal_axes(torch.cat([d[:, state], u[:, state]]), 3)
        torch.testing.assert_close(found[state], space.kept(chosen[state]))


@pytest.mark.parametrize("name", ["pca|filter:8", "mean|remove:2|filter:3", "lda|max-sim|filter:2"])
def test_names_are_put_together_from_left_to_right(name: str) -> None:
    assert observer_named(name).name == name


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("pca|filter", UnknownNameError, r"choose one of \|filter"),
        ("pca|filter:0", InputError, "has 0 axes"),
        ("pca|filter:two", InputError, "no whole number"),
        ("pca|purified:2:abc", InputError, "which no name holds"),
        ("native:-1", InputError, "axis >= 0"),
        ("", UnknownNameError, "no rule ''"),
    ],
)
def test_a_wrong_name_says_what_is_wrong(name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        observer_named(name)
