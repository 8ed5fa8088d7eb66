"""Where the feature should be.

With the contrast `c_t = mean desired - mean undesired` and the feature `v_t'x`, one natural unit is
`v_t'c_t` (`|c_t|` for `v_t = c_t/|c_t|`) and the origin is `v_t' mean undesired`: target 0 is where
undesired examples sit, target 1 where desired ones do.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite, require_full_precision, require_shape
from steersman.errors import InputError, ShapeError

Target = float | Float[Tensor, " rows"]
"""One target for all rows, or one for each."""


@dataclass(frozen=True, eq=False)
class Units:
    """Natural units at each block's input: `feature = origin_t + target * norm_t`.

    Args:
        norm: what one unit of target is worth, `v_t'c_t`, `(blocks,)`; `(blocks, k)` for a law that
            observes `k` numbers, each worth so much a unit; `(blocks, rows, k)` where that differs
            from row to row.
        origin: the feature of the undesired examples, `v_t' mean undesired`, the same shape.

    Raises:
        ShapeError: the shapes differ or are none of these.
        InputError: half precision.
        NumericalError: NaN or infinity.
    """

    norm: Float[Tensor, " blocks *rows_k"]
    origin: Float[Tensor, " blocks *rows_k"]

    def __post_init__(self) -> None:
        """Check the two tensors."""
        if self.norm.ndim not in (1, 2, 3) or self.norm.shape != self.origin.shape:
            raise ShapeError(
                f"norm has shape {tuple(self.norm.shape)} and origin {tuple(self.origin.shape)}; "
                "expected both to be (blocks,), (blocks, k) or (blocks, rows, k)."
            )
        for name, tensor in (("norm", self.norm), ("origin", self.origin)):
            require_full_precision(name, tensor)
            require_finite(name, tensor)

    @classmethod
    def plain(cls, blocks: int) -> "Units":
        """One is one: the reference is the target itself, as an open-loop schedule wants it."""
        return cls(torch.ones(blocks), torch.zeros(blocks))

    def repeated(self, times: int) -> "Units":
        """The same with each row's units given to `times` rows; shared ones stay as they are."""
        if self.norm.ndim < 3:
            return self
        each = (tensor.repeat_interleave(times, dim=1) for tensor in (self.norm, self.origin))
        return Units(*each)

    def to(self, device: torch.device | str) -> "Units":
        """The same units on another device."""
        return Units(self.norm.to(device), self.origin.to(device))


class Reference(ABC):
    """Gives a law its `s_t`: an offset that is known beforehand, and perhaps the nominal run."""

    needs_nominal: ClassVar[bool] = False
    """Whether `at` must be told the unsteered run's feature."""

    @abstractmethod
    def offsets(self, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
        """What is known of `s_t` before the model runs, at every block.

        Args:
            units: the natural units of the features.
            rows: how many rows; a per-row target must have as many.

        Raises:
            ShapeError: a per-row target does not fit.
        """

    def at(
        self,
        block: int,
        units: Units,
        rows: int,
        nominal: Float[Tensor, "rows k"] | None = None,
    ) -> Float[Tensor, "rows k"]:
        """The setpoint `s_t` of each row at the input of `block`.

        Args:
            block: the 0-based block.
            units: the natural units of the features.
            rows: how many rows; a per-row target must have as many.
            nominal: `H_t' xbar_t`, the observation of the same rows' unsteered states, `(rows, k)`;
                not read by a reference that does not need it.

        Raises:
            ShapeError: a per-row target or `nominal` does not fit.
            InputError: `nominal` is needed and missing.
        """
        return self.joined(self.offsets(units, rows)[block], nominal)

    def joined(
        self, offset: Float[Tensor, "rows k"], nominal: Float[Tensor, "given k"] | None
    ) -> Float[Tensor, "rows k"]:
        """The setpoint from its offset at one block and the nominal observation there.

        Raises:
            ShapeError: `nominal` does not fit.
            InputError: `nominal` is needed and missing.
        """
        return offset

    @abstractmethod
    def repeated(self, times: int, device: torch.device) -> "Reference":
        """The same reference with each row's target given to `times` rows, on `device`.

        One target for all rows stays as it is.
        """


@dataclass(frozen=True)
class Absolute(Reference):
    """`s_t = origin_t + target * norm_t`: the feature's value is prescribed, in natural units."""

    target: Target

    def __post_init__(self) -> None:
        """Check the target."""
        _check_target("target", self.target)

    def repeated(self, times: int, device: torch.device) -> "Absolute":
        """Each row's target for `times` rows."""
        return Absolute(_repeated(self.target, times, device))

    def offsets(self, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
        """`origin_t + target * norm_t`."""
        return _by_block(units.origin) + _scaled(self.target, units, rows)


@dataclass(frozen=True)
class Paper(Reference):
    """`s_t = lambda_ * norm_t`: A-LQR's setpoint, measured from zero and not from the origin.

    Source:
        A-LQR (arXiv 2604.19018), the adaptive semantic feature setpoint of section 4.
    """

    lambda_: Target

    def __post_init__(self) -> None:
        """Check the target."""
        _check_target("lambda_", self.lambda_)

    def repeated(self, times: int, device: torch.device) -> "Paper":
        """Each row's target for `times` rows."""
        return Paper(_repeated(self.lambda_, times, device))

    def offsets(self, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
        """`lambda_ * norm_t`."""
        return _scaled(self.lambda_, units, rows)


@dataclass(frozen=True)
class Relative(Reference):
    """`s_t = H_t' xbar_t + target * norm_t`: so many units from where the token would have been."""

    target: Target
    needs_nominal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the target."""
        _check_target("target", self.target)

    def repeated(self, times: int, device: torch.device) -> "Relative":
        """Each row's target for `times` rows."""
        return Relative(_repeated(self.target, times, device))

    def offsets(self, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
        """`target * norm_t`."""
        return _scaled(self.target, units, rows)

    def joined(
        self, offset: Float[Tensor, "rows k"], nominal: Float[Tensor, "given k"] | None
    ) -> Float[Tensor, "rows k"]:
        """`nominal + target * norm_t`."""
        if nominal is None:
            raise InputError(
                "A relative reference needs the unsteered run's feature. Pass nominal, or run the "
                "law as a plan."
            )
        require_shape("nominal", nominal, ("rows", offset.shape[0]), ("k", offset.shape[1]))
        return nominal + offset


def _check_target(name: str, target: Target) -> None:
    if isinstance(target, Tensor):
        if target.ndim != 1:
            raise ShapeError(f"{name} has shape {tuple(target.shape)}; expected (rows,).")
        # Looking at values on an accelerator would wait for it; they were seen on the host before.
        if target.device.type == "cpu":
            require_finite(name, target)
    elif not math.isfinite(target):
        raise InputError(f"{name} is {target}; it must be finite.")


def _repeated(
    target: Target, times: int, device: torch.device
) -> float | Float[Tensor, " repeated"]:
    if isinstance(target, Tensor):
        return target.to(device).repeat_interleave(times)
    return target


def _by_block(tensor: Float[Tensor, " blocks *rows_k"]) -> Float[Tensor, "blocks rows_or_1 k"]:
    return tensor if tensor.ndim == 3 else tensor.reshape(len(tensor), 1, -1)


def _scaled(target: Target, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
    """`target * norm_t`, one row each."""
    norm = _by_block(units.norm)
    if isinstance(target, Tensor):
        require_shape("target", target, ("rows", rows))
        return target.to(norm).unsqueeze(1) * norm
    return (target * norm).expand(-1, rows, -1)
