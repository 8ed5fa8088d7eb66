"""Named features: a direction each, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.direction import Direction
from steersman.errors import InputError, ShapeError

ALONE = "feature"
"""What a feature is called that was given no name."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one residual stream that are steered together, in a fixed order.

        z_t = V_t' x_t,   V_t = [v_t^1 .. v_t^k]      in natural units (z_t - origin_t) / norm_t

    Args:
        directions: one for each feature, by name.

    Raises:
        InputError: no feature, or more of them than the state is wide.
        ShapeError: the directions have different states.
    """

    directions: Mapping[str, Direction]

    def __post_init__(self) -> None:
        """Check that the directions belong together."""
        if not self.directions:
            raise InputError("there is no feature: give at least one direction.")
        shapes = {name: tuple(d.contrast.shape) for name, d in self.directions.items()}
        if len(set(shapes.values())) > 1:
            found = ", ".join(f"{name!r} {shape}" for name, shape in shapes.items())
            raise ShapeError(f"the directions have different (states, n): {found}.")
        if len(self) > self.n:
            raise InputError(
                f"{len(self)} features were given for states of width {self.n}; at most {self.n} "
                "can be told apart."
            )

    @classmethod
    def of(cls, direction: Direction) -> "Features":
        """One feature without a name of its own."""
        return cls({ALONE: direction})

    def __len__(self) -> int:
        """How many features there are, `k`."""
        return len(self.directions)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order that tensors have them."""
        return tuple(self.directions)

    @property
    def one(self) -> Direction:
        """The direction of the only feature.

        Raises:
            InputError: there are several.
        """
        if len(self) > 1:
            raise InputError(f"there are {len(self)} features, {listed(self.names)}; name one.")
        return next(iter(self.directions.values()))

    def only(self, name: str) -> "Features":
        """One of the features, alone.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.directions:
            raise InputError(f"there is no feature {name!r}; there is {listed(self.names)}.")
        return Features({name: self.directions[name]})

    @property
    def blocks(self) -> int:
        """How many blocks the model has."""
        return next(iter(self.directions.values())).blocks

    @property
    def n(self) -> int:
        """Width of the residual stream."""
        return next(iter(self.directions.values())).n

    @cached_property
    def vectors(self) -> Float[Tensor, "states n features"]:
        """`V_t`: one unit direction a column, zero at a state without contrast."""
        return self.stacked("vectors")

    @cached_property
    def contrast(self) -> Float[Tensor, "states n features"]:
        """`c_t` of each feature."""
        return self.stacked("contrast")

    @cached_property
    def norm(self) -> Float[Tensor, "states features"]:
        """`v_t'c_t` of each feature: one natural unit."""
        return self.stacked("norm")

    @cached_property
    def origin(self) -> Float[Tensor, "states features"]:
        """Each feature where undesired examples sit."""
        return self.stacked("origin")

    def stacked(self, name: str) -> Float[Tensor, "states *n features"]:
        """A tensor that every direction has, side by side."""
        return torch.stack([getattr(d, name) for d in self.directions.values()], dim=-1)

    @property
    def cosines(self) -> Float[Tensor, "states features features"]:
        """`V_t' V_t`: how alike the directions are at each state."""
        return self.vectors.mT @ self.vectors

    def require_independent(self, state: int) -> None:
        """Refuse features that cannot be told apart at a state; those without contrast are let be.

        Raises:
            InputError: some direction is a combination of others, to rounding; names them.
        """
        V = self.vectors[state]
        there = V.any(dim=0).nonzero().flatten().tolist()
        if len(there) < 2:
            return
        _, sizes, rows = torch.linalg.svd(V[:, there].double(), full_matrices=False)
        if float(sizes[-1]) > self.n * torch.finfo(V.dtype).eps * float(sizes[0]):
            return
        alike = [self.names[there[i]] for i in (rows[-1].abs() > 0.01).nonzero().flatten().tolist()]
        raise InputError(
            f"the features {listed(alike)} have linearly dependent directions at state {state}: "
            "what moves one moves the other alike. Leave one out, or give examples that differ in "
            "one of them alone."
        )


def listed(names: Sequence[str]) -> str:
    """`'a' and 'b'`, for messages."""
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
