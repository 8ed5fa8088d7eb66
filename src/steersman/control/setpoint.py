"""Where the feature should be: what gives a law its setpoints."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite, require_shape
from steersman.control.units import Units
from steersman.errors import InputError, ShapeError

Target = float | Float[Tensor, " targets"] | Float[Tensor, "targets features"]
"""One target for all rows, one for each, or one for each row and feature; of the last, a single row
is for all of them."""


class Reference(ABC):
    """Gives a law its `s_t`: an offset that is known beforehand, and perhaps the nominal run."""

    needs_nominal: ClassVar[bool] = False
    """Whether `at` must be told the unsteered run's feature."""
    needs_start: ClassVar[bool] = False
    """Whether `started` must be told where the unsteered run ends."""

    @property
    @abstractmethod
    def rows(self) -> int | None:
        """How many rows it has a target for; None where one is for all rows."""

    def started(self, start: Float[Tensor, "rows features"]) -> "Reference":
        """The same reference, for rows whose unsteered run ends at these natural values."""
        return self

    def moved(self, by: Float[Tensor, "rows features"]) -> "Reference":
        """The same reference with each row's target moved by so much.

        Raises:
            InputError: its strength is not a target in natural units.
        """
        raise InputError(f"{type(self).__name__} has no target in natural units to be corrected.")

    def missed(
        self, reached: Float[Tensor, "rows features"], start: Float[Tensor, "rows features"] | None
    ) -> Float[Tensor, "rows features"]:
        """The target minus what was reached after the last block, in natural units.

        Args:
            reached: by the steered run.
            start: by the unsteered one, where that is known.

        Raises:
            InputError: its strength is not a target in natural units.
        """
        raise InputError(f"{type(self).__name__} has no target in natural units to be missed.")

    @abstractmethod
    def offsets(self, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
        """What is known of `s_t` before the model runs, at every block.

        Args:
            units: the natural units of the features.
            rows: how many rows; a per-row target must have as many.

        Raises:
            ShapeError: a target does not fit the rows or the features.
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
    """`s_t = origin_t + norm_t target`: the feature's value is prescribed, in natural units."""

    target: Target

    def __post_init__(self) -> None:
        """Check the target."""
        _check_target("target", self.target)

    @property
    def rows(self) -> int | None:
        """How many targets there are; None for one."""
        return _rows(self.target)

    def repeated(self, times: int, device: torch.device) -> "Absolute":
        """Each row's target for `times` rows."""
        return Absolute(_repeated(self.target, times, device))

    def moved(self, by: Float[Tensor, "rows features"]) -> "Absolute":
        """Each row's target moved."""
        return Absolute(_as_rows(self.target, len(by), by) + by)

    def missed(
        self, reached: Float[Tensor, "rows features"], start: Float[Tensor, "rows features"] | None
    ) -> Float[Tensor, "rows features"]:
        """`target - reached`."""
        return _as_rows(self.target, len(reached), reached) - reached

    def offsets(self, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
        """`origin_t + norm_t target`."""
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

    @property
    def rows(self) -> int | None:
        """How many targets there are; None for one."""
        return _rows(self.lambda_)

    def repeated(self, times: int, device: torch.device) -> "Paper":
        """Each row's target for `times` rows."""
        return Paper(_repeated(self.lambda_, times, device))

    def offsets(self, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
        """`lambda_ * norm_t`."""
        return _scaled(self.lambda_, units, rows)


@dataclass(frozen=True)
class Relative(Reference):
    """`s_t = H_t' xbar_t + norm_t target`: so many units from where the token would have been."""

    target: Target
    needs_nominal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the target."""
        _check_target("target", self.target)

    @property
    def rows(self) -> int | None:
        """How many targets there are; None for one."""
        return _rows(self.target)

    def repeated(self, times: int, device: torch.device) -> "Relative":
        """Each row's target for `times` rows."""
        return replace(self, target=_repeated(self.target, times, device))

    def moved(self, by: Float[Tensor, "rows features"]) -> "Relative":
        """Each row's target moved."""
        return replace(self, target=_as_rows(self.target, len(by), by) + by)

    def missed(
        self, reached: Float[Tensor, "rows features"], start: Float[Tensor, "rows features"] | None
    ) -> Float[Tensor, "rows features"]:
        """`target - (reached - start)`."""
        if start is None:
            raise InputError("What a relative target missed is known beside the unsteered run.")
        return _as_rows(self.target, len(reached), reached) - (reached - start)

    def by_row(self, rows: int, like: Tensor) -> Float[Tensor, "rows_or_1 features_or_1"]:
        """The target of each row, in the precision of another tensor.

        Raises:
            ShapeError: it is for other rows.
        """
        return _as_rows(self.target, rows, like)

    def offsets(self, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
        """`norm_t target`."""
        return _scaled(self.target, units, rows)

    def joined(
        self, offset: Float[Tensor, "rows k"], nominal: Float[Tensor, "given k"] | None
    ) -> Float[Tensor, "rows k"]:
        """`nominal + norm_t target`."""
        if nominal is None:
            raise InputError(
                "A relative reference needs the unsteered run's feature. Pass nominal, or run the "
                "law as a plan."
            )
        require_shape("nominal", nominal, ("rows", offset.shape[0]), ("k", offset.shape[1]))
        return nominal + offset


@dataclass(frozen=True)
class Held(Relative):
    """`s_t = H_t' xbar_t + norm_t (target - start)`: a value, whatever the token shows unsteered.

    `start` is the feature after the last block of the unsteered run, in natural units: the law is
    asked for the change that leads from there to the target.
    """

    needs_start: ClassVar[bool] = True

    def started(self, start: Float[Tensor, "rows features"]) -> Relative:
        """The change that is left to be made."""
        return Relative(_as_rows(self.target, len(start), start) - start)

    def missed(
        self, reached: Float[Tensor, "rows features"], start: Float[Tensor, "rows features"] | None
    ) -> Float[Tensor, "rows features"]:
        """`target - reached`."""
        return _as_rows(self.target, len(reached), reached) - reached


def _check_target(name: str, target: Target) -> None:
    if isinstance(target, Tensor):
        if target.ndim not in (1, 2):
            raise ShapeError(
                f"{name} has shape {tuple(target.shape)}; expected (rows,) or (rows, features)."
            )
        # Looking at values on an accelerator would wait for it; they were seen on the host before.
        if target.device.type == "cpu":
            require_finite(name, target)
    elif not math.isfinite(target):
        raise InputError(f"{name} is {target}; it must be finite.")


def _rows(target: Target) -> int | None:
    return len(target) if isinstance(target, Tensor) and not _for_all(target) else None


def _repeated(
    target: Target, times: int, device: torch.device
) -> float | Float[Tensor, "repeated *features"]:
    if not isinstance(target, Tensor):
        return target
    here = target.to(device)
    return here if _for_all(here) else here.repeat_interleave(times, dim=0)


def _for_all(target: Tensor) -> bool:
    """Whether it is one target of several features, for any number of rows."""
    return target.ndim == 2 and len(target) == 1


def _by_block(tensor: Float[Tensor, " blocks *rows_k"]) -> Float[Tensor, "blocks rows_or_1 k"]:
    return tensor if tensor.ndim == 3 else tensor.reshape(len(tensor), 1, -1)


def _scaled(target: Target, units: Units, rows: int) -> Float[Tensor, "blocks rows k"]:
    """`norm_t target`, one row each."""
    norm = units.norm
    wanted = _as_rows(target, rows, norm)
    if norm.ndim > 1 and wanted.shape[1] not in (1, norm.shape[-1]):
        raise ShapeError(f"target has {wanted.shape[1]} features; expected {norm.shape[-1]}.")
    if norm.ndim < 3:
        asked = wanted * _by_block(norm)
    else:
        asked = torch.einsum("tkf,rf->trk" if norm.ndim == 3 else "trkf,rf->trk", norm, wanted)
    return asked.expand(-1, rows, -1)


def _as_rows(target: Target, rows: int, like: Tensor) -> Float[Tensor, "rows_or_1 features_or_1"]:
    if not isinstance(target, Tensor):
        return like.new_full((1, 1), target)
    if not _for_all(target) and len(target) != rows:
        raise ShapeError(f"target has {len(target)} rows; expected {rows}.")
    return target.to(like).reshape(len(target), -1)
