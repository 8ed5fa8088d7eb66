"""The one loop that runs a linear plant through its blocks."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Product = Callable[[int, Float[Tensor, "n m"]], Float[Tensor, "n m"]]
"""A product with the plant at one block: `(t, W) -> A_t' W` (pull) or `(t, X) -> A_t X` (push)."""


def propagate(
    push: Product,
    blocks: int,
    x0: Float[Tensor, " n"],
    act: Callable[[int, Float[Tensor, " n"]], Float[Tensor, " n"]],
) -> tuple[Float[Tensor, "states n"], Float[Tensor, "blocks n"]]:
    """Run `x_{t+1} = A_t x_t + u_t`, `u_t = act(t, x_t)`.

    Args:
        push: `(block, X) -> A_t X`; asked for one column at every block.
        blocks: T.
        x0: the state at the first block's input.
        act: what is added at the output of each block.

    Returns:
        The states `x_0 .. x_T` and the inputs `u_0 .. u_{T-1}`.
    """
    states, inputs = [x0], []
    for block in range(blocks):
        inputs.append(act(block, states[-1]).to(x0))
        moved = push(block, states[-1].unsqueeze(1)).to(x0).squeeze(1)
        states.append(moved + inputs[-1])
    return torch.stack(states), torch.stack(inputs)
