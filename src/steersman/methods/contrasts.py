"""Published additions of a difference of means that differ in where they read and add it."""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from steersman.methods.ablation import DEPTH
from steersman.methods.about import About
from steersman.methods.added import BandAddition, BlockAddition
from steersman.methods.choosing import probe_auc
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class RefusalAddition(BlockAddition):
    """The refusal direction added at every token: `y <- y + target r`, to induce what is ablated.

    The sibling of "ablation": the raw contrast of harmful and harmless requests, added where it is
    from. The published search runs refusals for every block and template token; here the block
    that separates the examples best is taken, among those before 0.8 of the depth, as there.

    Args:
        block: where to add; -1 leaves it to the examples.

    Source:
        Refusal in Language Models Is Mediated by a Single Direction (arXiv 2406.11717), whose
        addition at the input of layer l is at the output of block l - 1.
    """

    name: ClassVar[str] = "refusal-addition"
    about: ClassVar[About] = About(
        paper="Refusal direction, arXiv 2406.11717",
        direction="mean difference",
        setpoint="offset",
        controller="none",
        verified="the vector added by a hook",
    )
    tokens: ClassVar[str] = "all"

    def place(self, evidence: Evidence) -> int:
        """The block that was named, or the best before 0.8 of the depth."""
        if self.block != -1:
            return super().place(evidence)
        last = max(2, ceil(DEPTH * evidence.direction.blocks))
        return int(evidence.direction.separation[1:last].argmax())


@dataclass(frozen=True)
class BiasMitigation(BlockAddition):
    """Neutral minus biased statements, added behind the late block whose probe tells them best.

        b = argmax of AUC(probe of block b) over the later half,    y <- y + target (mu_n - mu_b)

    Args:
        block: where to add; -1 leaves it to the probes.

    Source:
        arXiv 2508.09019, for gpt2-large, whose AUC is near 1 from block 16 of 36 on. That generated
        tokens are steered is a reading; the published strength was not found out.
    """

    name: ClassVar[str] = "bias"
    about: ClassVar[About] = About(
        paper="Bias mitigation, arXiv 2508.09019",
        direction="mean difference",
        setpoint="offset",
        controller="none",
        verified="scikit-learn's AUC; the vector added by a hook",
    )
    tokens: ClassVar[str] = "generated"

    def place(self, evidence: Evidence) -> int:
        """The block that was named, or the one of the largest AUC; of equal ones the best d'."""
        if self.block != -1:
            return super().place(evidence)
        desired, undesired = evidence.require_sides(self.name)
        direction = evidence.direction
        late = range(direction.blocks // 2, direction.blocks)
        area = probe_auc(desired[:, late.start + 1 :], undesired[:, late.start + 1 :])
        apart = direction.separation[late.start + 1 :]
        return max(late, key=lambda b: (float(area[b - late.start]), float(apart[b - late.start])))


@dataclass(frozen=True)
class ShiftOfMeans(BlockAddition):
    """Answers of the target kind minus the source kind, behind the last block, while generating.

    Args:
        block: where to add; -1 is the last one.

    Source:
        xl-vlms (arXiv 2501.03012), https://github.com/mshukor/xl-vlms, on the text decoder of any
        model: its shift of means over generated tokens, with strength 1.
    """

    name: ClassVar[str] = "shift-of-means"
    about: ClassVar[About] = About(
        paper="xl-vlms, arXiv 2501.03012",
        direction="mean difference",
        setpoint="offset",
        controller="none",
        verified="the vector added by a hook",
    )
    tokens: ClassVar[str] = "generated"
    depth: ClassVar[float | None] = 31 / 32
    positions: ClassVar[str | None] = "written"


@dataclass(frozen=True)
class LanguageShift(BandAddition):
    """The difference of two languages' means, five vectors of length one at every token.

        y <- y + target 5 c / |c|        behind block 20 of 32

    Args:
        blocks: which blocks act; empty is the one at 20/32 of the depth.
        strength: how many vectors of length one; None is the contrast as it is.
        keep_norm: whether each state keeps its length.

    Source:
        CLaS-Bench (arXiv 2601.08331), https://github.com/d-gurgurov/CLaS-Bench, its difference of
        means.
    """

    name: ClassVar[str] = "language-shift"
    about: ClassVar[About] = About(
        paper="CLaS-Bench, arXiv 2601.08331",
        direction="mean difference",
        setpoint="offset in vectors of length one",
        controller="none",
        verified="the vector added by a hook",
    )
    band: ClassVar[tuple[float, float]] = (20 / 32, 21 / 32)
    positions: ClassVar[str | None] = "all"

    strength: float | None = 5.0


@dataclass(frozen=True)
class Personality(BandAddition):
    """A trait, high minus low, as a vector of length one behind the block that separates it best.

    Published is the site behind attention, half a block earlier; block and strength are calibrated
    for each trait. A trait is purified of others by `fit(..., direction=Purified(rule, others))`
    with the other traits' directions: their part is projected out. Published purification adds a
    second contrast, `unit(v + unit(mu_trait - mu_confounder))`; examples of high confidence alone,
    its first step, are `direction="confident"`.

    Args:
        blocks: which blocks act; by default the one that separates best.
        strength: how many vectors of length one; None is the contrast as it is, because the
            published one is calibrated.
        keep_norm: whether each state keeps its length.

    Source:
        arXiv 2509.04794.
    """

    name: ClassVar[str] = "personality"
    about: ClassVar[About] = About(
        paper="Personality steering, arXiv 2509.04794",
        direction="mean difference, purified where asked",
        setpoint="offset",
        controller="none",
        verified="the vector added by a hook; nothing of the other traits left",
    )

    blocks: str | tuple[int, ...] = "top:1"
