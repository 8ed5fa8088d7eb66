"""States of two sides from normal distributions whose covariance is known."""

import torch
from torch import Tensor

Sides = tuple[Tensor, Tensor]


def two_sides(desired: int = 40, undesired: int = 30, n: int = 8, seed: int = 0) -> Sides:
    """Axes of very different spread, away from zero; the sides differ along the first and last."""
    generator = torch.Generator().manual_seed(seed)
    offset = 3 * torch.randn(n, generator=generator, dtype=torch.float64)
    spread = torch.linspace(3, 0.2, n, dtype=torch.float64)
    d, u = (
        torch.randn(count, n, generator=generator, dtype=torch.float64) * spread + offset
        for count in (desired, undesired)
    )
    d[:, 0] += 1.0
    d[:, -1] += 0.3
    return d, u


def pairs(count: int = 60, n: int = 8, seed: int = 0, along: Tensor | None = None) -> Sides:
    """Pairs with much in common, whose difference is `along` (the second axis), give or take."""
    generator = torch.Generator().manual_seed(seed)
    common = 5 * torch.randn(count, n, generator=generator, dtype=torch.float64)
    step = torch.eye(n, dtype=torch.float64)[1] if along is None else along
    noise = 0.1 * torch.randn(2, count, n, generator=generator, dtype=torch.float64)
    return common + step + noise[0], common + noise[1]


def stacked(sides: Sides) -> tuple[Tensor, Tensor]:
    """All states, the desired ones first, and 1 or -1 for each."""
    y = torch.cat([torch.ones(len(sides[0])), -torch.ones(len(sides[1]))]).double()
    return torch.cat(sides), y


def unit(v: Tensor) -> Tensor:
    """At length one."""
    return v / v.norm()
