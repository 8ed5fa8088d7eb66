"""What attention heads add to the residual stream, by the output projection that mixes them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.errors import ArchitectureError
from steersman.plant.bench import Bench, Edit
from steersman.plant.writers import Writer, Writers, writers


@torch.no_grad()
def mixed_heads(
    model: nn.Module, heads: Float[Tensor, "blocks width"]
) -> Float[Tensor, "blocks n"]:
    """`gain W_o a` of every block: what its heads' outputs add to the residual stream.

    The projection is run and its bias taken off, so that it may be stored in any way. Where a norm
    stands between the projection and the stream, it is what that norm makes of `W_o a` alone.

    Args:
        model: a transformers model in evaluation mode; only read.
        heads: what the heads of each block put out, side by side.

    Returns:
        On the CPU, in float32.

    Raises:
        ArchitectureError: the attention of a block has no single projection.
    """
    found = writers(model)
    mixed = []
    for t, row in enumerate(heads):
        some = [one for one in found.each[t] if one.part == "attention"]
        if len(some) != 1:
            raise ArchitectureError(
                f"the attention of block {t} is written by {len(some)} maps, so a head has no "
                "vector of its own there"
            )
        put = projected(some[0].module, row)
        gain = some[0].reach.gain
        mixed.append(gain * put if gain is not None else _normed(model, found, some[0], put))
    return torch.stack(mixed).float()


def _normed(
    model: nn.Module, found: Writers, writer: Writer, put: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """What reaches a block's output when the attention puts this out, and nothing else does."""
    t = writer.block
    assert t is not None
    silent: dict[nn.Module, Edit] = {one.module: torch.zeros_like for one in found.each[t]}
    bench = Bench(model, found.blocks)
    bare = bench.run(silent)[t]
    alone = bench.run(silent | {writer.module: lambda y: put.to(y).expand_as(y)})[t]
    moved: Tensor = (alone - bare)[0, -1]
    return moved.cpu()


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
