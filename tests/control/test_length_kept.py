"""A vector added without making the state longer, against its closed form in float64."""

import pytest
import torch
from torch import Tensor

from steersman.control import LengthKept


def randn(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def law() -> LengthKept:
    v = torch.zeros(3, 5, dtype=torch.float64)
    v[1] = randn(0, 5)
    return LengthKept(v)


def turned(x: Tensor, s: float) -> Tensor:
    return x + law().step(None, x, torch.full((len(x), 1), s, dtype=x.dtype), 1)[1]


@pytest.mark.parametrize("s", [0.3, 4.0, -2.0])
def test_every_state_keeps_its_own_length_and_points_where_the_sum_does(s: float) -> None:
    x = randn(1, 30, 5) * torch.logspace(-3, 3, 30).double()[:, None]
    y, v = turned(x, s), law().v[1]
    for before, after in zip(x, y, strict=True):
        total = before + s * v
        torch.testing.assert_close(after, total * (before.norm() / total.norm()))
    torch.testing.assert_close(y.norm(dim=1), x.norm(dim=1))


def test_strength_zero_leaves_every_bit() -> None:
    x = randn(1, 1000, 5).float()
    assert torch.equal(turned(x.double(), 0.0), x.double())
    narrow = LengthKept(law().v.float())
    assert not narrow.step(None, x, torch.zeros(1000, 1), 1)[1].any()


def test_more_and_more_of_it_comes_to_its_direction() -> None:
    x, v = randn(1, 4, 5), law().v[1]
    far = turned(x, 1e9)
    torch.testing.assert_close(far, x.norm(dim=1, keepdim=True) * v / v.norm())


def test_a_state_of_zero_and_a_sum_of_zero_are_left_alone() -> None:
    v = law().v[1]
    x = torch.stack([torch.zeros_like(v), -v])
    found = turned(x, 1.0)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found, x)


def test_a_row_does_not_depend_on_the_others_and_other_blocks_do_nothing() -> None:
    x = randn(1, 9, 5)
    alone = torch.cat([turned(one[None], 2.0) for one in x])
    torch.testing.assert_close(turned(x, 2.0), alone, rtol=0, atol=1e-14)
    assert [law().is_active(block) for block in range(3)] == [False, True, False]
