"""Random linear plants, directions and weights in float64, made from a seed."""

import torch
from hypothesis import strategies as st
from torch import Tensor

from steersman.control import AffineLaw, LTVSystem

WEIGHTS = st.floats(-2, 2).map(lambda power: 10.0**power)
"""A cost weight between 0.01 and 100."""


def generator(seed: int) -> torch.Generator:
    """A source of random numbers of its own."""
    return torch.Generator().manual_seed(seed)


def randn(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def random_plant(seed: int = 0, blocks: int = 5, n: int = 6, gain: float = 0.5) -> LTVSystem:
    """Residual blocks: the identity and a random matrix of about that spectral radius."""
    return LTVSystem(torch.eye(n).double() + gain * randn(seed, blocks, n, n) / n**0.5)


def random_law(seed: int, system: LTVSystem, k: int = 1) -> AffineLaw:
    """A mild law that observes and acts along `k` random directions a block."""
    shape = (system.blocks, system.n, k)
    return AffineLaw(randn(seed, *shape) / system.n, randn(seed + 1, *shape) / 3)


def unit_rows(seed: int, rows: int, n: int) -> Tensor:
    """Random unit vectors."""
    return torch.nn.functional.normalize(randn(seed, rows, n), dim=1)


@st.composite
def plants(draw: st.DrawFn) -> LTVSystem:
    """Plants of 1 to 6 blocks and width 1 to 6, calm or unstable."""
    blocks, n = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    return random_plant(draw(st.integers(0, 10**6)), blocks, n, draw(st.floats(0.0, 2.0)))
