"""A soft gate: how much a steering acts at each token, by what a probe says of its state."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError, MismatchError


@dataclass(frozen=True, eq=False)
class SoftGate:
    """`p_t(x) = sigma(w_t'x + b_t)`: the probability that a token's state asks for the steering.

    Args:
        w: weights at every state `x_0 .. x_T`, `(states, n)`.
        b: intercepts, `(states,)`.
        name: what it is called.

    Raises:
        InputError: tensors that do not belong together, or numbers that are not finite.
    """

    w: Float[Tensor, "states n"]
    b: Float[Tensor, " states"]
    name: str = "probe"

    def __post_init__(self) -> None:
        """Check the tensors."""
        if self.w.ndim != 2 or tuple(self.b.shape) != (len(self.w),):
            raise InputError(
                f"w has shape {tuple(self.w.shape)} and b {tuple(self.b.shape)}; expected "
                "(states, n) and (states,)."
            )
        if not bool(self.w.isfinite().all() and self.b.isfinite().all()):
            raise InputError("the weights and intercepts of a soft gate must be finite.")

    @property
    def sentence(self) -> str:
        """In words."""
        return f"each token by the probability of {self.name!r}"

    def sharper(self, factor: float) -> "SoftGate":
        """`sigma(factor (w_t'x + b_t))`: nearer to a hard gate, the larger the factor.

        Args:
            factor: above zero.
        """
        return SoftGate(factor * self.w, factor * self.b, self.name)

    def require(self, blocks: int, n: int) -> None:
        """Refuse a model that it was not made for.

        Raises:
            MismatchError: it has other states.
        """
        if tuple(self.w.shape) != (blocks + 1, n):
            raise MismatchError(
                f"the soft gate is of {len(self.w)} states of width {self.w.shape[1]}; this model "
                f"has {blocks + 1} of width {n}. Fit one on it."
            )
