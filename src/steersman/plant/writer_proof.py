"""Proofs by forwards: what is added to a writer's output reaches the residual stream, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.plant.bench import Bench, Edit

_ROUNDINGS = 16
"""How many roundings of the model's precision a measured move may be off by."""


@dataclass(frozen=True, eq=False)
class Reach:
    """How what is added to a writer's output reaches its block's output.

        d added to the writer's output, the block's other writers silent:  y moves by g d

    Args:
        along: whether the block's output moves along `d` at every token, by whatever `g`.
        gain: `g`, where it is the same at every token; None where it is not.
        read: whether another part of the block reads the sum, so that with nothing silent the
            block's output moves in other ways as well.
        norm: the weight `w` of a root-mean-square norm that its output `z` goes through, so that
            `w z / rms(z)` is added; None where there is none, or another.
    """

    along: bool
    gain: float | None
    read: bool
    norm: Float[Tensor, " n"] | None = None


def complete(bench: Bench, modules: Sequence[Sequence[nn.Module]]) -> int | None:
    """The first block whose output is not its input when its writers are silent; None of none."""
    outputs = bench.run({module: torch.zeros_like for some in modules for module in some})
    for t, (x, y) in enumerate(zip(bench.inputs, outputs, strict=True)):
        if not torch.equal(x, y.to(x.device)):
            return t
    return None


def reaches(
    bench: Bench,
    modules: Sequence[Sequence[nn.Module]],
    silent: Sequence[Sequence[nn.Module]] | None = None,
    usual: Sequence[float] = (1.0,),
) -> list[list[Reach]]:
    """How the output of each module reaches its block's, the `i`-th of every block at a time.

    Args:
        bench: the model at work.
        modules: of each block.
        silent: what is silenced of each block beside the module that is tried; all of `modules`
            where None.
        usual: gains that are taken at their word where they are measured up to rounding.
    """
    found: list[list[Reach]] = [[] for _ in modules]
    for i in range(max((len(some) for some in modules), default=0)):
        tried = {t: some[i] for t, some in enumerate(modules) if i < len(some)}
        silence: dict[nn.Module, Edit] = {
            m: torch.zeros_like
            for t, some in enumerate(modules if silent is None else silent)
            for m in some
            if m is not tried.get(t)
        }
        pushes = {t: _push(bench.outputs[t]) for t in tried}
        edits: dict[nn.Module, Edit] = {m: partial(_moved, pushes[t]) for t, m in tried.items()}
        before, after, free = (bench.run(e) for e in (silence, {**silence, **edits}, edits))
        for t, d in pushes.items():
            alone, together = after[t] - before[t], free[t] - bench.outputs[t]
            far = (alone - together).norm(dim=-1).max() / d.norm()
            read = bool(far > 2 * _ROUNDINGS * torch.finfo(d.dtype).eps)
            along, gain = _gain(alone, d, usual)
            found[t].append(Reach(along, gain, read))
        if not all(found[t][-1].along for t in tried):
            _find_norms(bench, tried, silence, found)
    return found


def _find_norms(
    bench: Bench,
    tried: Mapping[int, nn.Module],
    silence: Mapping[nn.Module, Edit],
    found: list[list[Reach]],
) -> None:
    """Put vectors of ones and of signs in the place of outputs: a norm gives `w` and `w signs`."""
    n = bench.outputs[0].shape[-1]
    signs = torch.ones(n, dtype=torch.float64)
    signs[::2] = -1.0
    weights, signed = (
        bench.run({**silence, **{m: partial(_instead, z) for m in tried.values()}})
        for z in (torch.ones(n, dtype=torch.float64), signs)
    )
    for t in tried:
        x, last = bench.inputs[t], found[t][-1]
        w, other = ((y - x.to(y)).to(torch.float64).reshape(-1, n) for y in (weights[t], signed[t]))
        scale = w[0].abs().max()
        most = _ROUNDINGS * torch.finfo(x.dtype).eps * max(float(x.abs().max()), float(scale))
        same = bool(
            ((other - w * signs.to(w)).abs() <= most).all() & ((w - w[0]).abs() <= most).all()
        )
        if not last.along and same and bool((w[0].abs() > most).all()):
            found[t][-1] = replace(last, norm=w.mean(0))


def _instead(z: Tensor, output: Tensor) -> Tensor:
    return z.to(output).expand_as(output)


def embeddings_reach(bench: Bench, modules: Sequence[nn.Module]) -> Reach:
    """How the embeddings reach the first block: along, where without them it receives zero."""
    silent = bench.first_input({module: torch.zeros_like for module in modules})
    direct = not bool(silent.any())
    return Reach(direct, None, False)


def _push(y: Tensor) -> Tensor:
    """A vector as long as the states, the same every time."""
    seeded = torch.Generator().manual_seed(0)
    d = torch.randn(y.shape[-1], generator=seeded, dtype=torch.float64).to(y)
    return torch.as_tensor(d * (y.norm(dim=-1).mean() / d.norm()))


def _moved(d: Tensor, output: Tensor) -> Tensor:
    return output + d.to(output)


def _gain(moved: Tensor, d: Tensor, usual: Sequence[float]) -> tuple[bool, float | None]:
    """Whether every token moved along `d`, and by how many times it where that is one number."""
    wide = torch.promote_types(moved.dtype, torch.float32)
    moves, along = moved.to(wide).reshape(-1, d.numel()), d.to(moved.device, wide)
    factors = moves @ along / (along @ along)
    most = _ROUNDINGS * torch.finfo(d.dtype).eps
    beside = (moves - factors[:, None] * along).norm(dim=1) / along.norm()
    if bool((beside > most).any()) or bool((factors.abs() <= most).all()):
        return False, None
    mean = float(factors.mean())
    if bool(((factors - mean).abs() > most).any()):
        return True, None
    return True, next((one for one in usual if _near(one, mean, d.dtype)), mean)


def _near(one: float | None, other: float | None, dtype: torch.dtype) -> bool:
    """Whether two gains are the same up to rounding."""
    if one is None or other is None:
        return False
    return abs(one - other) <= _ROUNDINGS * torch.finfo(dtype).eps
