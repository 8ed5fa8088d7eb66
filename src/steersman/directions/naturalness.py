"""How natural a state is, and how far a push takes it from what natural states show."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.covariance import Covariance, shrunk_covariance
from steersman.directions.observer import Observer, centred
from steersman.errors import InputError


@dataclass(frozen=True, eq=False)
class Naturalness:
    """What natural states of one kind of example show: a line between two means, and a spread.

        D^2(x) = min over s of  (x - m - s c)' S^-1 (x - m - s c) / (n - 1)

    `m` is the mean of the undesired examples, `c` the contrast, `S` the covariance within the
    sides, shrunk. A push along the contrast leaves `D` as it is, however long; a push in directions
    that natural states hardly use does not.

    Args:
        covariance: `S`.
        mean: `m`.
        contrast: `c`.
        probe: a direction that tells the sides apart, of length one.
    """

    covariance: Covariance
    mean: Float[Tensor, " n"]
    contrast: Float[Tensor, " n"]
    probe: Float[Tensor, " n"]

    @classmethod
    def of(
        cls,
        desired: Float[Tensor, "desired n"],
        undesired: Float[Tensor, "undesired n"],
        probe: Observer,
        shrinkage: float | None = None,
    ) -> "Naturalness":
        """From examples of both sides.

        Args:
            desired: states, float64.
            undesired: states, float64.
            probe: what reads a direction of its own from these examples.
            shrinkage: of the covariance; None is that of Ledoit and Wolf.

        Raises:
            InputError: examples that do not vary, one of each side, or sides that the probe cannot
                tell apart.
        """
        covariance = shrunk_covariance(torch.cat([centred(desired), centred(undesired)]), shrinkage)
        mean = undesired.mean(0)
        contrast = desired.mean(0) - mean
        v = torch.nn.functional.normalize(probe.read(desired, undesired), dim=-1)
        if not float(v @ contrast) > 0:
            raise InputError(
                "the probe does not tell desired from undesired examples, so it cannot judge a "
                "push: give more examples, or read them where the behaviour is decided."
            )
        return cls(covariance, mean, contrast, v)

    def distances(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """`D^2` of each state; about 1 for states that vary as `S` says.

        Raises:
            NumericalError: the covariance is singular.
        """
        apart = x - self.mean
        along = self.covariance.solve(self.contrast.unsqueeze(0))[0]
        off = self.covariance.distances(apart) - (apart @ along).square() / (along @ self.contrast)
        return off.clamp_min(0) / max(1, len(self.mean) - 1)

    def moved(self, push: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """By how many natural units each push moves what the probe reads."""
        return push @ self.probe / (self.probe @ self.contrast)
