"""Rotation: a setpoint for the angle of a state within a plane."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from steersman.control.checks import require_finite, require_real, require_shape
from steersman.control.law import Reads
from steersman.control.stateless import Stateless
from steersman.errors import InputError, ShapeError


@dataclass(frozen=True, eq=False)
class AngularLaw(Stateless):
    """Turn the state within a plane until its part there points at an angle.

        z = H_t' x,   theta = atan2(z_2, z_1)         what is observed, in radians
        u = H_t (R(s_t - theta) - I) z                R(a) the rotation by a

    `x + u` is as long as `x`, its part in the plane points at `s_t`, and the rest of it is not
    touched. In the form of the one law it is `u = H_t (z* - z)` with `z* = |z| (cos s, sin s)`.

    Args:
        H: two orthonormal columns a block, `(blocks, n, 2)`, float32 or float64; a block with
            zeros in their place never acts.
        until: where given, a state acts only where its angle lies less than half a turn short of
            `until_t`, and one beyond it is left alone; `(blocks,)`, in radians. None acts on all.
        reads: whether it turns what enters a block or what leaves it.

    Raises:
        ShapeError: `H` is not `(blocks, n, 2)`, or `until` does not fit it.
        InputError: the columns of a block are not orthonormal, or half precision.
        NumericalError: NaN or infinity.

    Source:
        Angular Steering, https://github.com/lone17/angular-steering, rotates to an angle; Selective
        Steering, https://github.com/knoveleng/steering, by one. Both are this law, with an absolute
        and with a relative reference.
    """

    H: Float[Tensor, "blocks n 2"]
    until: Float[Tensor, " blocks"] | None = None
    reads: Reads = "input"

    def __post_init__(self) -> None:
        """Check the planes."""
        if self.H.ndim != 3 or self.H.shape[-1] != 2 or 0 in self.H.shape:
            raise ShapeError(f"H has shape {tuple(self.H.shape)}; expected (blocks, n, 2).")
        require_real("H", self.H)
        if self.until is not None:
            require_shape("until", self.until, ("blocks", self.blocks))
            require_finite("until", self.until)
        products = self.H.mT @ self.H
        eye = torch.eye(2, dtype=self.dtype, device=self.H.device)
        apart = (products - eye).abs().amax(dim=(1, 2))
        wrong = (apart > 100 * torch.finfo(self.dtype).eps) & products.any(dim=2).any(dim=1)
        if bool(wrong.any()):
            block = int(wrong.nonzero()[0])
            raise InputError(
                f"the columns of H at block {block} are not orthonormal, by "
                f"{float(apart[block]):.2g}: turning between them would change the length of the "
                "state. Orthonormalise them first."
            )

    @property
    def actuator(self) -> Float[Tensor, "blocks n 2"]:
        """What is acted along: the plane."""
        return self.H

    @cached_property
    def _planes(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """`H_t, H_t'` of each block: views that are not made anew for every token."""
        return tuple(zip(self.H, self.H.mT, strict=True))

    def observe(self, x: Float[Tensor, "rows n"], block: int) -> Float[Tensor, "rows k"]:
        """The angle of each row, in radians between -pi and pi; 0 where no part is in the plane."""
        return _angle(x.to(self.dtype) @ self.H[block])

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The turn of each row."""
        return None, self._turned(x, reference, block) @ self._planes[block][1]

    def added(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The same, added to what comes out of the block."""
        return None, torch.addmm(y, self._turned(x, reference, block), self._planes[block][1])

    def _turned(
        self, x: Float[Tensor, "rows n"], reference: Float[Tensor, "rows k"], block: int
    ) -> Float[Tensor, "rows 2"]:
        """`(R(by) - I) z`, what is added within the plane."""
        z = _complex(x @ self._planes[block][0])
        by = self._by(z, reference, block)
        # cos(a) - 1 without a difference of two numbers that are nearly equal.
        half = torch.sin(by / 2)
        turned = torch.complex(-2 * half * half, torch.sin(by)) * z
        return torch.view_as_real(turned).squeeze(1)

    def _by(
        self, z: Complex[Tensor, "rows 1"], reference: Float[Tensor, "rows k"], block: int
    ) -> Float[Tensor, "rows 1"]:
        """By how much each row turns."""
        angle = torch.angle(z)
        return self._where_short(reference - angle, angle, block)

    def _where_short(
        self, turn: Float[Tensor, "rows 1"], angle: Float[Tensor, "rows 1"], block: int
    ) -> Float[Tensor, "rows 1"]:
        """The turn of the rows that lie short of `until`; none of the others."""
        if self.until is None:
            return turn
        return torch.where(torch.sin(self.until[block] - angle) > 0, turn, 0.0)


def _complex(z: Float[Tensor, "rows 2"]) -> Complex[Tensor, "rows 1"]:
    """`z_1 + i z_2`, which a turn multiplies."""
    return torch.view_as_complex(z).unsqueeze(1)


def _angle(z: Float[Tensor, "rows 2"]) -> Float[Tensor, "rows 1"]:
    return torch.angle(_complex(z))
