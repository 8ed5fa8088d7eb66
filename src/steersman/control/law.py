"""The one law: observe a few numbers, act along a few directions.

    z = H_t' x              what is observed
    u = G_t (s_t - z)       what is done about it

A law never knows where its reference `s_t` comes from, and never holds state: `init` makes it,
`step` takes it and gives it back, in the order of the blocks of one forward pass.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Literal, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from steersman.control.checks import require_blocks, require_pair, require_shape
from steersman.errors import InputError

State = TypeVar("State")
Places = Callable[[], Int[Tensor, " rows"]]
Reads = Literal["input", "output"]


class Law(ABC, Generic[State]):
    """A steering law: `(state, u_t) = step(state, x_t, s_t, t)`, for many rows at once.

    A row is one token's residual stream; any flattening of batch and positions is a set of rows,
    and no row may influence another. Nonlinear laws subclass this and need not have `H` or `G`.

    A law reads what enters block `t`, or, where `reads` is "output", what leaves it: then `x_t` is
    `f_t(x_t)` in all that is said of `step`, with whatever other laws have added there before.
    """

    reads: Reads = "input"

    @property
    @abstractmethod
    def blocks(self) -> int:
        """The number of blocks of the plant it was made for."""

    @property
    @abstractmethod
    def n(self) -> int:
        """The width of the state."""

    @property
    @abstractmethod
    def k(self) -> int:
        """How many numbers a reference has."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The precision it computes in and answers in: float32 (float64 for proofs)."""

    @abstractmethod
    def to(self, device: torch.device | str) -> "Law[State]":
        """The same law on another device, in the same precision."""

    @abstractmethod
    def init(self, rows: int) -> State:
        """The state before block 0, for so many rows."""

    def begin(self, rows: int, places: Places) -> State:
        """The same for tokens of texts; only laws to which it matters ask where in them.

        Args:
            rows: how many.
            places: tells each row's place in its text, counted from 0 and without padding.
        """
        return self.init(rows)

    def step(
        self,
        state: State,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[State, Float[Tensor, "rows n"]]:
        """The next state and the input `u_t`, to be added at the output of `block`.

        Args:
            state: what `init` or the previous block's `step` returned.
            x: states at the input of `block`, `(rows, n)`, any floating dtype.
            reference: where the observed numbers should be, `(rows, k)`.
            block: the 0-based block; where the law is not active the input is zero.

        Raises:
            ShapeError: `x` or `reference` does not fit the law.
        """
        require_shape("x", x, ("rows", len(x)), ("n", self.n))
        require_shape("reference", reference, ("rows", len(x)), ("k", self.k))
        if not self.is_active(block):
            return state, torch.zeros_like(x, dtype=self.dtype)
        return self.input(state, x.to(self.dtype), reference.to(self.dtype), block)

    @abstractmethod
    def input(
        self,
        state: State,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[State, Float[Tensor, "rows n"]]:
        """What `step` does at a block where the law is active, with nothing left to check.

        Args:
            state: as in `step`.
            x: as in `step`, in the law's precision.
            reference: likewise.
            block: one that is active.
        """

    def added(
        self,
        state: State,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[State, Float[Tensor, "rows n"]]:
        """The next state and `y + u_t`, in as few operations as the law knows.

        While a token is generated, a block's own products take so little time that every small
        operation beside them counts.

        Args:
            state: as in `input`, and so are the next three.
            x: see there.
            reference: see there.
            block: see there.
            y: what comes out of `block`, `(rows, n)`, in the law's precision.
        """
        state, u = self.input(state, x, reference, block)
        return state, y + u

    def observe(self, x: Float[Tensor, "rows n"], block: int) -> Float[Tensor, "rows k"]:
        """What the law compares with its reference; a relative reference is measured with it.

        Raises:
            InputError: the law compares nothing, and so cannot have a relative reference.
        """
        raise InputError(
            f"{type(self).__name__} observes nothing that a relative reference could be measured by"
        )

    def known(
        self, references: Float[Tensor, "blocks rows k"]
    ) -> tuple[Float[Tensor, "rows n"], ...] | None:
        """The inputs of every block where they depend on no state; None where they do.

        Args:
            references: where the observed numbers should be at every block.
        """
        return None

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block` at all; elsewhere it need not be evaluated."""
        return 0 <= block < self.blocks

    def held_back(self, state: State) -> Bool[Tensor, " rows"] | None:
        """The rows whose last input was shorter than the law wanted it; None where none ever is.

        Args:
            state: what the last block's `step` returned.
        """
        return None


@dataclass(frozen=True, eq=False)
class AffineLaw(Law[None]):
    """The low-rank law `u = G_t (s_t - H_t' x)`; stateless.

    `H = 0` is an open-loop schedule: with reference 1 it adds `G_t` whatever the state.

    Args:
        H: what is observed, `(blocks, n, k)`, float32 or float64.
        G: what is done about it, `(blocks, n, k)`, the same dtype and device.
        active: the blocks where it acts; None is every block.

    Raises:
        ShapeError: `H` and `G` are not two `(blocks, n, k)` tensors of one shape.
        InputError: half precision, two dtypes or devices, or an active block that does not exist.
        NumericalError: NaN or infinity.
    """

    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]
    active: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check that the two tensors and the active blocks belong together."""
        require_pair(self.H, self.G, "blocks", "n", "k")
        require_blocks(self.active, self.blocks)

    @classmethod
    def schedule(
        cls, inputs: Float[Tensor, "blocks n *features"], active: tuple[int, ...] | None = None
    ) -> "AffineLaw":
        """The open-loop law `u_t = inputs_t s`: `H = 0`, `G = inputs`, a reference a feature."""
        G = inputs.reshape(*inputs.shape[:2], -1)
        return cls(torch.zeros_like(G), G, active)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.H.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.H.shape[1]

    @property
    def k(self) -> int:
        """How many numbers are observed."""
        return self.H.shape[2]

    @property
    def dtype(self) -> torch.dtype:
        """The precision of `H` and `G`."""
        return self.H.dtype

    @cached_property
    def is_schedule(self) -> bool:
        """Whether it observes nothing at all: `H = 0`."""
        return not bool(self.H.any())

    @cached_property
    def _inputs(self) -> tuple[Tensor, ...]:
        """`G_t'` of each block, `(k, n)`: views that are not made anew for every token."""
        return self.G.mT.unbind(0)

    @cached_property
    def _observed(self) -> tuple[Tensor, ...]:
        """`H_t` of each block."""
        return self.H.unbind(0)

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block`."""
        return super().is_active(block) and (self.active is None or block in self.active)

    def to(self, device: torch.device | str) -> "AffineLaw":
        """The same law on another device, in the same precision."""
        return AffineLaw(self.H.to(device), self.G.to(device), self.active)

    def observe(self, x: Float[Tensor, "rows n"], block: int) -> Float[Tensor, "rows k"]:
        """`z = H_t' x` for each row, taken in the law's precision and not in the model's."""
        return x.to(self.dtype) @ self._observed[block]

    def known(
        self, references: Float[Tensor, "blocks rows k"]
    ) -> tuple[Float[Tensor, "rows n"], ...] | None:
        """`G_t s_t` of every block, where `H = 0`."""
        if not self.is_schedule:
            return None
        return tuple(self.act(references[block], block) for block in range(self.blocks))

    def act(self, error: Float[Tensor, "rows k"], block: int) -> Float[Tensor, "rows n"]:
        """`u = G_t error` for each row."""
        error = error.to(self.dtype)
        return error * self._inputs[block] if self.k == 1 else error @ self._inputs[block]

    def init(self, rows: int) -> None:
        """No state."""

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """`u = G_t (s_t - H_t' x)` for each row."""
        error = reference if self.is_schedule else reference - x @ self._observed[block]
        return None, self.act(error, block)

    def added(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """`y + G_t (s_t - H_t' x)`, with the second product and the sum in one."""
        # Observed as `observe` does it, so that a token's own value is an error of exactly zero.
        error = reference - x @ self._observed[block]
        return None, torch.addmm(y, error, self._inputs[block])
