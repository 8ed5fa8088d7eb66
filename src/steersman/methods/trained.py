"""What the trained methods have in common: a training, and a target that is a share of it."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import Absolute, Reference, Target, Units
from steersman.errors import InputError
from steersman.methods.base import Controller, Evidence, Method, PlantKind
from steersman.training import Training


@dataclass(frozen=True)
class TrainedMethod(Method):
    """Parameters trained by gradients in front of the frozen model.

    Target 1 is the law as it was trained, at the tokens at which it was; 0 is the bare model, bit
    for bit; anything else scales what is added.

    Args:
        epochs: how often each example is seen.
        batch_size: examples a step.
        rate: the learning rate.
        held_out: the share of the examples that is only measured; the epoch that is best on it is
            kept.
        patience: epochs without a better one after which training stops; 0 is all epochs.
        seed: the same seed gives the same parameters.
    """

    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[str] = "all"
    in_units: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    matches: ClassVar[bool] = False

    epochs: int = 20
    batch_size: int = 4
    rate: float = 5e-4
    held_out: float = 0.1
    patience: int = 5
    seed: int = 0

    def training(self) -> Training:
        """The settings of the loop."""
        return Training(
            epochs=self.epochs,
            batch_size=self.batch_size,
            rate=self.rate,
            held_out=self.held_out,
            patience=self.patience,
            seed=self.seed,
        )

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """How much of what was trained: it reads the state itself and compares nothing."""
        return Absolute(strength), Units.plain(len(controller.plan))


def block_at(block: int, evidence: Evidence) -> int:
    """The block that was asked for, or, for -1, the one whose output separates the examples best.

    Args:
        block: 0-based, or -1.
        evidence: the directions.

    Raises:
        InputError: a block that does not exist.
    """
    direction = evidence.direction
    blocks = len(direction.norm) - 1
    if not -1 <= block < blocks:
        raise InputError(
            f"block is {block}; the model has blocks 0 .. {blocks - 1}, and -1 chooses one."
        )
    return block if block >= 0 else int(direction.separation[1:].argmax())


def placed(value: Float[Tensor, "*sizes"], block: int, blocks: int) -> Float[Tensor, "..."]:
    """The value at one block and zeros at the others, with its gradient.

    Args:
        value: of one block.
        block: which.
        blocks: how many there are.
    """
    nothing = torch.zeros_like(value)
    return torch.stack([value if one == block else nothing for one in range(blocks)])
