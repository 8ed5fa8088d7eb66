"""CAST: a push for those prompts alone that resemble one side of the examples."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from steersman.errors import InputError
from steersman.gating import Gate, Resembles, SimilarityName, resembling
from steersman.methods.about import About
from steersman.methods.added import BandAddition
from steersman.methods.evidence import Evidence, Sides

HELD_OUT = 4
"""Every so many-th example is kept back, to say how well the condition does on others."""
Fires = Literal["undesired", "desired"]


@dataclass(frozen=True)
class CAST(BandAddition):
    """The behaviour vector added in a band of blocks, for prompts that meet a condition.

        b_t = PC1 of { x_t desired_i - x_t undesired_i }
        y <- y + target strength b       for prompts with  sim(mean x_t, c_t) on one side of theta

    The condition is fitted from the same examples: vector, state, threshold and side that tell
    whole examples of the two sides apart best, by F1; every fourth example is kept back, and how it
    does on these is in `steering.gate.condition.found`. It is decided once, on the bare prompt.
    Published conditions have examples of their own: `steering.when(sm.fit_condition(...))`, and
    rules of several.

    Two errors of the published code are not made. Its "larger" fires where the similarity is
    smaller; here "above" is above. And it reads the vector behind a block and adds it before that
    block, one block too early; here it is added to the very state that it was read from.

    Args:
        blocks: which blocks act; empty is 14 to 22 of 32, whose outputs enter the published blocks
            15 to 23.
        strength: how many vectors of length one at each; the published 1.5 is for states of an 8B
            model. None shares one natural unit out among the blocks.
        keep_norm: whether each state keeps its length, which is published as an option.
        fires: "undesired", for prompts like the undesired examples, which have to be moved; or
            "desired".
        similarity: "tanh" as published, or "cosine", which tells the two ways along `c` apart.

    Source:
        CAST (arXiv 2409.05907), https://github.com/IBM/activation-steering.
    """

    name: ClassVar[str] = "cast"
    about: ClassVar[About] = About(
        paper="CAST, arXiv 2409.05907",
        direction="principal component of differences",
        setpoint="offset in vectors of length one, for some prompts",
        controller="none",
        verified="numpy's component added by a hook; the condition written out",
        unmoved="its condition does not fire on neutral prompts; where it fires they move",
    )
    direction: ClassVar[str] = "pca"
    band: ClassVar[tuple[float, float]] = (14 / 32, 23 / 32)

    strength: float | None = 1.5
    fires: Fires = "undesired"
    similarity: SimilarityName = "tanh"

    def gated(self, evidence: Evidence) -> Gate:
        """The condition on prompts.

        Raises:
            InputError: a side that there is not, no model to read whole examples with, or too few
                examples, or none that differ.
        """
        if self.fires not in get_args(Fires):
            raise InputError(f"fires is {self.fires!r}; choose undesired or desired.")
        return Gate(condition=self._condition(evidence))

    def _condition(self, evidence: Evidence) -> Resembles:
        sides, left_out = evidence.require_prompts(self.name)
        ordered = sides if self.fires == "desired" else Sides(*reversed(sides))
        kept = [[i for i in range(len(side)) if (i + 1) % HELD_OUT] for side in ordered]
        others = [[i for i in range(len(side)) if not (i + 1) % HELD_OUT] for side in ordered]
        return resembling(
            (ordered[0][kept[0]], ordered[1][kept[1]]),
            (ordered[0][others[0]], ordered[1][others[1]]),
            states=tuple(range(1, evidence.direction.blocks)),
            vector="pca" if len(sides.desired) == len(sides.undesired) else "mean",
            similarity=self.similarity,
            left_out=left_out,
            name=f"like the {self.fires} examples",
        )
