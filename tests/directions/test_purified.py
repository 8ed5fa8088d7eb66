"""Purified directions move no other feature, and say what they are purified from."""

import pytest
import torch
from gaussians import Sides

from steersman.directions import (
    Direction,
    MeanDifference,
    PrincipalComponent,
    Purified,
    contrast,
)
from steersman.directions.observer import read_states
from steersman.errors import InputError, ShapeError


def trait(axis: int, states: int = 3, n: int = 6, seed: int = 0) -> Sides:
    """Sides that differ along an axis, and half as much along the first."""
    generator = torch.Generator().manual_seed(seed)
    d, u = (torch.randn(40, states, n, generator=generator).double() for _ in range(2))
    d[..., axis] += 4
    d[..., 0] += 2
    return d, u


OTHERS = tuple(contrast(*trait(axis, seed=axis)) for axis in (0, 1))


@pytest.mark.parametrize("rule", [MeanDifference(), PrincipalComponent()], ids=str)
def test_it_is_the_part_that_least_squares_leaves(rule: MeanDifference) -> None:
    d, u = trait(3, seed=9)
    found, plain = read_states(Purified(rule, OTHERS), d, u), read_states(rule, d, u)
    for state in range(3):
        V = torch.stack([other.vectors[state] for other in OTHERS], 1)
        fit = torch.linalg.lstsq(V, plain[state][:, None]).solution
        torch.testing.assert_close(found[state], plain[state] - (V @ fit)[:, 0])


def test_a_push_along_it_moves_no_other_feature_and_still_moves_its_own() -> None:
    d, u = trait(3, seed=9)
    made = contrast(d, u, direction=Purified(MeanDifference(), OTHERS))
    moved = u + made.contrast
    for other in OTHERS:
        torch.testing.assert_close(other.features(moved), other.features(u))
    torch.testing.assert_close(made.features(moved).mean(0), torch.ones(3).double())


def test_the_same_feature_twice_and_one_without_contrast_change_nothing() -> None:
    d, u = trait(3, seed=9)
    silent = Direction(*(torch.zeros_like(getattr(OTHERS[0], name)) for name in vars(OTHERS[0])))
    plain = read_states(Purified(MeanDifference(), OTHERS), d, u)
    more = read_states(Purified(MeanDifference(), (*OTHERS, OTHERS[0], silent)), d, u)
    torch.testing.assert_close(more, plain)


def test_a_feature_purified_from_itself_is_nothing() -> None:
    d, u = trait(3)
    with pytest.raises(InputError, match="finds no direction"):
        contrast(d, u, direction=Purified(MeanDifference(), (contrast(d, u),)))


def test_the_name_tells_the_others_apart_and_what_does_not_fit_is_refused() -> None:
    one, other = (Purified(MeanDifference(), (made,)) for made in OTHERS)
    assert one.name.startswith("mean|purified:1:") and one.name != other.name
    with pytest.raises(InputError, match="give the directions"):
        Purified(MeanDifference(), ())
    with pytest.raises(ShapeError, match="from the same model"):
        read_states(one, *trait(3, states=2))
    with pytest.raises(ShapeError, match="different"):
        Purified(MeanDifference(), (OTHERS[0], contrast(*trait(1, states=2))))
    with pytest.raises(InputError, match="all states"):
        one.read(*(side[:, 0] for side in trait(3)))
