"""Which feature pulls which, and what each demand costs."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import reached
from steersman.methods.base import Method
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence

DEAR = 3.0
"""From so many times the effort on, holding the others is said to be dear."""


@dataclass(frozen=True, eq=False)
class Coupling:
    """How features that are steered together pull on each other, on the averaged plant.

        interaction_ij = v_j' delta_T / v_j'c_T^j   under the plan that feature i has on its own
        effort_i       = |plan of i, the others held put| / |c_T^i|
        alone_i        = |the plan that i has on its own| / |c_T^i|

    Args:
        names: what the features are called.
        interaction: how many units feature j moves after the last block where one unit of feature
            i is asked for by the design for i alone, `(features, features)`; the diagonal is 1.
        cosines: of the directions after the last block, `(features, features)`.
        effort: length of all inputs together for one unit of each feature, in contrasts, in the
            design for all of them, which holds the others put.
        alone: the same of the design for that feature alone, which lets them go.
    """

    names: tuple[str, ...]
    interaction: Float[Tensor, "features features"]
    cosines: Float[Tensor, "features features"]
    effort: Float[Tensor, " features"]
    alone: Float[Tensor, " features"]

    @property
    def price(self) -> Float[Tensor, " features"]:
        """How many times the effort it takes with the others held; below 1 where they help push."""
        return self.effort / self.alone

    def doubts(self) -> list[str]:
        """A sentence for each feature that is hardly steered without the others."""
        found = []
        for index, (name, price) in enumerate(zip(self.names, self.price.tolist(), strict=True)):
            if price > DEAR:
                moved = self.interaction[index].clone()
                moved[index] = 0
                most = int(moved.abs().argmax())
                found.append(
                    f"One unit of {name!r} alone moves {self.names[most]!r} by "
                    f"{float(moved[most]):+.2f}, and holding the others takes {price:.1f} times "
                    f"the effort: the text may suffer. Give examples that differ in {name!r} "
                    "alone, or ask for both."
                )
        return found

    def __str__(self) -> str:
        """A table for a person, a line a feature."""
        header, *lines = self.table()
        widths = [max(len(row[i]) for row in (header, *lines)) for i in range(len(header))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (header, *lines)
        )

    def table(self) -> list[list[str]]:
        """Rows of text, the first of them the header."""
        moves = [f"moves {name}" for name in self.names]
        rows = [["one unit of", *moves, "effort alone", "others held", "price"]]
        numbers = zip(
            self.names,
            self.interaction.tolist(),
            self.alone.tolist(),
            self.effort.tolist(),
            self.price.tolist(),
            strict=True,
        )
        for name, moved, alone, effort, price in numbers:
            cells = [f"{value:+.2f}" for value in moved]
            rows.append([name, *cells, f"{alone:.2f}", f"{effort:.2f}", f"x {price:.2f}"])
        return rows


def coupling(method: Method, evidence: Evidence, controller: Controller) -> Coupling | None:
    """What a joint design has to reckon with; None where there is no plant, or no plan.

    Args:
        method: the method, settled.
        evidence: what it was solved from.
        controller: what it solved.
    """
    features = evidence.features
    if evidence.plant is None or not bool(controller.plan.any()):
        return None
    unit = features.norm[-1]
    if len(features) == 1:  # its prefilter makes it move by one unit
        alone, interaction = controller.plan, torch.ones_like(features.norm[-1:])
    else:
        alone = torch.cat([_alone(method, evidence, name) for name in features.names], dim=-1)
        moved = reached(evidence.plant, alone, features.vectors[-1])
        interaction = (moved / unit.unsqueeze(1)).mT.contiguous()
    return Coupling(
        names=features.names,
        interaction=interaction,
        cosines=features.cosines[-1],
        effort=_length(controller.plan) / features.contrast[-1].norm(dim=0),
        alone=_length(alone) / features.contrast[-1].norm(dim=0),
    )


def _alone(method: Method, evidence: Evidence, name: str) -> Float[Tensor, "blocks n 1"]:
    """The plan of one feature's own design."""
    return method.solve(replace(evidence, features=evidence.features.only(name))).plan


def _length(plan: Float[Tensor, "blocks n features"]) -> Float[Tensor, " features"]:
    return plan.square().sum(dim=(0, 1)).sqrt()
