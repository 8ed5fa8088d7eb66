"""How well an autoencoder does on states."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.autoencoders.autoencoder import SparseAutoencoder
from steersman.errors import InputError

ROWS = 4096
"""States at a time."""


@dataclass(frozen=True)
class Quality:
    """What is kept of some states, and what it takes.

    Args:
        explained: the share of their variance that the reconstruction has.
        dead: the share of the features that were there at none of them.
        active: how many features were there at a state, on average.
        states: how many states that was measured on.
    """

    explained: float
    dead: float
    active: float
    states: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"{100 * self.explained:.1f} % of the variance of {self.states} states explained by "
            f"{self.active:.1f} features at a time; {100 * self.dead:.1f} % of them dead"
        )


@torch.no_grad()
def quality(sae: SparseAutoencoder, x: Float[Tensor, "rows n"]) -> Quality:
    """Explained variance and dead features on states that it should not have been trained on.

        explained = 1 - sum |x - x^|^2 / sum |x - mean x|^2

    Args:
        sae: the autoencoder.
        x: states, at least two.

    Raises:
        InputError: too few states, or states that are all the same.
    """
    total = float((x - x.mean(0)).double().square().sum())
    if len(x) < 2 or total == 0:
        raise InputError(f"{len(x)} states that do not differ cannot be explained: give more.")
    missed, active = 0.0, 0.0
    seen = torch.zeros(sae.features, dtype=torch.bool, device=sae.W_enc.device)
    for part in torch.split(x, ROWS):
        a = sae.encode(part)
        missed += float((part.to(sae.W_dec) - sae.decode(a)).double().square().sum())
        active += float((a > 0).sum())
        seen |= (a > 0).any(0)
    return Quality(1 - missed / total, float((~seen).double().mean()), active / len(x), len(x))
