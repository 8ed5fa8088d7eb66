"""A law tried out where it was solved, before it is used: what it misses moves its target."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import Law, Readout, Reference, Units
from steersman.plant import Linearization

TRIES = 3
NEAR = 0.005
"""Natural units from the target at which no further try is made."""

Setpoint = Callable[[Float[Tensor, "rows features"]], Reference]


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """Finds the target that takes a law where it was asked to go, the blocks being what they are.

        r_{i+1} = r_i + (target - y(r_i))        y(r): what asking for r leads to

    A law is solved for blocks that are linear around the unsteered run, and long pushes bend them.
    The last token alone runs through the blocks, its prefix as it is, so a try costs what a token
    costs. The best try counts, the first, without any change, among them: so rehearsing never makes
    the miss at that token larger.

    Args:
        targets: what is asked for, one row for all or one each, in natural units.
        reference: what the law is given to reach such targets.
        counted: by what reference the miss is counted.
        final: the features after the last block.
    """

    targets: Float[Tensor, "rows_or_1 features"]
    reference: Setpoint
    counted: Setpoint
    final: Readout

    def which(self, row: int, rows: int) -> int:
        """The target that a row has, where every target is for as many of the rows."""
        return row * len(self.targets) // rows

    def moved(
        self, law: Law[Any], units: Units, run: Linearization, target: int
    ) -> Float[Tensor, "1 features"]:
        """By how much to move the target of one row.

        Args:
            law: of that row alone.
            units: of that law.
            run: the blocks around the row's last token.
            target: which of the targets it has.
        """
        asked, start = self.targets[target][None], self.final(run.states[-1:])
        counted = self.counted(asked)
        by, found = torch.zeros_like(asked), []
        for _ in range(TRIES):
            y = _reached(law, units, run, self.reference(asked + by).started(start))
            missed = counted.missed(self.final(y), start)
            if not bool(missed.isfinite().all()):
                break
            found.append((float(missed.abs().max()), by))
            if found[-1][0] < NEAR:
                break
            by = by + missed.to(by)
        return min(found, key=lambda one: one[0])[1] if found else torch.zeros_like(asked)


def _reached(
    law: Law[Any], units: Units, run: Linearization, reference: Reference
) -> Float[Tensor, "1 n"]:
    """What comes out of the last block, the law acting at every one before."""
    offsets, state, x = reference.offsets(units, 1), law.init(1), run.states[:1]
    for block in range(law.blocks):
        nominal = law.observe(run.states[block][None], block)
        state, u = law.step(state, x, reference.joined(offsets[block], nominal), block)
        y = run.outputs(block, x.T).T.to(x)
        x = y + u.to(y) if law.is_active(block) else y
    return x
