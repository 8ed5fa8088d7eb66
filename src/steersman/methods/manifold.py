"""A curve through the mean states of ordered classes, and a place on it as the setpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import Absolute, CurveLaw, Reference, Target, Units, spline
from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.acting import one_block
from steersman.methods.amount import Amount
from steersman.methods.base import Settled
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence

FLAT = 1e-6
"""Below this share of the largest spread the class means do not vary along a direction."""


@dataclass(frozen=True)
class Manifold(Amount):
    """Set the part of a state that the classes vary in to a place of the curve through them.

        C_i = mean(x_{b+1} | class i),   U = principal directions of the C_i,   g(i) = U'C_i
        y <- y + U (g(target) - U'y)                              absolute
        y <- y + U (g(start + target) - g(start))                 relative

    `g` is a cubic spline, closed for classes that go round, as days of the week. Absolute, the
    target is the number of a class, counted from 0, or a place between two; it is a clamp of as
    many numbers as there are directions, and no target leaves a state alone. Relative, the state is
    taken to be of one class, the target is how many classes further, below zero back, and 0 leaves
    every bit. Published is to replace the whole state by the curve's point; all else that a state
    holds would be lost, and only its part in the subspace is replaced here.

    Fitted from pairs, the two sides are two classes and the curve is the line between them:
    relative it is activation addition, absolute a clamp of the block's output. More classes are
    given to `steersman.fit_classes`, in their order.

    Args:
        block: where to act; -1 chooses the block whose output separates the first class from the
            one furthest from it on the curve.
        rank: how many directions; None is all that the class means span, one less than classes.
        periodic: whether the classes go round.
        start: the class that a state is taken to be of, relative; none is the first.
        classes: their names in order, written down by the fit.

    Source:
        Wurgaft et al. (arXiv 2605.05115), at the last token of a prompt: fit and attach there. How
        the open spline ends was not found out; here it is the natural one, and beyond its ends the
        curve goes on straight.
    """

    name: ClassVar[str] = "manifold"
    about: ClassVar[About] = About(
        paper="Manifold steering, arXiv 2605.05115",
        direction="plane of the class means",
        setpoint="place on a spline",
        controller="exact, several-dimensional",
        verified="scipy splines",
        site="block output",
    )
    tokens: ClassVar[Literal["last", "all"]] = "last"

    block: int = -1
    rank: int | None = None
    periodic: bool = False
    start: str = ""
    classes: tuple[str, ...] = ()

    def settled(self, evidence: Evidence) -> Settled:
        """With the names of the classes.

        Raises:
            InputError: no states to learn from, or a start that is none of them.
        """
        classes = tuple(_classes(self.name, evidence))
        made = replace(self, classes=classes, start=self.start or classes[0])
        if made.start not in classes:
            raise InputError(f"start is {self.start!r}; the classes are {', '.join(classes)}.")
        return Settled(made)

    def solve(self, evidence: Evidence) -> Controller:
        """The subspace and the curve in it.

        Raises:
            InputError: no states to learn from, a block that does not exist, classes whose means
                do not differ, or a rank that they do not span.
        """
        classes = _classes(self.name, evidence)
        direction = evidence.direction
        block = one_block(self.block, direction)
        means = torch.stack([one[:, block + 1].double().mean(0) for one in classes.values()])
        U = self._spanned(means)
        curve = spline(means @ U, self.periodic)
        like = direction.vectors[:-1]
        own = {"U": like.new_zeros(*like.shape, U.shape[1], dtype=torch.float32)}
        own["pieces"] = torch.zeros(len(like), *curve.shape)
        own["U"][block], own["pieces"][block] = U.float(), curve.float()
        return Controller.of_own(like, own)

    def law(self, controller: Controller) -> CurveLaw:
        """The clamp to the curve, and the step along it."""
        own = controller.own
        return CurveLaw(own["U"], own["pieces"], self.periodic, self._start)

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """How many classes from the start."""
        return self._asked(strength, controller, self._start, 0.0)

    def absolute(
        self, strength: Target, controller: Controller, features: Features
    ) -> tuple[Reference, Units]:
        """Which class."""
        return self._asked(strength, controller, 0.0, 1.0)

    @property
    def _start(self) -> float:
        """Its number."""
        return float(self.classes.index(self.start)) if self.start else 0.0

    def _asked(
        self, strength: Target, controller: Controller, start: float, own: float
    ) -> tuple[Reference, Units]:
        """`(start + target, own)` at every block."""
        blocks = len(controller.plan)
        one = torch.tensor([[1.0], [0.0]]).expand(blocks, -1, -1)
        return Absolute(strength), Units(one, torch.tensor([start, own]).expand(blocks, -1))

    def _spanned(self, means: Float[Tensor, "classes n"]) -> Float[Tensor, "n k"]:
        """Orthonormal directions that the means vary along, the widest first."""
        rows: Tensor
        _, sizes, rows = torch.linalg.svd(means - means.mean(0), full_matrices=False)
        spanned = int((sizes > FLAT * means.norm()).sum())
        rank = spanned if self.rank is None else self.rank
        if not 1 <= rank <= spanned:
            raise InputError(f"rank is {rank}; the class means span {spanned} directions.")
        found: Tensor = rows[:rank].mT.contiguous()
        return found


def _classes(method: str, evidence: Evidence) -> Mapping[str, Float[Tensor, "examples states n"]]:
    """The classes in order; the two sides where there are no others."""
    if evidence.classes is not None:
        return evidence.classes
    desired, undesired = evidence.require_sides(method)
    return {"undesired": undesired, "desired": desired}
