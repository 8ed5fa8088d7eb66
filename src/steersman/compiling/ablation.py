"""Directional ablation in the weights: no writer writes along a direction any more.

    W <- (I - V V') W      b <- (I - V V') b      for the embedding and every block's last maps

Then `V'x_t = 0` at every state, as where hooks do `x <- x - V V'x` after every writer. Exact, since
a sum of what has no part along `V` has none; but only where every writer is edited and what it puts
out is added as it is. Behind a norm of its output, `y = w z / |z|`, no projection of `z` does the
same. The nearest, `z <- D^-1 (I - V V') D z` with `D = diag(w)`, takes the direction away but makes
the rest of what is added longer, by as much as `z` became shorter.

Where the embedding is the head as well the two are told apart: the head stays as it is. Projecting
it too, as an edit of the shared tensor does, would take the direction out of the logits, which the
hooks do not.

Source:
    Arditi et al. 2024 (arXiv 2406.11717), weight orthogonalisation. One direction of length one is
    used everywhere there, from one block.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.compiling.base import Base
from steersman.compiling.change import Change, Dense, LowRank
from steersman.compiling.delta import WeightDelta
from steersman.errors import CompilationError, InputError, ShapeError
from steersman.plant import locate, unwrap
from steersman.plant.bench import Bench
from steersman.plant.swapping import parameter_at
from steersman.plant.writers import Writer, Writers, writers

_LEFT = 1e-3


def ablate(
    model: nn.Module,
    directions: Float[Tensor, "n *k"],
    *,
    approximate: bool = False,
) -> WeightDelta:
    """Take one or several directions out of all that writes into the residual stream.

    Args:
        model: a transformers model in evaluation mode; only read.
        directions: `V`, `(n,)` or `(n, k)`, of any length and angles; their span is taken out.
        approximate: go on where a writer's output is normed before it is added, or where the
            embedding does not arrive as it is.

    Returns:
        The change; `exact` where `V'x_t` is zero up to rounding at every state of a forward over a
        few tokens and nothing is normed, which is measured.

    Raises:
        ShapeError: the directions are not of the model's width.
        InputError: they are not finite, zero or linearly dependent.
        CompilationError: it is not exact, without `approximate`.
        ArchitectureError: the writers of the model are not found.
    """
    found = writers(model)
    V = _orthonormal(directions, found.blocks.n)
    changes: dict[str, Change] = {}
    inner = unwrap(model)
    with torch.no_grad():
        for writer in found.all:
            changes |= _without(inner, writer, V)
    obstacle = _obstacle(found)
    base = Base.of(model)
    delta = WeightDelta(changes, base, obstacle is None, obstacle or _EXACT, "ablation")
    left = _left(model, delta, V)
    if obstacle is None and left > _LEFT:
        obstacle = f"{left:.2g} of a state is left along the directions"
    if obstacle is not None and not approximate:
        raise CompilationError(
            f"directional ablation is not exact in the weights of this model: {obstacle}. Attach a "
            "steering instead, or pass approximate=True."
        )
    if obstacle is None:
        return delta
    told = f"{obstacle}; up to {left:.2g} of a state is left along the directions"
    return WeightDelta(changes, base, False, told, "ablation")


_EXACT = "every writer is edited, and what it puts out is added as it is"


def _orthonormal(directions: Float[Tensor, "n *k"], n: int) -> Float[Tensor, "n k"]:
    """An orthonormal basis of the directions, in float64."""
    if directions.ndim not in (1, 2) or directions.shape[0] != n:
        raise ShapeError(f"directions have shape {tuple(directions.shape)}; expected ({n},) or k.")
    V = directions.detach().to("cpu", torch.float64).reshape(n, -1)
    if not bool(V.isfinite().all()):
        raise InputError("a direction holds NaN or infinity.")
    Q, R = torch.linalg.qr(V)
    sizes = R.diagonal().abs()
    if not bool((sizes > 1e-9 * V.norm(dim=0).max().clamp(min=1e-300)).all()):
        raise InputError("a direction is zero, or is made of the others: leave it out.")
    return torch.as_tensor(Q)


def _without(model: nn.Module, writer: Writer, V: Float[Tensor, "n k"]) -> dict[str, Change]:
    """The changes to a writer's weight and bias."""
    weight = parameter_at(model, writer.name)
    assert weight is not None
    if not weight.is_floating_point() or weight.dtype.itemsize < 2 or weight.device.type == "meta":
        raise CompilationError(
            f"{writer.name} is {weight.dtype} on {weight.device.type}: load the model unquantised "
            "and not offloaded to change its weights."
        )
    keep = torch.promote_types(weight.dtype, torch.float32)
    W, V = weight.detach().to(torch.float64), V.to(weight.device)
    left, right = _projector(writer, V)
    if writer.axis == -2:  # rows run along the residual stream
        factors = LowRank((-left).to(keep), (right.T @ W).to(keep))
    else:
        factors = LowRank((-(W @ right)).to(keep), left.T.to(keep))
    changes: dict[str, Change] = {writer.name: factors}
    if writer.biased and writer.bias is not None:
        bias = parameter_at(model, writer.bias)
        assert bias is not None
        b = bias.detach().to(torch.float64)
        changes[writer.bias] = Dense((-(b @ right) @ left.T).to(keep))
    return changes


def _projector(writer: Writer, V: Float[Tensor, "n k"]) -> tuple[Tensor, Tensor]:
    """`L`, `R` of the projection `I - L R'`: `V, V`, or `D^-1 V, D V` in front of a norm's `D`."""
    w = writer.reach.norm
    if writer.reach.along or w is None:
        return V, V
    D = w.to(V)[:, None]
    return V / D, D * V


def _obstacle(found: Writers) -> str | None:
    """Why ablation is not exact; None where it is."""
    if any(not one.reach.along for one in found.embeddings) or not found.embeddings:
        return "what the embedding puts out is changed before the first block receives it"
    normed = [one.name for one in found.all if not one.reach.along]
    if normed:
        return (
            f"what {normed[0]} puts out is normed before it is added, so that its projection is "
            "not the projection of what is added"
        )
    return None


def _left(model: nn.Module, delta: WeightDelta, V: Float[Tensor, "n k"]) -> float:
    """The largest share of any state that lies along the directions, over a few tokens."""
    with delta.apply(model):
        bench = Bench(model, locate(model))
    states = [*bench.inputs[:1], *bench.outputs]
    along = [(x.to(torch.float64) @ V.to(x.device)).norm(dim=-1) for x in states]
    sizes = [x.to(torch.float64).norm(dim=-1) for x in states]
    return max(float((a / s.clamp(min=1e-30)).max()) for a, s in zip(along, sizes, strict=True))
