"""What weight edits read from examples: the means of writers on both sides, and heads of a map."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.compiling import LowRank
from steersman.errors import ArchitectureError
from steersman.plant import unwrap
from steersman.plant.swapping import parameter_at
from steersman.plant.writer_means import WriterMeans, capture_writer_means
from steersman.plant.writers import Writer, Writers
from steersman.reading import Examples


@dataclass(frozen=True, eq=False)
class BothSides:
    """Means of the desired and of the undesired examples."""

    desired: WriterMeans
    undesired: WriterMeans


def plain_writers(found: Writers, part: str) -> list[Writer]:
    """The writers of one part, in the order of the blocks.

    Raises:
        ArchitectureError: one is made of experts, or is not told from another part.
    """
    some = [w for w in found.all if w.part == part]
    odd = [w.name for w in some if w.name.rpartition(".")[2] != "weight"]
    blocks = {w.block for w in some}
    if odd or len(blocks) != len(found.blocks):
        raise ArchitectureError(
            f"the {part} of this model has no single linear map in each block"
            + (f" ({odd[0]} are experts)" if odd else "")
            + ": edit the other part only."
        )
    return some


def read_both(
    model: nn.Module,
    tokenizer: Any,
    writers: list[Writer],
    examples: Examples,
    *,
    batch_size: int,
    progress: bool,
) -> BothSides:
    """The means of both sides, each example's tokens averaged first."""
    desired, undesired = (
        capture_writer_means(
            model,
            tokenizer,
            writers,
            side,
            examples.positions,
            batch_size=batch_size,
            prompts=openings,
            progress=progress,
        )
        for side, openings in examples.sides()
    )
    return BothSides(desired, undesired)


def matrix(model: nn.Module, writer: Writer) -> Float[Tensor, "n inputs"]:
    """A writer's map `W` from its input to the residual stream, in float64 on the CPU."""
    weight = parameter_at(unwrap(model), writer.name)
    if weight is None or not weight.is_floating_point() or weight.dtype.itemsize < 2:
        raise ArchitectureError(f"{writer.name} is quantised: load the model unquantised.")
    W = weight.detach().to("cpu", torch.float64)
    return W if writer.axis == -2 else W.T


def head_width(W: Float[Tensor, "n inputs"], heads: int, name: str) -> int:
    """How many of a map's inputs each head has, side by side.

    Raises:
        ArchitectureError: the inputs are not shared out evenly among the heads.
    """
    if heads < 1 or W.shape[1] % heads:
        raise ArchitectureError(f"{name} has {W.shape[1]} inputs, not so many for {heads} heads.")
    return W.shape[1] // heads


def unit(v: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Of length one; zero stays zero."""
    return torch.as_tensor(v / v.norm().clamp(min=1e-300))


def outer(writer: Writer, v: Float[Tensor, " n"], factors: Float[Tensor, " inputs"]) -> LowRank:
    """`v factors'` in the layout of a writer's weight; float64 for one, float32 for any other."""
    left, right = (v, factors) if writer.axis == -2 else (factors, v)
    weight: Any = writer.module.weight
    keep = torch.promote_types(weight.dtype, torch.float32)
    return LowRank(left[:, None].to(keep), right[None].to(keep))
