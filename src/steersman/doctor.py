"""Whether a model can be steered: what it is, what a fit costs, and proof of the invariants."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from steersman.gathering import DEFAULT_JACOBIAN_PROMPTS
from steersman.invariants import Check, check_all
from steersman.plant import CHUNK, Estimate, Info, describe, estimate

_SENTENCE = "The old house by the river had been empty for years, until one day in spring"


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about a model.

    Args:
        info: its blocks, width, precision, devices and tokenizer.
        cost: time and memory of identifying its plant for a fit of the usual size.
        checks: the run-time invariants, each with its number.
    """

    info: Info
    cost: Estimate
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether every invariant holds."""
        return all(check.holds for check in self.checks)


def diagnose(
    model: nn.Module,
    tokenizer: Any,
    *,
    prompts: int = DEFAULT_JACOBIAN_PROMPTS,
    chunk: int = CHUNK,
    seed: int = 0,
) -> Diagnosis:
    """Examine a model without changing it.

    Args:
        model: the loaded model, in evaluation mode.
        tokenizer: its tokenizer.
        prompts: over how many prompts a fit would identify the plant.
        chunk: cotangents at a time in that fit.
        seed: of the random steering that proves the invariants.

    Returns:
        The diagnosis.

    Raises:
        ArchitectureError: its decoder blocks are not found.
        InputError: it is in training mode.
    """
    return Diagnosis(
        info=describe(model, tokenizer),
        cost=estimate(model, tokenizer, [_SENTENCE] * prompts, chunk=chunk),
        checks=check_all(model, tokenizer, seed=seed),
    )
