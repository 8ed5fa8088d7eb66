"""One rule for what is pushed along and what is observed: units, defaults, what does not fit."""

from dataclasses import dataclass

import pytest
import torch
from gaussians import Sides
from torch import Tensor

from steersman.directions import (
    ConfidentMean,
    FeatureMachine,
    Filtered,
    LinearDiscriminant,
    MeanDifference,
    NativeAxis,
    Observer,
    OneForAll,
    PrincipalComponent,
    Probe,
    Raptor,
    Whitened,
    contrast,
    separation,
)
from steersman.errors import InputError

RULES = [
    PrincipalComponent(),
    PrincipalComponent("states"),
    LinearDiscriminant(),
    Raptor(),
    ConfidentMean(0.6),
    OneForAll(),
    OneForAll("norm"),
    NativeAxis(),
    FeatureMachine(2),
    Whitened(),
    Probe(0.1),
    Filtered(MeanDifference(), 3),
]


def layers(states: int = 2, n: int = 6, dtype: torch.dtype = torch.float64) -> Sides:
    generator = torch.Generator().manual_seed(0)
    d, u = (torch.randn(30, states, n, generator=generator).to(dtype) for _ in range(2))
    return d + torch.linspace(2, 1, n).to(dtype), u


@dataclass(frozen=True)
class Fixed(Observer):
    """Always the same axis, turned around or not."""

    axis: int
    sign: float = 1.0

    @property
    def name(self) -> str:
        return f"axis {self.axis}"

    def read(self, desired: Tensor, undesired: Tensor) -> Tensor:
        return self.sign * torch.eye(desired.shape[1]).double()[self.axis]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_is_pushed_along_and_observed_in_units_of_the_means(rule: Observer) -> None:
    d, u = layers()
    found, mean = contrast(d, u, direction=rule), contrast(d, u)
    ones = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(found.features(u).mean(0), 0 * ones)
    torch.testing.assert_close(found.features(d).mean(0), ones)
    torch.testing.assert_close(found.features(u + found.contrast).mean(0), ones)
    unit = torch.nn.functional.normalize(found.contrast, dim=-1)
    torch.testing.assert_close(unit, found.vectors)
    torch.testing.assert_close(found.norm, (found.vectors * mean.contrast).sum(-1))
    torch.testing.assert_close(found.patterns, found.vectors)
    torch.testing.assert_close(found.separation, separation(d, u, observer=rule).d)


def test_the_default_is_the_mean_bit_for_bit_however_it_is_said() -> None:
    given = layers(dtype=torch.float32)
    plain, whitened = contrast(*given), contrast(*given, observer=Whitened())
    for made, other in (
        (contrast(*given, direction=MeanDifference()), plain),
        (contrast(*given, direction=MeanDifference(), observer=MeanDifference()), plain),
        (contrast(*given, direction=MeanDifference(), observer=Whitened()), whitened),
    ):
        for name, tensor in vars(made).items():
            assert torch.equal(tensor, getattr(other, name)), name
    d, u = (side.double() for side in given)
    torch.testing.assert_close(plain.contrast.double(), d.mean(0) - u.mean(0))


def test_pushed_along_one_thing_and_observed_along_another_one_unit_stays_the_same() -> None:
    d, u = layers()
    found = contrast(d, u, direction=PrincipalComponent(), observer=Whitened())
    observed = contrast(d, u, observer=Whitened())
    for name in ("vectors", "norm", "origin", "separation"):
        assert torch.equal(getattr(found, name), getattr(observed, name))
    pushed = contrast(d, u, direction=PrincipalComponent()).vectors
    torch.testing.assert_close(torch.nn.functional.normalize(found.contrast, dim=-1), pushed)
    ones = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(found.features(u + found.contrast).mean(0), ones)


def test_a_push_that_does_not_move_what_is_observed_is_refused() -> None:
    with pytest.raises(InputError, match="nothing that 'axis 1' pushes along is what 'axis 2'"):
        contrast(*layers(), direction=Fixed(1), observer=Fixed(2))


def test_a_direction_that_runs_against_the_means_is_refused() -> None:
    with pytest.raises(InputError, match="'axis 1' finds no direction"):
        contrast(*layers(), direction=Fixed(1, -1.0))
