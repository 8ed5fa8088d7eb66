"""The clamp: features set to their values behind one block, by the shortest push that does it."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from steersman.control import Reference, Target, Units, least_errors
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class Clamp(Method):
    """Set the feature at the output of one block `b`, and nothing else; needs no plant.

        y = f_b(x_b) + u_b,    u_b = v (s - v' f_b(x_b)) / |v|^2    v = v_{b+1},  so that  v'y = s

    It is the shortest input that does so, and of several features `u = V (V'V)^-1 (s - V' f(x))`.
    A law reads what enters a block and acts at what leaves it, so that `v' f_b(x_b)` has to come
    from elsewhere: where no block before `b` acts it is what the token shows unsteered,
    `v' xbar_{b+1}`. Relative to that, `s = v' xbar_{b+1} + target v'c`, the clamp is therefore

        u_b = target v'c v / |v|^2

    for every token, a plan and nothing but the scaled direction, added. With feedback the law is
    `u_b = v/|v|^2 (target v'c - v' (x_b - xbar_b))`, the same on every token that enters the block
    as it would unsteered. An absolute value, `s = origin + target v'c`, takes the unsteered run of
    each token and is known for the last block alone, where that run ends: it asks each token for
    the change that is left, which is a different one for each.

    That a clamp reaches its feature exactly, at an effort that no other law undercuts there, says
    nothing of the behaviour. It is what a law has to be better than.

    Args:
        block: where to act, 0-based; -1 is the last one. One unit of target is one natural unit of
            the feature behind that block.
    """

    name: ClassVar[str] = "clamp"
    about: ClassVar[About] = About(
        paper="the shortest push there is",
        direction="observer",
        setpoint="relative; absolute behind the last block",
        controller="exact",
        verified="the feature reached, exactly",
    )
    plant: ClassVar[PlantKind] = "none"
    several: ClassVar[bool] = True
    tokens: ClassVar[Literal["last", "all"]] = "last"

    block: int = -1

    def solve(self, evidence: Evidence) -> Controller:
        """The shortest inputs behind one block, one a feature.

        Raises:
            InputError: a block that does not exist, a feature without contrast behind it, or
                features that cannot be told apart there.
        """
        features = evidence.features
        block = self._at(features.blocks)
        V, unit = features.vectors[block + 1], features.norm[block + 1]
        for name, worth in zip(features.names, unit.tolist(), strict=True):
            if not worth > 0:
                raise InputError(
                    f"the examples do not differ in {name!r} behind block {block}, so nothing can "
                    "be set there: choose another block."
                )
        features.require_independent(block + 1)
        shortest = least_errors(V.unsqueeze(0))[0]
        H, G, plan = (torch.zeros_like(features.vectors[:-1]) for _ in range(3))
        H[block], G[block], plan[block] = V, shortest, shortest * unit
        shifts = torch.diag_embed(torch.zeros_like(features.norm[:-1]))
        shifts[block] = unit.diag()
        return Controller(H, G, plan, shifts)

    def held(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """The value itself, behind the last block, where the unsteered run ends.

        Raises:
            InputError: another block acts.
        """
        last = len(controller.G) - 1
        if controller.active != (last,):
            raise InputError(
                f"a clamp behind block {', '.join(map(str, controller.active))} does not know what "
                f"the feature is there before it acts; use block={last}, the last one, or "
                "reference='relative'."
            )
        return super().held(strength, controller)

    def _at(self, blocks: int) -> int:
        if not -1 <= self.block < blocks:
            raise InputError(
                f"block is {self.block}; the model has blocks 0 .. {blocks - 1}, and -1 is the "
                "last one."
            )
        return self.block if self.block >= 0 else blocks - 1
