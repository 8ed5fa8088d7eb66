"""What attention heads add to the residual stream, by the output projection that mixes them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.errors import ArchitectureError
from steersman.plant.writers import Writer, writers


@torch.no_grad()
def mixed_heads(
    model: nn.Module, heads: Float[Tensor, "blocks width"]
) -> Float[Tensor, "blocks n"]:
    """`gain W_o a` of every block: what its heads' outputs add to the residual stream.

    The projection is run and its bias taken off, so that it may be stored in any way.

    Args:
        model: a transformers model in evaluation mode; only read.
        heads: what the heads of each block put out, side by side.

    Returns:
        On the CPU, in float32.

    Raises:
        ArchitectureError: a block has no single projection, or what it puts out does not reach the
            residual stream as it is.
    """
    found = writers(model)
    mixed = []
    for t, row in enumerate(heads):
        some = [one for one in found.each[t] if one.part == "attention"]
        mixed.append(_through(some, t, row))
    return torch.stack(mixed)


def _through(some: list[Writer], t: int, row: Float[Tensor, " width"]) -> Float[Tensor, " n"]:
    if len(some) != 1 or some[0].reach.gain is None:
        raise ArchitectureError(
            f"what the attention of block {t} puts out does not reach the residual stream as it "
            "is: it is normed first, or written by several maps, so a head has no vector there"
        )
    return some[0].reach.gain * projected(some[0].module, row).float()


@torch.no_grad()
def projected(module: nn.Module, row: Float[Tensor, " width"]) -> Float[Tensor, " n"]:
    """`W z` of an output projection, on the CPU: what it puts out beyond what it does for nothing.

    Args:
        module: the projection, with or without a bias.
        row: what it takes in.
    """
    weight = next(module.parameters())
    z = row.to(weight.device, weight.dtype if weight.is_floating_point() else torch.float32)
    both: Tensor = module(torch.stack([z, torch.zeros_like(z)])[None])[0]
    wide = both.to(torch.promote_types(both.dtype, torch.float32))
    return (wide[0] - wide[1]).cpu()
