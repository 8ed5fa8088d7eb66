"""The counterfactual setpoint: where this very state would be, had the context been the desired."""

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from steersman.control import Absolute, AffineField, Reference, Target, Units
from steersman.diagnostics import Diagnostic
from steersman.directions import RANKS, RIDGES, Choice, choose, conditional_shift, plainest
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import ExecutionName, Method, PlantKind, Settled
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence

LITTLE = 0.05
"""Below this share of the shift explained out of sample there is little to steer by."""


@dataclass(frozen=True)
class Counterfactual(Method):
    """A setpoint that depends on the state: learnt from one token in two contexts.

        c(x) = G (o + H' x) = E[ x' - x | x ]       x undesired, x' the same token in the desired
        u_b = target c(x_b)                         at the output of one block b

    The pairs are aligned: both sides of a pair end in the same tokens, behind a desired and an
    undesired context, and are read at those. A mean difference pushes every token alike; this one
    pushes each as far as its own context would have, and some not at all.

    Args:
        block: where to act; None takes the block whose shift is explained best out of sample, or
            as well by a plainer map.
        rank: how many directions; None chooses by the same measure.
        ridge: regularisation in units of the mean square of the states; None chooses.
    """

    name: ClassVar[str] = "counterfactual"
    about: ClassVar[About] = About(
        paper="ours",
        direction="reduced-rank regression",
        setpoint="the state in another context",
        controller="affine map of the state",
        verified="regression written out; scikit-learn",
    )
    plant: ClassVar[PlantKind] = "none"
    aligned: ClassVar[bool] = True
    tokens: ClassVar[Literal["last", "all"]] = "all"
    in_units: ClassVar[bool] = False
    execution: ClassVar[ExecutionName] = "feedback"

    block: int | None = None
    rank: int | None = None
    ridge: float | None = None

    def settled(self, evidence: Evidence) -> Settled:
        """Block, rank and ridge as cross-validation chooses them, where they were left open.

        With them comes a table of the share of the shift that is explained at every block.

        Warns where hardly anything of the shift is explained.

        Raises:
            InputError: no aligned states, too few pairs, or a block that does not exist.
        """
        choices = self.explained(evidence)
        block = list(choices)[plainest(list(choices.values()))]
        found = choices[block]
        if found.explained < LITTLE:
            warnings.warn(
                f"the state explains {100 * found.explained:.0f} % of the shift between the two "
                f"contexts on pairs left out (the mean shift {100 * found.by_mean:.0f} %): there "
                "is little to steer by. Give more pairs, or check that the model itself behaves "
                "differently behind the two contexts.",
                stacklevel=2,
            )
        made = replace(self, block=block, rank=found.rank, ridge=found.ridge)
        return Settled(made, (_shares(choices, block),))

    def explained(self, evidence: Evidence) -> dict[int, Choice]:
        """For each block that may act: rank and ridge, and the share that they explain unseen.

        Raises:
            InputError: no aligned states, too few pairs, or a block that does not exist.
        """
        pairs = evidence.require_aligned(self.name)
        blocks = pairs.undesired.shape[1] - 1
        if self.block is not None and not 0 <= self.block < blocks:
            raise InputError(f"block is {self.block}; the model has blocks 0 .. {blocks - 1}.")
        # What enters block 0 is the token alone: it knows no context.
        places = list(range(1, blocks)) or [0] if self.block is None else [self.block]
        return {
            block: choose(
                pairs.undesired[:, block],
                pairs.desired[:, block + 1] - pairs.undesired[:, block + 1],
                pairs.group if pairs.context is None else pairs.context,
                pairs.continuation,
                ranks=RANKS if self.rank is None else (self.rank,),
                ridges=RIDGES if self.ridge is None else (self.ridge,),
            )
            for block in places
        }

    def solve(self, evidence: Evidence) -> Controller:
        """The map at the chosen block.

        Raises:
            InputError: no aligned states, or choices that cannot be.
        """
        pairs = evidence.require_aligned(self.name)
        if self.block is None or self.rank is None or self.ridge is None:
            return self.settled(evidence).solved(evidence)
        block, rank, ridge = self.block, self.rank, self.ridge
        x = pairs.undesired[:, block]
        shift = pairs.desired[:, block + 1] - pairs.undesired[:, block + 1]
        found = conditional_shift(x, shift, rank, ridge)
        blocks = pairs.undesired.shape[1] - 1
        return Controller(
            H=_at(block, blocks, found.H),
            G=_at(block, blocks, found.G),
            plan=_at(block, blocks, shift.mean(0).unsqueeze(-1)),
            shifts=_at(block, blocks, found.o.unsqueeze(-1)),
        )

    def law(self, controller: Controller) -> AffineField:
        """The push as a function of the state."""
        return AffineField(controller.H, controller.G, controller.shifts[..., 0])

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """How much of the shift; what the token shows unsteered is the state that the law reads."""
        return Absolute(strength), Units.plain(len(controller.plan))


def _shares(choices: dict[int, Choice], block: int) -> Diagnostic:
    """What the map of each block is worth on what it has not seen."""
    best = choices[block]
    return Diagnostic(
        name="Shift explained out of sample",
        headline=(
            f"the state explains {100 * best.explained:.0f} % of the shift at block {block} on "
            f"pairs left out, the mean shift {100 * best.by_mean:.0f} %"
        ),
        columns=("block", "by the state", "by the mean shift", "rank", "ridge"),
        rows=tuple((b, c.explained, c.by_mean, c.rank, c.ridge) for b, c in choices.items()),
    )


def _at(block: int, blocks: int, value: Tensor) -> Tensor:
    """Zeros for every block but one."""
    found = torch.zeros(blocks, *value.shape)
    found[block] = value.float()
    return found
