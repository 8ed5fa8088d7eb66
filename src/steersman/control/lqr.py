"""Dense LQR: a cost and a system become gains."""

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite, require_positive, require_shape
from steersman.control.riccati import dense_riccati
from steersman.control.system import LTVSystem


def feature_gains(
    system: LTVSystem,
    directions: Float[Tensor, "blocks n *features"],
    q: float,
    r: float,
    qf: float,
) -> Float[Tensor, "blocks n *features"]:
    """The columns `g_t = K_t v_t` of the LQR gain that feature setpoints ever use.

    A feature setpoint's error is `e_t = alpha_t v_t`, so the input `K_t e_t = alpha_t g_t` needs
    `n` numbers a block instead of `n^2`; each `K_t` is dropped as soon as it is used. The error of
    several features is a combination of as many directions, such as `least_errors` gives.

    Args:
        system: the plant.
        directions: `v_t` at each block's input, `(blocks, n)`, or one a feature side by side;
            linear, so unit length is not asked for (a zero direction gives a zero gain).
        q: weight of the state error at each block input, above zero.
        r: weight of each input, above zero.
        qf: weight of the final state error, above zero. Only `q/r` and `qf/r` matter.

    Returns:
        `g_t`, in the dtype and on the device of `system.A`.

    Raises:
        ShapeError: `directions` does not belong to `system`.
        InputError: a weight is not finite and above zero.
        NumericalError: `directions` is not finite, or the recursion broke down.

    Source:
        A-LQR (arXiv 2604.19018), equation 19.
    """
    features = [("features", size) for size in directions.shape[2:]]
    require_shape("directions", directions, ("blocks", system.blocks), ("n", system.n), *features)
    require_finite("directions", directions)
    gains = system.A.new_empty(directions.shape)
    for block, K, _ in dense_riccati(system, q, r, qf):
        gains[block] = (K @ directions[block].to(K)).to(gains)
    return gains


def least_errors(
    V: Float[Tensor, "blocks n k"], along: Float[Tensor, "blocks n k"] | None = None
) -> Float[Tensor, "blocks n k"]:
    """`D_t = C_t (V_t' C_t)^-1`: `D_t e` is the state error along `C_t` whose features are `e`.

    With `C_t = V_t` it is the shortest of all, and of one unit direction that direction: the
    paper's error `(s_t - v_t' x_t) v_t`. One feature has the column `c / v'c`. Where a feature has
    no direction nothing is known of its error: its column is zero, and its contrast is no part of
    the others' columns.

    Args:
        V: the features' directions at each block's input, a column each; those that are not zero
            linearly independent.
        along: `C_t`, what states err along, a column each; None is `V_t`.

    Source:
        A-LQR (arXiv 2604.19018), theorem 4.1, for one feature; several are ours.
    """
    C = (V if along is None else along).double()
    C = C * V.any(dim=1, keepdim=True)
    inverse: Tensor = torch.linalg.pinv(V.double().mT @ C)
    return (C @ inverse).to(V)


def cost(
    system: LTVSystem,
    x0: Float[Tensor, " n"],
    inputs: Float[Tensor, "blocks n"],
    q: float,
    r: float,
    qf: float,
) -> float:
    """The regulator cost `sum_t (q|x_t|^2 + r|u_t|^2) + qf|x_T|^2` of given inputs.

    Args:
        system: the plant.
        x0: the state at the first block's input, `(n,)`.
        inputs: `u_t`, `(blocks, n)`.
        q: weight of the state at each block input, above zero.
        r: weight of each input, above zero.
        qf: weight of the final state, above zero.

    Raises:
        ShapeError: `x0` or `inputs` does not belong to `system`.
        InputError: a weight is not finite and above zero.
    """
    require_shape("x0", x0, ("n", system.n))
    require_shape("inputs", inputs, ("blocks", system.blocks), ("n", system.n))
    for name, weight in (("q", q), ("r", r), ("qf", qf)):
        require_positive(name, weight)
    x, total = x0, 0.0
    for block, u in enumerate(inputs):
        total += float(q * x.dot(x) + r * u.dot(u))
        x = system.jvp(block, x) + u
    return total + qf * float(x.dot(x))
