"""The state, threshold and side that tell two sets of prompts apart best."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError
from steersman.gating.condition import Side

SIDES: tuple[Side, ...] = ("above", "below")


class Choice(NamedTuple):
    """A threshold at one of several states.

    Attributes:
        column: which of the states.
        threshold: half way between two similarities that were seen.
        side: on which side prompts fire.
        f1: of those that are to fire.
    """

    column: int
    threshold: float
    side: Side
    f1: float


def f1(hits: int | float, fired: int | float, wanted: int | float) -> float:
    """`2 hits / (fired + wanted)`, the harmonic mean of precision and recall; 0 for no hit.

    Args:
        hits: prompts that were to fire and did.
        fired: prompts that did.
        wanted: prompts that were to.
    """
    return 2 * hits / (fired + wanted) if hits else 0.0


def choose(
    firing: Float[Tensor, "firing states"], others: Float[Tensor, "others states"]
) -> Choice:
    """The largest F1 over all states, thresholds and sides.

    Of equal ones that counts where the two means are furthest apart in pooled standard deviations,
    then the earliest state, then "above", then the threshold in the widest gap, then the lowest.

    Args:
        firing: similarities of prompts that are to fire, one column a state.
        others: of prompts that are not.

    Returns:
        The choice.

    Raises:
        InputError: at no state do the similarities differ at all.
    """
    found = []
    for index in range(firing.shape[1]):
        yes, no = firing[:, index].double(), others[:, index].double()
        apart = _apart(yes, no)
        for order, side in enumerate(SIDES):
            for threshold, gap in _thresholds(torch.cat([yes, no])):
                score = _score(yes, no, threshold, side)
                key = (-score, -apart, index, order, -gap, threshold)
                found.append((key, Choice(index, threshold, side, score)))
    if not found:
        raise InputError(
            "all prompts are equally similar to the condition: nothing tells them apart."
        )
    return min(found, key=lambda one: one[0])[1]


def _thresholds(values: Float[Tensor, " rows"]) -> list[tuple[float, float]]:
    """Half way between neighbours, with how far apart these are."""
    seen = torch.unique(values)  # sorted
    return list(zip(((seen[1:] + seen[:-1]) / 2).tolist(), seen.diff().tolist(), strict=True))


def _score(
    yes: Float[Tensor, " firing"], no: Float[Tensor, " others"], threshold: float, side: Side
) -> float:
    hits, wrong = (
        int((one > threshold).sum() if side == "above" else (one < threshold).sum())
        for one in (yes, no)
    )
    return f1(hits, hits + wrong, len(yes))


def _apart(yes: Float[Tensor, " firing"], no: Float[Tensor, " others"]) -> float:
    spread = ((yes.var(correction=0) + no.var(correction=0)) / 2).sqrt()
    return float((yes.mean() - no.mean()).abs() / spread.clamp(min=torch.finfo(spread.dtype).eps))
