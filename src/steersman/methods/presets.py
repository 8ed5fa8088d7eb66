"""Published steerings that are activation addition with settings of their own."""

from dataclasses import dataclass
from typing import Literal

from steersman.errors import UnknownNameError
from steersman.methods.addition import ActivationAddition


@dataclass(frozen=True)
class Preset:
    """How one publication adds a difference of means at one block.

    Args:
        source: where it is published.
        desired: what the examples of the desired side are, and after "not" those of the other.
        depth: the block as a share of the depth; None takes the one that separates best.
        positions: where the examples are read, as `fit` takes it.
        tokens: which tokens are steered, as `attach` takes it.
        strength: the published strength; None where none was found out.
        unit: what that strength counts: the raw "contrast", as a target does, or a "vector" of
            length one.
        doubt: what is ours, or was not found out.
    """

    source: str
    desired: str
    depth: float | None
    positions: str
    tokens: Literal["last", "all", "matching"]
    strength: float | None = 1.0
    unit: Literal["contrast", "vector"] = "contrast"
    doubt: str = ""

    def method(self, blocks: int) -> ActivationAddition:
        """The method for a model of so many blocks."""
        if self.depth is None:
            return ActivationAddition()
        return ActivationAddition(block=min(round(self.depth * blocks), blocks - 1))

    def target(self, length: float) -> float | None:
        """The published strength as a target; None where it was not found out.

        Args:
            length: of the contrast behind the block.
        """
        if self.strength is None or self.unit == "contrast":
            return self.strength
        return self.strength / length


PRESETS: dict[str, Preset] = {
    "caa": Preset(
        source="Contrastive Activation Addition (arXiv 2312.06681)",
        desired="a question with the letter of the behaviour's answer, not of the other",
        depth=13 / 32,
        positions="last",
        tokens="last",
        doubt="It is read at the letter itself: let the examples end there. The block is the usual "
        "one for Llama 2 7B chat, and was not looked up again.",
    ),
    "seal": Preset(
        source="SEAL (COLM 2025)",
        desired="execution, not reflection or transition: what follows a blank line of reasoning",
        depth=20 / 28,
        positions="last",
        tokens="matching",
        doubt="Let every example end in the blank line before the thought; then 'matching' steers "
        "at such tokens alone, those of the prompt included. More than 1 can run away. Block and "
        "strength are those of second-hand accounts.",
    ),
    "efficiency": Preset(
        source="Efficiency Steering (arXiv 2506.15647)",
        desired="the shortest correct answer to a question, not the longest correct one",
        depth=None,
        positions="response",
        tokens="last",
        strength=None,
        doubt="Block, strength and tokens were not found out.",
    ),
    "bias": Preset(
        source="Bias mitigation by probe and vector (arXiv 2508.09019)",
        desired="a neutral statement, not a biased one",
        depth=None,
        positions="last",
        tokens="last",
        strength=None,
        doubt="The best late block by a probe's AUC; strength and tokens were not found out.",
    ),
    "personality": Preset(
        source="Personality steering (arXiv 2509.04794)",
        desired="a high trait, not a low one",
        depth=None,
        positions="last",
        tokens="all",
        strength=None,
        unit="vector",
        doubt="Published behind attention, block and strength calibrated for each trait.",
    ),
    "refusal": Preset(
        source="Refusal Is Mediated by a Single Direction (arXiv 2406.11717)",
        desired="a harmful request, not a harmless one",
        depth=None,
        positions="last",
        tokens="all",
        doubt="Published block and token are chosen by running refusals. 'ablation' is its other "
        "half.",
    ),
    "language": Preset(
        source="CLaS-Bench (arXiv 2601.08331), its difference of means",
        desired="text of the language, not of the source language",
        depth=20 / 32,
        positions="all",
        tokens="all",
        strength=5.0,
        unit="vector",
    ),
    "shift": Preset(
        source="xl-vlms (arXiv 2501.03012)",
        desired="answers of the target kind, not of the source kind",
        depth=31 / 32,
        positions="response",
        tokens="last",
    ),
}
"""By name. None differs from the others in anything but these settings."""


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UnknownNameError: there is none; lists those that there are.
    """
    if name not in PRESETS:
        raise UnknownNameError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
