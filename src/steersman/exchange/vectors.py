"""What other tools call a steering vector: some vectors, one a block, and what was said of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError, MismatchError, NumericalError, ShapeError


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors that are added to the residual stream, each behind one block.

        x_{t+1} = f_t(x_t) + target v_t          for the 0-based blocks t that have one

    Lengths are as they were given: nothing is normalised.

    Args:
        by_block: `v_t`, `(n,)`, float32, of each block that has one.
        said: what the file says of itself.

    Raises:
        InputError: no vector, or a block below 0.
        ShapeError: a vector that is no vector, or of another width than the others.
        NumericalError: NaN or infinity.
    """

    by_block: Mapping[int, Float[Tensor, " n"]]
    said: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the vectors against each other."""
        if not self.by_block:
            raise InputError("there is no vector.")
        shapes = {tuple(v.shape) for v in self.by_block.values()}
        if len(shapes) > 1 or len(next(iter(shapes))) != 1:
            raise ShapeError(f"the vectors have shapes {sorted(shapes)}; expected one (n,).")
        for block, v in self.by_block.items():
            if block < 0:
                raise InputError(f"there is a vector of block {block}; blocks are counted from 0.")
            if not bool(v.isfinite().all()):
                raise NumericalError(f"the vector of block {block} has NaN or infinite values.")

    @classmethod
    def of(cls, given: Mapping[Any, Any], said: Mapping[str, str] | None = None) -> "Vectors":
        """From arrays, tensors or lists of numbers, by block.

        Such are `directions` of repeng's `ControlVector` and `layer_activations` of a
        `SteeringVector` of steering-vectors, both 0-based and of block outputs.

        Args:
            given: block -> vector; lower precision is kept exactly, float64 rounded.
            said: what is said of them.

        Raises:
            InputError: a block that is no whole number, or a vector that is not made of numbers.
        """
        return cls({t: _vector(t, one) for t, one in _blocks(given).items()}, said or {})

    @property
    def n(self) -> int:
        """Width of the residual stream."""
        return len(next(iter(self.by_block.values())))

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks that have one, in the order they run."""
        return tuple(sorted(self.by_block))

    def only(self, blocks: Iterable[int]) -> "Vectors":
        """Those of some blocks.

        Raises:
            InputError: one of them has none.
        """
        wanted = tuple(blocks)
        lacking = [block for block in wanted if block not in self.by_block]
        if lacking:
            raise InputError(
                f"there is no vector for block {', '.join(map(str, lacking))}; there are vectors "
                f"for {listed_blocks(self.blocks)}."
            )
        return replace(self, by_block={block: self.by_block[block] for block in wanted})

    def schedule(self, blocks: int, n: int) -> Float[Tensor, "blocks n"]:
        """What is added behind each block of a model, zero where there is no vector.

        Args:
            blocks: how many the model has.
            n: its width.

        Raises:
            MismatchError: the model is smaller than that, or of another width.
        """
        if self.n != n or self.blocks[-1] >= blocks:
            raise MismatchError(
                f"the vectors are of width {self.n}, for {listed_blocks(self.blocks)}; this model "
                f"has blocks 0 .. {blocks - 1} of width {n}. Import them for the model that they "
                "were made for."
            )
        found = torch.zeros(blocks, n)
        for block, v in self.by_block.items():
            found[block] = v
        return found

    @classmethod
    def of_schedule(cls, inputs: Float[Tensor, "blocks n"], said: Mapping[str, str]) -> "Vectors":
        """Of the blocks at which a schedule adds anything.

        Args:
            inputs: what is added behind each block.
            said: what is said of it.
        """
        acting = inputs.any(dim=1).nonzero().flatten().tolist()
        return cls.of({block: inputs[block] for block in acting}, said)


def listed_blocks(blocks: tuple[int, ...]) -> str:
    """`blocks 3 .. 7`, or one by one, for messages."""
    first, last = blocks[0], blocks[-1]
    if len(blocks) == 1:
        return f"block {first}"
    if blocks == tuple(range(first, last + 1)):
        return f"blocks {first} .. {last}"
    return f"blocks {', '.join(map(str, blocks))}"


def _blocks(given: Mapping[Any, Any]) -> dict[int, Any]:
    """The same by whole numbers."""
    for key in given:
        if isinstance(key, bool) or not isinstance(key, int | np.integer):
            raise InputError(f"a vector is called {key!r}; expected the number of its block.")
    return {int(key): one for key, one in given.items()}


def _vector(block: int, given: Any) -> Float[Tensor, "..."]:
    try:
        found = given.detach() if isinstance(given, Tensor) else torch.tensor(np.array(given))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the vector of block {block} is not made of numbers: {error}.") from error
    if not found.is_floating_point() and found.dtype not in (torch.int64, torch.int32):
        raise InputError(f"the vector of block {block} holds {found.dtype}; expected numbers.")
    return found.cpu().float().clone()
