"""Published steerings of how long a model reasons."""

from dataclasses import dataclass
from typing import ClassVar

from steersman.methods.ablation import Ablation
from steersman.methods.about import About
from steersman.methods.added import BlockAddition


@dataclass(frozen=True)
class Seal(BlockAddition):
    """Execution minus reflection and transition, added at the blank lines of what is generated.

        y <- y + target (mean execution - mean of the others)        at tokens like those read

    Let every example end in the blank line before the thought: `desired` before steps that go on,
    `undesired` before those that reflect or change course. It acts at generated tokens of the kinds
    at which the examples were read, and nowhere else. More than target 1 is said to run away.

    Args:
        block: where to add; -1 is 20/28 of the depth, as for R1-Distill-Qwen.

    Source:
        SEAL (COLM 2025), from its replication in https://github.com/ZJU-REAL/EasySteer.
    """

    name: ClassVar[str] = "seal"
    about: ClassVar[About] = About(
        paper="SEAL, COLM 2025",
        direction="mean difference",
        setpoint="offset",
        controller="none",
        verified="the vector added by a hook at such tokens",
    )
    tokens: ClassVar[str] = "generated&matching"
    depth: ClassVar[float | None] = 20 / 28
    positions: ClassVar[str | None] = "last"


@dataclass(frozen=True)
class Efficiency(BlockAddition):
    """The shortest correct answer minus the longest correct one, added while generating.

    Pairs are two answers to one question, each read as the mean over its own tokens.

    Args:
        block: where to add; -1 leaves it to the examples: the published block was not found out,
            nor were strength and tokens.

    Source:
        Efficiency Steering (arXiv 2506.15647).
    """

    name: ClassVar[str] = "efficiency"
    about: ClassVar[About] = About(
        paper="Efficiency Steering, arXiv 2506.15647",
        direction="mean difference",
        setpoint="offset",
        controller="none",
        verified="the vector added by a hook",
    )
    tokens: ClassVar[str] = "generated"
    positions: ClassVar[str | None] = "written"


@dataclass(frozen=True)
class OverthinkManifold(Ablation):
    """Ablation of the contrast's part within the subspace that the task's states vary in.

        r = U U' (mean undesired - mean desired),    y <- y - target r r'y / |r|^2

    `U` are the first principal axes of the states of both sides: what a few examples show by
    chance, in directions that states hardly use, is not ablated. Another number of axes is
    `fit(..., direction="mean|filter:20")`. As with every ablation the feature goes to zero, from
    wherever it is, so that it acts toward the desired side only where that lies nearer to zero. In
    the wind tunnel it does not make dialogues polite: zero lies between the two sides there.

    Args:
        state: from which state the direction is; -1 takes the one that separates the examples best
            among those before 0.8 of the depth.

    Source:
        Manifold Steering (Huang et al., arXiv 2505.22411), whose code is not published: that the
        direction is taken out, and not added, is a reading, and ten axes are ours.
    """

    name: ClassVar[str] = "manifold-overthink"
    about: ClassVar[About] = About(
        paper="Manifold Steering, arXiv 2505.22411",
        direction="mean difference within principal axes",
        setpoint="0",
        controller="exact, one-dimensional",
        verified="numpy's axes and a hook written out; no effect in the wind tunnel",
        site="block output",
        unmoved="as ablation",
    )
    direction: ClassVar[str] = "mean|filter:10"
