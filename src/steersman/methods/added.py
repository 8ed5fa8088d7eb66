"""What published activation additions have in common: where they add, and in which unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from steersman.control import Absolute, Law, NormKept, Reference, Target, Units, offset
from steersman.directions import Direction
from steersman.methods.acting import acting, one_block
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


def at_depth(chosen: int, depth: float | None, direction: Direction) -> int:
    """The chosen block; for -1 the one at a published share of the depth, or the best one.

    Args:
        chosen: a 0-based block, or -1.
        depth: the share; None takes the block whose output separates the examples best.
        direction: of the examples.

    Raises:
        InputError: a block that does not exist.
    """
    if chosen == -1 and depth is not None:
        return min(round(depth * direction.blocks), direction.blocks - 1)
    return one_block(chosen, direction)


def in_band(
    chosen: str | tuple[int, ...], band: tuple[float, float], blocks: int
) -> tuple[int, ...]:
    """The chosen blocks; where none was, those between two shares of the depth, at least one.

    Args:
        chosen: 0-based blocks; empty is the band.
        band: shares of the depth, from the first to just behind the last.
        blocks: how many the model has.

    Raises:
        InputError: a block that does not exist.
    """
    first = min(round(band[0] * blocks), blocks - 1)
    last = max(round(band[1] * blocks), first + 1)
    return acting(chosen or tuple(range(first, last)), blocks)


def pushes(
    direction: Direction, acts: Sequence[int], strength: float | None = None
) -> Float[Tensor, "blocks n"]:
    """What target 1 adds behind each block.

        strength None:   c_{b+1} / m           m blocks act: one natural unit, shared out
        a number:        strength c_{b+1} / |c_{b+1}|

    Args:
        direction: with the contrast `c_t` of every state; block `b` leaves state `b + 1`.
        acts: the blocks.
        strength: how many vectors of length one.
    """
    inputs = torch.zeros_like(direction.contrast[:-1], dtype=torch.float32)
    for block in acts:
        c = direction.contrast[block + 1].float()
        inputs[block] = c / len(acts) if strength is None else strength * normalize(c, dim=0)
    return inputs


@dataclass(frozen=True)
class BlockAddition(Method):
    """The contrast as it is, behind one block: `y <- y + target c_{b+1}`.

    Args:
        block: where to add; -1 is the published share of the depth, or the block whose output
            separates the examples best, where none is published.
    """

    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[str] = "last"
    matches: ClassVar[bool] = False
    depth: ClassVar[float | None] = None
    """The published block, as a share of the depth; None where none is known."""

    block: int = -1

    def solve(self, evidence: Evidence) -> Controller:
        """A schedule with one row.

        Raises:
            InputError: a block that does not exist.
        """
        return Controller.schedule(pushes(evidence.direction, (self.place(evidence),)))

    def place(self, evidence: Evidence) -> int:
        """The block.

        Args:
            evidence: the directions.
        """
        return at_depth(self.block, self.depth, evidence.direction)


@dataclass(frozen=True)
class BandAddition(Method):
    """A vector behind each of several blocks, the length of the state kept where that is asked.

        y <- y + target p_b,                            p_b as `pushes` has it
        y <- |y| (y + target p_b) / |y + target p_b|    where the length is kept

    Args:
        blocks: which blocks act; empty is the published band.
        strength: how many vectors of length one at each block; None shares out one natural unit.
        keep_norm: whether each state keeps its length.
    """

    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[str] = "all"
    matches: ClassVar[bool] = False
    in_units: ClassVar[bool] = False
    band: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The published blocks, as shares of the depth."""

    blocks: str | tuple[int, ...] = ()
    strength: float | None = None
    keep_norm: bool = False

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule; where the length is kept, the vectors that its law adds.

        Raises:
            InputError: a block that does not exist.
        """
        direction = evidence.direction
        acts = in_band(self.blocks, self.band, direction.blocks)
        inputs = pushes(direction, acts, self.strength)
        if not self.keep_norm:
            return Controller.schedule(inputs)
        return Controller.of_own(inputs, {"push": inputs})

    def law(self, controller: Controller) -> Law[Any]:
        """The addition; with the length kept it depends on the state."""
        if "push" not in controller.own:
            return super().law(controller)
        push = controller.own["push"]
        return NormKept(offset(push, push.new_ones(len(push))))

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """How much is added."""
        if "push" not in controller.own:
            return super().relative(strength, controller)
        return Absolute(strength), Units.plain(len(controller.plan))
