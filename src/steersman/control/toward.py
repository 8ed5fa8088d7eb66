"""A reference that lies between what a token shows unsteered and a goal."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_shape
from steersman.control.setpoint import Relative
from steersman.errors import ShapeError


@dataclass(frozen=True)
class Toward(Relative):
    """`s_t = H_t' xbar_t + target (goal_t - H_t' xbar_t)`: part of the way to a goal.

    The units' `norm` is the goal, as the law observes it. At target 0 a token is left where it
    would have been, at 1 it is asked to be at the goal, where the feature is 1 in natural units.
    There is one goal for all that is observed, so there is one target a row.

    Raises:
        ShapeError: the target has more than one number a row.
    """

    def __post_init__(self) -> None:
        """Check that the target is one number a row."""
        super().__post_init__()
        if isinstance(self.target, Tensor) and self.target.ndim == 2 and self.target.shape[1] != 1:
            raise ShapeError(
                f"target has {self.target.shape[1]} features; expected 1: there is one goal, and "
                "one way to it."
            )

    def joined(
        self, offset: Float[Tensor, "rows k"], nominal: Float[Tensor, "given k"] | None
    ) -> Float[Tensor, "rows k"]:
        """`(1 - target) nominal + target * goal_t`."""
        if nominal is not None:
            nominal = nominal * (1 - self.by_row(len(nominal), nominal))
        return super().joined(offset, nominal)

    def missed(
        self, reached: Float[Tensor, "rows features"], start: Float[Tensor, "rows features"] | None
    ) -> Float[Tensor, "rows features"]:
        """`start + target (1 - start) - reached`.

        Raises:
            ShapeError: other rows, or more than the one feature that is 1 at the goal.
            InputError: `start` is not known.
        """
        require_shape("reached", reached, ("rows", len(reached)), ("features", 1))
        if start is not None:
            require_shape("start", start, ("rows", len(reached)), ("features", 1))
        whole = super().missed(reached, start)
        return whole if start is None else whole - start * self.by_row(len(start), start)
