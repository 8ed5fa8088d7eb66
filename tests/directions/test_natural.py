"""Natural differences: against numpy, and where examples are not paired."""

import numpy as np
import pytest
import torch
from torch import Tensor

from steersman.directions import Natural, natural_differences, shrunk_covariance
from steersman.errors import InputError, NumericalError, ShapeError


def sides(desired: int = 30, undesired: int = 30) -> tuple[Tensor, Tensor]:
    """Two directions of difference in the first state, none in the second, all in the third."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(undesired, 3, 8, generator=generator, dtype=torch.float64)
    latent = torch.randn(desired, 2, generator=generator, dtype=torch.float64)
    d = torch.randn(desired, 3, 8, generator=generator, dtype=torch.float64)
    shared = u[torch.arange(desired) % undesired]
    d[:, :2] = shared[:, :2]
    d[:, 0, :2] += 1 + latent
    d[:, 2] *= torch.linspace(3, 0.3, 8)
    return d, u


def test_they_are_the_leading_part_of_the_second_moment() -> None:
    d, u = sides()
    found = natural_differences(d, u, share=1.0, most=5).factors
    differences = (d - u)[:, 2].numpy()
    shrunk = shrunk_covariance(torch.from_numpy(differences))
    S = differences.T @ differences / 30
    dense = (1 - shrunk.shrinkage) * S + shrunk.floor * np.eye(8)
    values, vectors = np.linalg.eigh(dense)
    expected = (vectors[:, -5:] * values[-5:]) @ vectors[:, -5:].T
    np.testing.assert_allclose(found[2] @ found[2].T, expected, atol=1e-10)


def test_a_state_has_no_more_directions_than_differences() -> None:
    found = natural_differences(*sides(), share=1.0, most=5).factors
    assert found.shape == (3, 8, 5)
    assert found[0, :, :2].any(dim=0).all() and not found[0, :, 2:].any()
    assert not found[0, 2:].abs().max() > 1e-12
    assert not found[1].any()


def test_a_smaller_share_keeps_fewer() -> None:
    few, many = (
        natural_differences(*sides(), share=share, most=8).factors for share in (0.3, 0.99)
    )
    assert few.shape[2] < many.shape[2] == 8


def test_sides_of_different_sizes_are_set_against_each_other_at_random() -> None:
    d, u = sides(40, 30)
    found = natural_differences(d, u, share=1.0, most=8).factors[2]
    moment = (found @ found.mT).trace()
    expected = (d[:, 2].square().sum() / 40) + (u[:, 2].square().sum() / 30)
    assert float(moment) == pytest.approx(float(expected), rel=0.2)
    assert torch.equal(found, natural_differences(d, u, share=1.0, most=8).factors[2])


def test_half_precision_is_read_in_float32() -> None:
    assert (
        natural_differences(*(s.bfloat16() for s in sides()), most=8).factors.dtype == torch.float32
    )


def test_what_cannot_be_is_refused(unchecked: None) -> None:
    d, u = sides()
    with pytest.raises(InputError, match="most is 9; states of width 8 have 1 to 8"):
        natural_differences(d, u, most=9)
    with pytest.raises(InputError, match="1 desired and 30 undesired"):
        natural_differences(d[:1], u, most=8)
    with pytest.raises(ShapeError, match=r"shape \(3, 8\)"):
        Natural(torch.ones(3, 8))
    with pytest.raises(ShapeError, match=r"k <= n"):
        Natural(torch.ones(3, 8, 9))
    with pytest.raises(NumericalError, match="natural factors"):
        Natural(torch.full((3, 8, 1), torch.nan))
