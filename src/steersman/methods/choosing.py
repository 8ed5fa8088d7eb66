"""Which blocks act, by what the examples show: pure functions, and their names."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from steersman.directions import OneForAll
from steersman.directions.probe import fit_logistic
from steersman.errors import InputError
from steersman.methods.base import Method
from steersman.methods.evidence import Evidence

RIDGE, FOLDS = 0.01, 5
Chosen = str | tuple[int, ...]
"""Blocks by the name of a rule, or by their numbers; none is all of them."""
_M = TypeVar("_M", bound=Method)


def opposed_blocks(
    desired: Float[Tensor, " blocks"], undesired: Float[Tensor, " blocks"]
) -> tuple[int, ...]:
    """Blocks where the means of the two sides have opposite signs, `mean_+ mean_- < 0`.

    Args:
        desired: mean feature of the desired examples at each block.
        undesired: of the undesired ones.

    Source:
        Selective Steering, https://github.com/knoveleng/steering.
    """
    return _numbers(desired * undesired < 0)


def strongest_blocks(
    scores: Float[Tensor, " blocks"], count: int, what: str = "blocks"
) -> tuple[int, ...]:
    """The blocks with the largest scores, in the order they run; of equal ones the earlier.

    Args:
        scores: one for each block.
        count: how many are wanted.
        what: they are, where they are parts of blocks.

    Raises:
        InputError: there are not as many.
    """
    if not 1 <= count <= len(scores):
        raise InputError(f"{count} {what} are wanted; the model has {len(scores)}.")
    order = torch.argsort(scores, descending=True, stable=True)
    return tuple(sorted(order[:count].tolist()))


def probe_accuracy(
    desired: Float[Tensor, "desired blocks n"], undesired: Float[Tensor, "undesired blocks n"]
) -> Float[Tensor, " blocks"]:
    """The share of examples that a probe of the others puts on their side, at each block.

    The mean over the two sides; the probes are those of `probe_scores`.

    Args:
        desired: states of the desired examples.
        undesired: of the undesired ones.

    Raises:
        InputError: fewer than two examples of a side.
    """
    up, down = probe_scores(desired, undesired)
    return ((up > 0).double().mean(0) + (down < 0).double().mean(0)) / 2


def probe_auc(
    desired: Float[Tensor, "desired blocks n"], undesired: Float[Tensor, "undesired blocks n"]
) -> Float[Tensor, " blocks"]:
    """How often a probe of the others ranks a desired example above an undesired one.

        AUC = mean_ij ( [s_i > s_j] + [s_i = s_j] / 2 ),     i desired, j undesired

    Args:
        desired: states of the desired examples.
        undesired: of the undesired ones.

    Raises:
        InputError: fewer than two examples of a side.
    """
    up, down = probe_scores(desired, undesired)
    apart = up[:, None] - down[None]
    return ((apart > 0).double() + (apart == 0).double() / 2).mean((0, 1))


def probe_scores(
    desired: Float[Tensor, "desired blocks n"], undesired: Float[Tensor, "undesired blocks n"]
) -> tuple[Float[Tensor, "desired blocks"], Float[Tensor, "undesired blocks"]]:
    """What a probe of the others says of each example, at each block: `v'x + b`.

    A logistic regression with a small ridge; examples `i, i + 5, ..` of both sides are left out
    together, so that pairs are never split.

    Args:
        desired: states of the desired examples.
        undesired: of the undesired ones.

    Raises:
        InputError: fewer than two examples of a side.
    """
    fewest = min(len(desired), len(undesired))
    if fewest < 2:
        raise InputError(f"a probe on examples left out needs two of each side, not {fewest}.")
    folds = min(FOLDS, fewest)
    sides = (desired.double(), undesired.double())
    scores = [torch.zeros(side.shape[:2], dtype=torch.float64) for side in sides]
    for fold in range(folds):
        out = [torch.arange(len(side)) % folds == fold for side in sides]
        for block in range(desired.shape[1]):
            rest = [side[~mine, block] for side, mine in zip(sides, out, strict=True)]
            signs = torch.cat([torch.ones(len(rest[0])), -torch.ones(len(rest[1]))]).double()
            v, b = fit_logistic(torch.cat(rest), signs, (RIDGE,))
            for side, mine, found in zip(sides, out, scores, strict=True):
                found[mine, block] = side[mine, block] @ v[0] + b[0]
    return scores[0], scores[1]


def _opposed(evidence: Evidence) -> tuple[int, ...]:
    origin, norm = evidence.direction.origin[:-1], evidence.direction.norm[:-1]
    found = opposed_blocks(origin + norm, origin)
    if not found:
        raise InputError(
            "the feature of the desired and the undesired mean has the same sign at every "
            "block, so none is opposed: name the blocks, or let all of them act."
        )
    return found


def _signs(evidence: Evidence) -> tuple[int, ...]:
    """By the normalised outputs along the contrast that is most like all others."""
    sides = evidence.require_sides("blocks='signs'")
    v = OneForAll("sim").read_each(*sides, evidence.direction.norm > 0)[1:]
    up, down = ((normalize(side[:, 1:].double(), dim=-1) * v).sum(-1).mean(0) for side in sides)
    found = opposed_blocks(up, down)
    if not found:
        nearest = int(torch.where(v.any(-1), torch.minimum(up, -down), -torch.inf).argmax())
        warnings.warn(
            "at no block do the two sides lie on opposite sides of zero, so that none would be "
            f"selected: block {nearest}, which comes nearest to it, is.",
            stacklevel=2,
        )
        return (nearest,)
    return found


def _top(evidence: Evidence, count: int) -> tuple[int, ...]:
    return strongest_blocks(evidence.direction.separation[1:], count)


def _probed(evidence: Evidence, count: int) -> tuple[int, ...]:
    desired, undesired = evidence.require_sides("blocks='probe:K'")
    return strongest_blocks(probe_accuracy(desired[:, 1:], undesired[:, 1:]), count)


_PLAIN: dict[str, Callable[[Evidence], tuple[int, ...]]] = {
    "all": lambda evidence: (),
    "opposed": _opposed,
    "signs": _signs,
}
_COUNTED: dict[str, Callable[[Evidence, int], tuple[int, ...]]] = {"top": _top, "probe": _probed}


def chosen_blocks(chosen: Chosen, evidence: Evidence) -> tuple[int, ...]:
    """The numbers of the blocks that a name stands for; empty is all of them.

    Args:
        chosen: "all"; "opposed", by the feature of the means at a block's input; "signs", by the
            normalised outputs along the contrast most like all others; "top:K", by the separation
            d' at its output; "probe:K", by the accuracy of a probe there on examples left out; or
            numbers, which are returned as they are.
        evidence: what the examples show.

    Raises:
        InputError: no such rule, or one that these examples do not answer.
    """
    if not isinstance(chosen, str):
        return chosen
    if chosen in _PLAIN:
        return _PLAIN[chosen](evidence)
    kind, _, count = chosen.partition(":")
    if kind not in _COUNTED or not count.isdecimal():
        known = ", ".join((*_PLAIN, *(f"{name}:K" for name in _COUNTED)))
        raise InputError(f"blocks is {chosen!r}; choose one of {known}, or give numbers.")
    return _COUNTED[kind](evidence, int(count))


def with_blocks(method: _M, evidence: Evidence) -> _M:
    """The method with its blocks by number, where it has any by name."""
    chosen = getattr(method, "blocks", ())
    if not isinstance(chosen, str):
        return method
    # Not every method has the field, which is what was just found out.
    return replace(method, **{"blocks": chosen_blocks(chosen, evidence)})  # type: ignore[type-var]


def _numbers(chosen: Bool[Tensor, " blocks"]) -> tuple[int, ...]:
    return tuple(chosen.nonzero().flatten().tolist())
