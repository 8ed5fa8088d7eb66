"""Cubic splines through points that are one apart."""

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_real
from steersman.errors import InputError, ShapeError


def spline(
    points: Float[Tensor, "points k"], periodic: bool = False
) -> Float[Tensor, "pieces 4 k"]:
    """The cubic spline `g` with `g(i) = points_i`, twice continuously differentiable.

        g(i + s) = c_i0 + c_i1 s + c_i2 s^2 + c_i3 s^3,   0 <= s <= 1

    Open, it is the natural spline: `g'' = 0` at both ends, a straight line for two points.
    Periodic, it closes behind the last point, `g(N) = g(0)`.

    Args:
        points: at 0, 1, 2 and so on, float32 or float64.
        periodic: whether the curve is closed.

    Returns:
        `c`, of `N - 1` pieces, or of `N` where it is periodic.

    Raises:
        ShapeError: `points` is not `(points, k)`.
        InputError: fewer than two points, or than three of a closed curve; half precision.
        NumericalError: NaN or infinity.
    """
    least = 3 if periodic else 2
    if points.ndim != 2:
        raise ShapeError(f"points has shape {tuple(points.shape)}; expected (points, k).")
    if len(points) < least:
        raise InputError(f"{len(points)} points span no such curve; give at least {least}.")
    require_real("points", points)
    bent = _bends(points, periodic)
    y = torch.cat([points, points[:1]]) if periodic else points
    M = torch.cat([bent, bent[:1]]) if periodic else bent
    y0, y1, M0, M1 = y[:-1], y[1:], M[:-1], M[1:]
    return torch.stack([y0, y1 - y0 - (2 * M0 + M1) / 6, M0 / 2, (M1 - M0) / 6], dim=1)


def _bends(points: Float[Tensor, "points k"], periodic: bool) -> Float[Tensor, "points k"]:
    """`g''` at every point: `M_{i-1} + 4 M_i + M_{i+1} = 6 (y_{i-1} - 2 y_i + y_{i+1})`."""
    n = len(points)
    eye = torch.eye(n, dtype=points.dtype, device=points.device)
    shifted = torch.roll(eye, 1, 0) + torch.roll(eye, -1, 0)
    system, right = 4 * eye + shifted, 6 * (shifted - 2 * eye) @ points
    if not periodic:
        system[[0, -1]], right[[0, -1]] = eye[[0, -1]], 0.0
    bends: Tensor = torch.linalg.solve(system, right)
    return bends
