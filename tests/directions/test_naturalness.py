"""How natural a state is: against dense algebra, and blind to pushes along the contrast."""

import numpy as np
import pytest
import torch
from torch import Tensor

from steersman.directions import MeanDifference, Naturalness, Probe
from steersman.errors import InputError


def sides(count: int = 400, n: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.linspace(3, 0.1, n, dtype=torch.float64)
    d, u = (torch.randn(count, n, generator=generator).double() * spread for _ in range(2))
    return d + torch.linspace(1.0, 0.0, n), u


def test_the_distance_is_that_from_the_line_between_the_means() -> None:
    d, u = sides()
    found = Naturalness.of(d, u, MeanDifference(), shrinkage=0.1)
    apart = np.concatenate([(s - s.mean(0)).numpy() for s in (d, u)])
    S = apart.T @ apart / len(apart)
    S = np.linalg.inv(0.9 * S + 0.1 * np.trace(S) / 12 * np.eye(12))
    c, x = (d.mean(0) - u.mean(0)).numpy(), sides(5, seed=1)[0].numpy() - u.mean(0).numpy()
    # The nearest point of the line, by brute force.
    steps = np.linspace(-30, 30, 60001)
    for row, value in zip(x, found.distances(torch.from_numpy(x) + u.mean(0)), strict=True):
        a, b, e = c @ S @ c, row @ S @ c, row @ S @ row
        expected = (e - 2 * steps * b + steps**2 * a).min() / 11
        assert float(value) == pytest.approx(expected, rel=1e-4)


def test_natural_states_are_at_about_one_on_either_side() -> None:
    found = Naturalness.of(*sides(), Probe(0.01), shrinkage=0.0)
    for states in sides(seed=1):
        assert float(found.distances(states).mean()) == pytest.approx(1.0, abs=0.1)


def test_a_push_along_the_contrast_is_natural_and_one_where_nothing_varies_is_not() -> None:
    d, u = sides()
    found = Naturalness.of(d, u, Probe(0.01))
    states = sides(50, seed=1)[1]
    torch.testing.assert_close(
        found.distances(states + 3 * found.contrast), found.distances(states)
    )
    odd = torch.zeros(12).double()
    odd[-1] = float(found.contrast.norm())
    assert found.distances(states + odd).min() > 5 * found.distances(states).mean()


def test_the_contrast_moves_the_probe_by_a_unit() -> None:
    d, u = sides()
    found = Naturalness.of(d, u, Probe(0.01))
    push = torch.stack([found.contrast, -2 * found.contrast])
    torch.testing.assert_close(found.moved(push), torch.tensor([1.0, -2.0]).double())


def test_sides_that_a_probe_cannot_tell_apart_are_refused() -> None:
    u = sides()[1]
    with pytest.raises(InputError, match="does not tell desired from undesired"):
        Naturalness.of(u, u.clone(), MeanDifference())
    with pytest.raises(InputError, match="do not vary at all"):
        Naturalness.of(u[:1].expand(5, -1), u[1:2].expand(5, -1), MeanDifference())
