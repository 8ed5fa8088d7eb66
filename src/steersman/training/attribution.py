"""Which tokens make a response likely: integrated gradients on the input embeddings.

    IG_i = sum_d e_id integral_0^1 d F(a e) / d e_id da,     F = log p(response | prompt)

`e` are the embeddings of an example's tokens, the baseline is zero, and `F` counts every token of
the response. Completeness: `sum_i IG_i = F(e) - F(0)`.

Source:
    Axiomatic Attribution for Deep Networks (arXiv 1703.01365).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError
from steersman.plant import HookSet, locate
from steersman.training.bench import Bench
from steersman.training.frozen import frozen
from steersman.training.written import Batch, Written


class Attributed(NamedTuple):
    """What the tokens of some examples do for their responses.

    Attributes:
        tokens: `IG_i` of every token of each example.
        likelihood: `F(e)` of each.
        baseline: `F(0)` of each.
    """

    tokens: tuple[Float[Tensor, " _"], ...]
    likelihood: Float[Tensor, " rows"]
    baseline: Float[Tensor, " rows"]

    @property
    def missing(self) -> float:
        """The share of all that was to be shared out which the steps did not find."""
        found = torch.stack([one.sum() for one in self.tokens])
        whole = self.likelihood - self.baseline
        return float((found - whole).abs().sum() / whole.abs().sum())


def integrated_gradients(bench: Bench, examples: Sequence[Written], steps: int) -> Attributed:
    """Attributions by Gauss-Legendre quadrature, on the CPU.

    Args:
        bench: the model.
        examples: with responses, at least one.
        steps: how many points of the path are looked at.

    Raises:
        InputError: no step.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}; at least 1 is needed.")
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    path = list(zip((nodes + 1) / 2, weights / 2, strict=True))
    found = [_batch(bench, part, path) for part in bench.batches(examples)]
    tokens = tuple(one for part in found for one in part.tokens)
    whole, baseline = (
        torch.cat([getattr(part, name) for part in found]) for name in ("likelihood", "baseline")
    )
    return Attributed(tokens, whole, baseline)


def _batch(
    bench: Bench, examples: Sequence[Written], path: Sequence[tuple[float, float]]
) -> Attributed:
    found = []
    for a, weight in path:
        _, embedded, gradient = _at(bench, examples, float(a))
        # The path's direction is the embeddings themselves, not where it has got to.
        found.append(float(weight) * (embedded * gradient).sum(-1).cpu())
    each = torch.stack(found).sum(0)
    starts = Batch.of(examples, bench.pad_id).starts
    rows = zip(each, starts, examples, strict=True)
    tokens = tuple(row[start : start + len(one.ids)] for row, start, one in rows)
    whole, nothing = (_at(bench, examples, a)[0].cpu() for a in (1.0, 0.0))
    return Attributed(tokens, whole, nothing)


def _at(
    bench: Bench, examples: Sequence[Written], share: float
) -> tuple[Float[Tensor, " rows"], Tensor, Tensor]:
    """`F(a e)` of each example, the embeddings `e`, and the gradient of `F` at `a e`."""
    seen: list[tuple[Tensor, Tensor]] = []

    def scale(args: Any, kwargs: Any, output: Tensor) -> Tensor:
        whole = output.detach()
        scaled = (share * whole).requires_grad_()
        seen.append((whole, scaled))
        return scaled

    with torch.inference_mode(False), torch.enable_grad(), frozen(bench.model), HookSet() as hooks:
        hooks.after(locate(bench.model).embed, scale)
        value = bench.predicted(examples, None).likelihoods
        (whole, scaled), *_ = seen
        # Rows do not see each other, so that the gradient of their sum is each row's own.
        (gradient,) = torch.autograd.grad(value.sum(), scaled)
    return value.detach(), whole, gradient
