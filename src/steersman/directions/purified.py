"""Directions purified of what they share with other features."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.directions.direction import Direction
from steersman.directions.observer import Observer
from steersman.directions.subspace import unless_rounding
from steersman.errors import InputError, ShapeError


@dataclass(frozen=True)
class Purified(Observer):
    """A rule's direction without what it shares with other features, state by state.

        d - U U' d,    U an orthonormal basis of the other features' v_t

    A push along it moves none of the other features where it is made; what the blocks make of it
    later may. It cannot be made from its name: the other directions are not in it.

    Args:
        of: the rule.
        others: the other features' directions, as `steering.features.directions.values()`.

    Raises:
        InputError: no other direction.
        ShapeError: they have different states.

    Source:
        Trait purification of arXiv 2509.04794, in the form of a projection, which is ours. By a
        second-hand account the unit contrast of the two traits is added there instead.
    """

    of: Observer
    others: tuple[Direction, ...]

    def __post_init__(self) -> None:
        """Check the other directions."""
        if not self.others:
            raise InputError("give the directions of the other features to purify from.")
        shapes = {tuple(other.vectors.shape) for other in self.others}
        if len(shapes) > 1:
            raise ShapeError(f"the other directions have different (states, n): {sorted(shapes)}.")

    @property
    def name(self) -> str:
        """The name of this rule: how many others, and the start of a hash of what they observe."""
        content = (one.vectors.double().cpu().contiguous().numpy() for one in self.others)
        digest = hashlib.sha256(b"".join(one.tobytes() for one in content)).hexdigest()
        return f"{self.of.name}|purified:{len(self.others)}:{digest[:12]}"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """Not possible: which state this is is not said.

        Raises:
            InputError: always.
        """
        raise InputError("purifying takes all states of a model: use read_each, or fit.")

    def read_each(
        self,
        desired: Float[Tensor, "desired states n"],
        undesired: Float[Tensor, "undesired states n"],
        where: Bool[Tensor, " states"],
    ) -> Float[Tensor, "states n"]:
        """What is left of every state's direction; zero where nothing but rounding is.

        Args:
            desired: states of the desired examples.
            undesired: of the undesired ones.
            where: at which states; zeros at the others.

        Raises:
            ShapeError: the other directions are of another model.
        """
        expected = tuple(self.others[0].vectors.shape)
        if tuple(desired.shape[1:]) != expected:
            raise ShapeError(
                f"the states are {tuple(desired.shape[1:])} and the other directions {expected}; "
                "read those from the same model."
            )
        found = self.of.read_each(desired, undesired, where)
        for state in where.nonzero().flatten().tolist():
            found[state] = _without([o.vectors[state] for o in self.others], found[state])
        return found


def _without(others: Sequence[Float[Tensor, " n"]], d: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """`d` minus its projection on the span of the others."""
    V = torch.stack(list(others), dim=1).to(d)
    U, sizes, _ = torch.linalg.svd(V, full_matrices=False)
    # Twice the same feature is one axis, and one without contrast none.
    U = U[:, sizes > 1e-6 * sizes[0].clamp_min(1e-300)]
    return unless_rounding(d - U @ (U.mT @ d), d)
