"""Evidence for a method from a small linear world, where everything is known in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from steersman.control import LTVSystem
from steersman.directions import Direction, Features
from steersman.methods import Evidence, Means

BLOCKS, N = 5, 8


def randn(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class LinearWorld:
    """Two mean states, each with its own `x_0` and `w`: `x_{t+1} = A_t x_t + w_t + u_t`."""

    A: Tensor
    desired: tuple[Tensor, Tensor]
    undesired: tuple[Tensor, Tensor]

    @classmethod
    def random(cls, seed: int = 0, gain: float = 0.3) -> "LinearWorld":
        """Residual blocks, and sides that go on drifting apart."""
        A = torch.eye(N).double() + gain * randn(seed, BLOCKS, N, N) / N**0.5
        common = 3 * randn(seed + 1, N)
        sides = [
            (common + randn(seed + s, N), 0.3 * randn(seed + 10 + s, BLOCKS, N)) for s in (2, 3)
        ]
        return cls(A, *sides)

    def run(self, side: tuple[Tensor, Tensor], inputs: Tensor | None = None) -> Tensor:
        """`x_0 .. x_T` of one side."""
        states, u = [side[0]], torch.zeros(BLOCKS, N).double() if inputs is None else inputs
        for A, w, push in zip(self.A, side[1], u.double(), strict=True):
            states.append(A @ states[-1] + w + push)
        return torch.stack(states)

    def read(self, inputs: Tensor | None) -> Means:
        """The means of both sides, the undesired one under these inputs."""
        return Means(self.run(self.desired), self.run(self.undesired, inputs))

    @property
    def direction(self) -> Direction:
        """The contrast of the two sides, float64."""
        means = self.read(None)
        v, nothing = normalize(means.contrast, dim=1), torch.zeros(BLOCKS + 1).double()
        origin = (v * means.undesired).sum(dim=1)
        return Direction(
            means.contrast, v, means.contrast.norm(dim=1), origin, nothing, nothing + torch.inf
        )

    @property
    def evidence(self) -> Evidence:
        """All that a method may ask for."""
        return Evidence(Features.of(self.direction), LTVSystem(self.A), read=self.read)
