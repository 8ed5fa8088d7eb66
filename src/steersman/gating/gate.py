"""Where a steering acts unless it is asked otherwise: at which tokens, for which prompts."""

from dataclasses import dataclass

from steersman.gating.condition import PromptCondition
from steersman.gating.soft import SoftGate


@dataclass(frozen=True, eq=False)
class Gate:
    """`m` of the law as a steering carries it.

    Args:
        tokens: the name of a rule for tokens; None leaves it to the method.
        condition: holds for the prompts that are steered; None is all of them.
        soft: how much each token is steered; None is wholly.
    """

    tokens: str | None = None
    condition: PromptCondition | None = None
    soft: SoftGate | None = None

    @property
    def sentence(self) -> str:
        """In words; empty where nothing is said."""
        parts = []
        if self.tokens is not None:
            parts.append(f"tokens {self.tokens!r}")
        if self.condition is not None:
            parts.append(f"prompts for which {self.condition.sentence}")
        if self.soft is not None:
            parts.append(self.soft.sentence)
        return "; ".join(parts)
