"""How every feature answers to a deviation of every state before it."""

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite, require_real
from steersman.control.propagate import Product
from steersman.errors import ShapeError


def sensitivities(
    pull: Product, V: Float[Tensor, "states n k"]
) -> Float[Tensor, "states states n k"]:
    """The features of every state, pulled back to every state before it.

        S[t, s] = Phi(s, t)' V_s     t <= s,     Phi(s, t) = Phi_{s-1} .. Phi_t,     Phi(t, t) = I

    so that on a plant that is pushed off its linear course, `d_{t+1} = Phi_t d_t + w_t`, the
    feature goes wrong by exactly

        V_s' d_s = S[0, s]' d_0 + sum_{i<s} S[i+1, s]' w_i.

    The plant is asked for `k T (T + 1) / 2` products with one column each, in `T` calls; no matrix
    of its width is made. A state whose directions are all zero asks for nothing and costs nothing:
    with the last state's alone there are `k T` products.

    Args:
        pull: `(block, W) -> Phi_t' W`: of the plant, or of its closed loop.
        V: the features' directions at `x_0 .. x_T`, `(states, n, k)`, float32 or float64.

    Returns:
        `S`, in the dtype of `V`; zero where `t > s`.

    Raises:
        ShapeError: `V` is not `(states, n, k)` with at least two states.
        NumericalError: NaN or infinity in `V`, or in what the plant gives.
    """
    if V.ndim != 3 or V.shape[0] < 2 or 0 in V.shape:
        raise ShapeError(f"V has shape {tuple(V.shape)}; expected (states, n, k), states >= 2.")
    require_real("V", V)
    states, n, k = V.shape
    found = torch.zeros(states, states, n, k, dtype=V.dtype, device=V.device)
    found[range(states), range(states)] = V
    asked = V.flatten(1).any(dim=1)
    for t in reversed(range(states - 1)):
        behind = [s for s in range(t + 1, states) if bool(asked[s])]
        if behind:
            columns = found[t + 1, behind].permute(1, 0, 2).reshape(n, -1)
            pulled = pull(t, columns).to(V)
            require_finite(f"Phi_{t}' W as given by pull", pulled)
            found[t, behind] = pulled.reshape(n, -1, k).permute(1, 0, 2)
    return found


def answer(
    S: Float[Tensor, "states states n k"],
    w: Float[Tensor, "*rows blocks n"],
) -> Float[Tensor, "*rows blocks states k"]:
    """What each disturbance does to each feature: `S[i+1, s]' w_i`, `(.., block, state, feature)`.

    Summed over the blocks it is the error of the features, `V_s' d_s` from `d_0 = 0`.

    Args:
        S: as `sensitivities` gives them.
        w: what is added at the output of each block beyond the linear course, of any rows.

    Raises:
        ShapeError: the two do not belong together.
    """
    if w.ndim < 2 or tuple(w.shape[-2:]) != (S.shape[0] - 1, S.shape[2]):
        raise ShapeError(
            f"w has shape {tuple(w.shape)}; expected (.., blocks={S.shape[0] - 1}, n={S.shape[2]})."
        )
    return torch.einsum("isnk,...in->...isk", S[1:], w.to(S))
