"""Representation engineering: the reading vector of many blocks, added at each."""

from dataclasses import dataclass
from typing import ClassVar

from steersman.methods.about import About
from steersman.methods.added import BandAddition


@dataclass(frozen=True)
class RepE(BandAddition):
    """The first principal component of paired differences, added behind most blocks.

        v_t = PC1 of { x_t desired_i - x_t undesired_i },    sign that of the mean difference
        y <- y + target strength v        and, where asked, made as long as it was

    The component has no sign of its own; it points from the undesired side to the desired one.

    Args:
        blocks: which blocks act; empty is blocks 1 to 22 of 32, as published.
        strength: how many vectors of length one at each block; the published 8 is for states of a
            7B model. None shares one natural unit out among the blocks.
        keep_norm: whether each state keeps its length, which is published as an option.

    Source:
        Representation Engineering (arXiv 2310.01405),
        https://github.com/andyzoujm/representation-engineering, its linear control with the
        settings of its honesty example.
    """

    name: ClassVar[str] = "repe"
    about: ClassVar[About] = About(
        paper="RepE, arXiv 2310.01405",
        direction="principal component of differences",
        setpoint="offset in vectors of length one",
        controller="none",
        verified="numpy's component added by a hook; length kept where asked",
    )
    direction: ClassVar[str] = "pca"
    band: ClassVar[tuple[float, float]] = (1 / 32, 23 / 32)

    strength: float | None = 8.0
