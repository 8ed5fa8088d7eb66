"""What the calibration prompts showed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.bounding.remainders import Measured
from steersman.control import Remainder


class BudgetRow(NamedTuple):
    """What one block adds to the error of the final feature, natural units.

    Attributes:
        block: `t`.
        mean: over the prompts, with its sign.
        most: the largest size.
    """

    block: int
    mean: float
    most: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the calibration prompts showed, the largest over each one's tokens.

    Args:
        errors: `|v_t' d_t|` in natural units, `(prompts, states)`.
        work: what each block's remainder does to each feature, natural units, its size, `(prompts,
            blocks, states)`.
        signed: the same at the prompt's last token with its sign, to the final feature alone,
            `(prompts, blocks)`.
        remainder: the largest parts of the remainder, with the safety factor; None where the plant
            has no matrices.
        prompts: a fingerprint of each, so that no bound is tested on what made it.
    """

    errors: Float[Tensor, "prompts states"]
    work: Float[Tensor, "prompts blocks states"]
    signed: Float[Tensor, "prompts blocks"]
    remainder: Remainder | None
    prompts: frozenset[str]

    @classmethod
    def of(
        cls,
        measured: Sequence[Measured],
        remainder: Remainder | None,
        prompts: frozenset[str],
    ) -> "Calibration":
        """From what was measured of each prompt."""
        return cls(
            errors=torch.stack([one.error.abs().amax(dim=0) for one in measured]),
            work=torch.stack([one.work.abs().amax(dim=0) for one in measured]),
            signed=torch.stack([one.work[0, :, -1] for one in measured]),
            remainder=remainder,
            prompts=prompts,
        )

    def budget(self) -> list[BudgetRow]:
        """What each block's remainder does to the feature after the last block.

        The blocks' parts of one prompt add up to its error exactly.
        """
        mean, most = self.signed.mean(dim=0), self.signed.abs().amax(dim=0)
        return [
            BudgetRow(block, *row)
            for block, row in enumerate(zip(mean.tolist(), most.tolist(), strict=True))
        ]
