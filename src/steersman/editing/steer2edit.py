"""Steer2Edit: a direction shared out to attention heads and neurons as rank-one weight edits.

For a component with map `W` (the columns of a head in the attention's output projection, or the
one column of a neuron in the MLP's) and mean input `xbar`, with `v` the direction of its layer:

    g      = cos(v, W xbar)                                    how much it writes along v already
    lambda = sgn(g) max(|g| - rho alpha, 0) / (rho (1 - alpha))          elastic net
    k      = W'v / |W'v|
    W      <- W + lambda v k'

`lambda` minimises `-g lambda + rho (alpha |lambda| + (1 - alpha) lambda^2 / 2)`: components with
`|g| <= rho alpha` are left alone. Since `k'xbar` has the sign of `g`, an edit moves the mean output
by `|lambda k'xbar|` along `+v`, never against it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.compiling import Base, Change, WeightDelta
from steersman.data import AlignedPairs, ContrastivePairs
from steersman.editing.reading import (
    BothSides,
    head_width,
    matrix,
    outer,
    plain_writers,
    read_both,
    unit,
)
from steersman.errors import CompilationError, InputError
from steersman.plant import Positions
from steersman.plant.writers import Writer, writers
from steersman.reading import Examples


@dataclass(frozen=True)
class Steer2Edit:
    """The elastic net of each part.

    Published settings of (rho_attention, rho_mlp, alpha), one for each model and behaviour, chosen
    on a grid: safety Llama-2-7B (0.18, 0.55, 0.8), Mistral-7B (0.42, 0.55, 0.75); truthfulness
    Gemma-2-2B (0.3, none, 0.9), Llama-3-8B (0.1, 0.3, 0.4); shorter reasoning Qwen3-4B-Thinking
    (none, 0.8, 0.05), Nemotron-7B (0.3, 0.9, 0.2). The defaults are the first of these; whether
    they suit another model has to be tried, on examples that the result is not judged by.

    Args:
        rho_attention: weight of the net for heads, above 0; None leaves the attention alone.
        rho_mlp: for neurons; None leaves the MLP alone.
        alpha: share of the absolute value in the net, from 0 to below 1.
        scale: what every lambda is multiplied by; 1 is the published edit, below 0 goes against
            the direction.

    Raises:
        InputError: a number out of its range, or nothing to edit.

    Source:
        Steer2Edit (arXiv 2602.09870) and its code. The directions and mean inputs are averaged over
        all response tokens there; here over each example's tokens first, then over examples, so
        that long examples do not count for more.
    """

    rho_attention: float | None = 0.18
    rho_mlp: float | None = 0.55
    alpha: float = 0.8
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        rhos = [rho for rho in (self.rho_attention, self.rho_mlp) if rho is not None]
        if not rhos or not all(rho > 0 for rho in rhos) or not 0 <= self.alpha < 1:
            raise InputError(
                f"rho is {self.rho_attention} for attention and {self.rho_mlp} for the MLP, alpha "
                f"is {self.alpha}; expected rho above 0, one at least, and 0 <= alpha < 1."
            )

    def edit(
        self,
        model: nn.Module,
        tokenizer: Any,
        pairs: ContrastivePairs | AlignedPairs,
        positions: str | Positions | None = None,
        *,
        batch_size: int = 16,
        progress: bool = True,
    ) -> WeightDelta:
        """The edits that make the model more like the desired examples.

        Args:
            model: a transformers model in evaluation mode; only read.
            tokenizer: its tokenizer.
            pairs: the examples.
            positions: where they are read; the last token, or the continuations of aligned pairs,
                where None. The paper reads all tokens of the response: "response".
            batch_size: examples at a time.
            progress: show how far it is.

        Returns:
            The change. It is a method of its own and no steering is equal to it: `exact` is false.

        Raises:
            ArchitectureError: a part that is to be edited is made of experts, or is not found.
            CompilationError: no component is above the threshold.
        """
        found = writers(model)
        heads = plain_writers(found, "attention") if self.rho_attention is not None else []
        neurons = plain_writers(found, "mlp") if self.rho_mlp is not None else []
        means = read_both(
            model,
            tokenizer,
            heads + neurons,
            Examples.of(pairs, positions),
            batch_size=batch_size,
            progress=progress,
        )
        changes: dict[str, Change] = {}
        counted = [0, 0]
        for i, (some, rho) in enumerate(((heads, self.rho_attention), (neurons, self.rho_mlp))):
            for writer in some:
                assert rho is not None
                W = matrix(model, writer)
                width = head_width(W, found.heads, writer.name) if i == 0 else 1
                v, x = _read(means, writer)
                lambdas, factors = edits(W, v, x, width, rho, self.alpha)
                counted[i] += int((lambdas != 0).sum())
                if bool(lambdas.any()):
                    changes[writer.name] = outer(writer, v, self.scale * factors)
        if not changes:
            raise CompilationError(
                "no head and no neuron writes along its layer's direction by more than rho alpha: "
                "lower rho_attention, rho_mlp or alpha."
            )
        reason = f"{counted[0]} heads and {counted[1]} neurons edited"
        return WeightDelta(changes, Base.of(model), False, reason, "steer2edit")


def edits(
    W: Float[Tensor, "n inputs"],
    v: Float[Tensor, " n"],
    x: Float[Tensor, " inputs"],
    width: int,
    rho: float,
    alpha: float,
) -> tuple[Float[Tensor, " components"], Float[Tensor, " inputs"]]:
    """What is added to a map is `v factors'`.

    Args:
        W: the map.
        v: the direction, of length one.
        x: mean input.
        width: inputs of each component: those of a head, or 1 of a neuron.
        rho: weight of the elastic net.
        alpha: share of the absolute value in it.

    Returns:
        `lambda` of each component, and `lambda k` of all of them, side by side.
    """
    components = W.reshape(W.shape[0], -1, width)
    outputs = torch.einsum("ncw,cw->cn", components, x.reshape(-1, width))
    g = (outputs @ v) / outputs.norm(dim=1).clamp(min=1e-300)
    lambdas = g.sign() * (g.abs() - rho * alpha).clamp(min=0) / (rho * (1 - alpha))
    along = torch.einsum("ncw,n->cw", components, v)
    k = along / along.norm(dim=1, keepdim=True).clamp(min=1e-300)
    return lambdas, (lambdas[:, None] * k).reshape(-1)


def _read(means: BothSides, writer: Writer) -> tuple[Tensor, Tensor]:
    """Direction of length one from a writer's outputs, and its mean input over both sides."""
    name = writer.name
    v = unit(means.desired.outputs[name] - means.undesired.outputs[name])
    return v, (means.desired.inputs[name] + means.undesired.inputs[name]) / 2
