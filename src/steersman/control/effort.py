"""What acting costs: the actuators of every block and the weights of their inputs."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite, require_full_precision
from steersman.errors import InputError, ShapeError


@dataclass(frozen=True, eq=False)
class Effort:
    """The inputs `u_t = B_t w_t` and their cost.

        sum_{t=0..T-1} w_t' R_t w_t        R_t = diag(r_t)

    `r_t = inf` means that an actuator, or a whole block, must not be touched: `w_t = 0` there.

    Args:
        r: weight of the inputs, above zero or infinite: one number, one a block `(blocks,)`, or a
            tuple with one number or one vector `(p_t,)` a block.
        B: the actuators, one matrix `(n, p_t)` a block, of any `p_t >= 1`, float32 or float64;
            None is `B_t = I`, every coordinate of the state its own actuator.

    Raises:
        ShapeError: `r` or `B` does not give one entry a block, or a matrix of `B` or a vector of
            `r` does not belong to the others.
        InputError: a weight that is not above zero, none that is finite, or half precision.
        NumericalError: `B` has NaN or infinity.

    Source:
        Anderson and Moore, Optimal Control: Linear Quadratic Methods, chapter 2.
    """

    r: float | Float[Tensor, " blocks"] | tuple[float | Float[Tensor, " _"], ...]
    B: tuple[Float[Tensor, "n _"], ...] | None = None

    def __post_init__(self) -> None:
        """Check the weights and the actuators."""
        weights = self._all_weights()
        for place, weight in weights:
            wrong = weight[~(weight > 0)]  # NaN is not above zero either
            if len(wrong):
                raise InputError(
                    f"r{place} is {float(wrong[0])}; it must be above zero, or inf where nothing "
                    "may be touched."
                )
        if not any(bool(torch.isfinite(weight).any()) for _, weight in weights):
            raise InputError("r is inf everywhere: nothing may act. Give a block a finite r.")
        for block, matrix in enumerate(self.B or ()):
            self._require_actuators(block, matrix)

    def require_fit(self, blocks: int, n: int) -> None:
        """Raise `ShapeError` unless this is the effort of a plant of so many blocks and width."""
        for name, entries in (("r", self.r), ("B", self.B)):
            if isinstance(entries, (tuple, Tensor)) and len(entries) != blocks:
                raise ShapeError(f"{name} has {len(entries)} entries for {blocks} blocks.")
        if self.B is not None and self.B[0].shape[0] != n:
            raise ShapeError(f"B acts on states of width {self.B[0].shape[0]}; they have {n}.")
        for block in range(blocks):
            weight = self._weight(block)
            actuators = n if self.B is None else self.B[block].shape[1]
            if weight.ndim > 1 or (weight.ndim == 1 and len(weight) != actuators):
                raise ShapeError(
                    f"r of block {block} has shape {tuple(weight.shape)}; expected a number or "
                    f"(p={actuators},)."
                )

    def acts(self, block: int) -> bool:
        """Whether any actuator of a block may be used."""
        return bool(torch.isfinite(self._weight(block)).any())

    def sense(self, block: int, W: Float[Tensor, "n m"]) -> Float[Tensor, "p m"]:
        """`R_t^{-1/2} B_t' W`: what a unit of normalised effort at each actuator does to `W'x`."""
        return self.relax(block, W if self.B is None else self.B[block].to(W).mT @ W)

    def relax(self, block: int, v: Float[Tensor, "p *m"]) -> Float[Tensor, "p *m"]:
        """`w = R_t^{-1/2} v`: the inputs of which `|v|^2` is the effort; zero where `r` is inf."""
        return self._scale(block, v) * v

    def weigh(self, block: int, w: Float[Tensor, "p *m"]) -> Float[Tensor, "p *m"]:
        """`R_t^{1/2} w`, taken as zero where `r` is inf, because `w` is zero there."""
        scale = self._scale(block, w)
        return torch.where(scale > 0, w / scale, torch.zeros_like(w))

    def drive(self, block: int, w: Float[Tensor, "p *m"]) -> Float[Tensor, "n *m"]:
        """`u = B_t w`: what the actuators add to the state."""
        return w if self.B is None else self.B[block].to(w) @ w

    def _scale(self, block: int, like: Tensor) -> Tensor:
        """`R_t^{-1/2}`, shaped to multiply the rows of `like`."""
        scale = self._weight(block).to(like).rsqrt()
        return scale.reshape(-1, *[1] * (like.ndim - 1))

    def _weight(self, block: int) -> Tensor:
        return _number(self.r[block] if isinstance(self.r, (tuple, Tensor)) else self.r)

    def _all_weights(self) -> list[tuple[str, Tensor]]:
        """Every weight, with the words that say where it is."""
        if not isinstance(self.r, (tuple, Tensor)):
            return [("", _number(self.r))]
        if len(self.r) == 0 if isinstance(self.r, tuple) else self.r.ndim != 1:
            raise ShapeError("r must be a number, or have one entry a block.")
        return [(f" of block {block}", self._weight(block)) for block in range(len(self.r))]

    def _require_actuators(self, block: int, matrix: Float[Tensor, "n p"]) -> None:
        first = (self.B or ())[0]
        if matrix.ndim != 2 or 0 in matrix.shape or matrix.shape[0] != first.shape[0]:
            raise ShapeError(
                f"B of block {block} has shape {tuple(matrix.shape)}; expected "
                f"(n={first.shape[0]}, p) with p >= 1."
            )
        require_full_precision(f"B of block {block}", matrix)
        require_finite(f"B of block {block}", matrix)


def _number(weight: float | Tensor) -> Tensor:
    return weight if isinstance(weight, Tensor) else torch.tensor(weight, dtype=torch.float64)
