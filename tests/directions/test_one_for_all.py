"""One direction for all states: which one, and where it has no feature."""

import numpy as np
import pytest
import torch
from gaussians import Sides

from steersman.directions import MeanDifference, OneForAll, Whitened, contrast, observer_named
from steersman.directions.observer import read_states
from steersman.errors import InputError


def layers(states: int = 5, n: int = 6) -> Sides:
    generator = torch.Generator().manual_seed(3)
    d, u = (torch.randn(30, states, n, generator=generator).double() for _ in range(2))
    d += torch.randn(states, n, generator=generator).double() + 1
    return d, u


@pytest.mark.parametrize("by", ["sim", "norm"])
def test_it_is_the_candidate_that_numpy_chooses_at_every_state(by: str) -> None:
    d, u = layers()
    c = (d.mean(0) - u.mean(0)).numpy()
    units = c / np.linalg.norm(c, axis=1, keepdims=True)
    worth = (units @ units.T).mean(1) if by == "sim" else np.linalg.norm(c, axis=1)
    expected = np.broadcast_to(units[worth.argmax()], c.shape)
    np.testing.assert_allclose(read_states(OneForAll(by), d, u), expected, atol=1e-12)  # type: ignore[arg-type]


def test_the_two_ways_differ_here() -> None:
    d, u = layers()
    sim, norm = (read_states(OneForAll(by), d, u)[0] for by in ("sim", "norm"))  # type: ignore[arg-type]
    assert float(sim @ norm) < 0.99


def test_a_state_that_is_not_asked_is_no_candidate() -> None:
    d, u = layers()
    where = torch.tensor([False, True, True, False, True])
    found = OneForAll("norm").read_each(d, u, where)
    assert not found[[0, 3]].any()
    c = (d.mean(0) - u.mean(0))[where]
    longest = c[int(c.norm(dim=1).argmax())]
    torch.testing.assert_close(found[1], longest / longest.norm())


def test_a_state_that_the_direction_runs_against_has_no_feature() -> None:
    d, u = layers()
    d[:, 2], u[:, 2] = u[:, 2].clone(), d[:, 2].clone()
    found = contrast(d, u, direction=OneForAll())
    assert not found.contrast[2].any() and not found.vectors[2].any()
    assert float(found.norm[2]) == 0 and bool((found.norm[[0, 1, 3, 4]] > 0).all())


def test_its_names_make_it_again(unchecked: None) -> None:
    for rule in (OneForAll(), OneForAll("norm"), OneForAll("sim", Whitened(0.5))):
        assert observer_named(rule.name) == rule
    assert OneForAll("sim", MeanDifference()).name == "max-sim"
    with pytest.raises(InputError, match="choose sim or norm"):
        OneForAll("luck")  # type: ignore[arg-type]
