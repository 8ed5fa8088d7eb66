"""Whether a steering can be compiled, and how far the compiled model is from the steered one."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Verdict:
    """What weights can do for a steering.

    Args:
        verdict: "exact" up to rounding, "approximate", or "not" at all.
        reason: why.
        nearest: what is nearest, where it is not exact.
        difference: largest difference of any logit between the compiled and the steered model, on
            the prompts given; None where it was not measured.
        effect: the same between the steered and the bare model, to compare it with.
        prompts: how many prompts that was measured on.
    """

    verdict: Literal["exact", "approximate", "not"]
    reason: str
    nearest: str
    difference: float | None = None
    effect: float | None = None
    prompts: int = 0

    @property
    def advice(self) -> str:
        """What to do, in a sentence; empty where it is exact."""
        if self.verdict == "exact":
            return ""
        told = f"Nearest is {self.nearest}."
        if self.verdict == "approximate":
            return f"{told} Or pass approximate=True."
        return told

    def __str__(self) -> str:
        """In a line or two."""
        said = f"{self.verdict}: {self.reason}."
        if self.nearest:
            said += f" Nearest is {self.nearest}."
        if self.difference is not None and self.effect is not None:
            said += (
                f" Largest difference of a logit on {self.prompts} prompts: {self.difference:.3g}, "
                f"where steering moves logits by up to {self.effect:.3g}."
            )
        return said
