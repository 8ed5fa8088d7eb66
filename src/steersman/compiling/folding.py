"""A schedule in the biases: `y_t = f_t(x_t) + u_t` with `u_t` in the last map of the block.

    y = x + ... + g (W h + b)      b <- b + u_t / g

Exact up to rounding where every token is steered by the same schedule. Feedback has no such form:
`u = G (s - H'x)` takes `G H'x` from the block's input, which goes around the block by the skip
connection, and no weight stands in that.
"""

import torch
from torch import Tensor, nn

from steersman.artifact import Parts
from steersman.attaching import channel_of
from steersman.compiling.base import Base
from steersman.compiling.change import Change, Dense
from steersman.compiling.delta import WeightDelta
from steersman.compiling.verdict import Verdict
from steersman.engines import Channel, TokenRule, tokens_named
from steersman.errors import CompilationError
from steersman.plant import HookSet, Site, find_sites, locate
from steersman.plant.bench import Bench
from steersman.plant.mixing import projected
from steersman.plant.writers import Writer, Writers, writers
from steersman.request import Request

_ROUNDINGS = 32


def verdict_of(parts: Parts, request: Request, model: nn.Module) -> Verdict:
    """Whether what is asked of a steering is a change of weights, and why or why not.

    Args:
        parts: what the steering is made of.
        request: what is asked of it.
        model: the model.

    Raises:
        InputError: the request contradicts itself or the steering.
    """
    channel = channel_of(parts, request, model)
    if request.relinearize != "fit":
        return Verdict(
            "not",
            f"it is solved again at each {request.relinearize}, and weights are the same for all",
            "relinearize='fit'",
        )
    if request.count:
        return Verdict(
            "not",
            "each prompt has a target of its own, and weights are the same for all",
            "one target for all",
        )
    inputs = _inputs(channel)
    if parts.gate.soft is not None:
        return Verdict(
            "not",
            "its soft gate makes what it adds depend on the state",
            "steering.softly(None), for all of it",
        )
    if inputs is None:
        return Verdict("not", _why_not(request), "execution='plan' with tokens='all'")
    if channel.condition is not None:
        return Verdict(
            "not",
            "it acts for prompts that meet a condition, and weights are the same for all",
            "steering.when(None), for every prompt",
        )
    if channel.rule.name != "all":
        return Verdict(
            "approximate",
            f"it acts {_where(channel.rule, parts)}, and a bias acts at every token, the prompt's "
            "others too",
            "tokens='all', which is exact",
        )
    return Verdict("exact", "a schedule at every token is a bias of each block's last map", "")


def _where(rule: TokenRule, parts: Parts) -> str:
    """At which tokens, in words."""
    if rule.name == "last":
        return "from the prompt's last token on"
    read = parts.provenance.decision_tokens
    if read and rule == tokens_named("matching").with_ids(read):
        return "at the kinds of token where its examples were read"
    return f"at tokens={rule.name!r}"


def fold(parts: Parts, request: Request, model: nn.Module, *, approximate: bool) -> WeightDelta:
    """The schedule of a steering in the biases of the blocks.

    Args:
        parts: what the steering is made of.
        request: what is asked of it.
        model: the model.
        approximate: take the nearest where nothing is exact.

    Raises:
        CompilationError: it is no schedule; it is not for all tokens, without `approximate`; or a
            block has no place for a bias that reaches its output as it is.
        ArchitectureError: the writers of the model are not found.
    """
    found = verdict_of(parts, request, model)
    if found.verdict == "not" or (found.verdict == "approximate" and not approximate):
        raise CompilationError(f"this is not compiled exactly: {found.reason}. {found.advice}")
    inputs = _inputs(channel_of(parts, request, model))
    assert inputs is not None
    site, found_writers = parts.method.site, writers(model)
    if site == "block":
        changes = folded(found_writers, inputs)
    else:
        changes = folded_inside(found_writers, inputs, site)
    if not changes:
        raise CompilationError("this schedule adds nothing at any block: nothing to compile.")
    exact = found.verdict == "exact"
    delta = WeightDelta(changes, Base.of(model), exact, found.reason, "bias")
    _prove(model, delta, inputs, site)
    return delta


def folded(all_writers: Writers, inputs: tuple[Tensor | None, ...]) -> dict[str, Change]:
    """What is added to biases so that block `t` adds `inputs[t]`.

    Args:
        all_writers: what writes into the residual stream.
        inputs: `u_t`, `(n,)` for each block; None of a block that does not act.

    Raises:
        CompilationError: a block has no place for it.
    """
    changes: dict[str, Change] = {}
    for t, u in enumerate(inputs):
        if u is None or not bool(u.any()):
            continue
        writer = _carrier(all_writers, t)
        gain = writer.reach.gain
        assert writer.bias is not None and gain is not None
        # Experts get the same bias each, which is exact where their weights sum to one.
        changes[writer.bias] = Dense((u / gain).expand(writer.bias_shape).contiguous())
    return changes


def folded_inside(
    all_writers: Writers, inputs: tuple[Tensor | None, ...], site: Site
) -> dict[str, Change]:
    """What is added to biases so that block `t` holds `inputs[t]` more at a site.

        heads:  W (a + u) + b = W a + (b + W u)

    Args:
        all_writers: what writes into the residual stream.
        inputs: `u_t`, as wide as the site; None of a block that does not act.
        site: where in the blocks.

    Raises:
        CompilationError: no bias is at the site.
    """
    part = {"heads": "attention", "attention": "attention", "mlp": "mlp"}.get(site)
    changes: dict[str, Change] = {}
    for t, u in enumerate(inputs):
        if u is None or not bool(u.any()):
            continue
        some = [w for w in all_writers.each[t] if w.part == part]
        if len(some) != 1 or some[0].bias is None:
            raise CompilationError(
                f"block {t} has no bias that moves what it holds at {site!r} and nothing else: "
                "attach the steering instead."
            )
        push = projected(some[0].module, u) if site == "heads" else u
        changes[some[0].bias] = Dense(push.expand(some[0].bias_shape).contiguous())
    return changes


def _prove(
    model: nn.Module, delta: WeightDelta, inputs: tuple[Tensor | None, ...], site: Site
) -> None:
    """Run a few tokens with the biases: each block, held at its input, puts out what it should."""
    bench = Bench(model, locate(model))
    with delta.apply(model):
        outputs = bench.run({})
    moved = _moved(model, bench, inputs, site)
    for t, (wanted, before, after) in enumerate(zip(moved, bench.outputs, outputs, strict=True)):
        off = float((after - wanted).norm(dim=-1).max())
        most = _ROUNDINGS * torch.finfo(before.dtype).eps * float(before.norm(dim=-1).max())
        if off > most:
            raise CompilationError(
                f"the bias folded into block {t} moves its output by other than was asked (off by "
                f"{off:.3g}, rounding explains {most:.3g}): attach the steering instead."
            )


def _moved(
    model: nn.Module, bench: Bench, inputs: tuple[Tensor | None, ...], site: Site
) -> list[Tensor]:
    """What every block should put out."""
    if site == "block":
        pairs = zip(inputs, bench.outputs, strict=True)
        return [y if u is None else y + u.to(y) for u, y in pairs]

    def push(t: int, z: Tensor) -> Tensor | None:
        u = inputs[t]
        return None if u is None else z + u.to(z)

    with HookSet() as hooks:
        find_sites(model, site).change(hooks, push)
        return bench.run({})


def _inputs(channel: Channel) -> tuple[Tensor | None, ...] | None:
    """The schedule, `(n,)` for each block that acts; None where the inputs depend on the state."""
    law, reference, units = channel.law, channel.reference, channel.units
    if reference.needs_nominal or channel.observer is not None or channel.at_prompt is not None:
        return None
    if reference.rows not in (None, 1):
        return None
    known = law.known(reference.offsets(units, 1))
    if known is None:
        return None
    return tuple(u[0] if law.is_active(t) else None for t, u in enumerate(known))


def _carrier(found: Writers, block: int) -> Writer:
    """The writer of a block whose bias moves the block's output and nothing else in it."""
    some = found.each[block]
    fit = [w for w in some if w.bias is not None and w.reach.gain is not None and not w.reach.read]
    if fit:
        return fit[-1]
    if any(not w.reach.along for w in some):
        why = (
            "what its maps put out is normed before it is added, so a bias does not arrive as it is"
        )
    else:
        why = "its experts have no bias, and what else has one is read by another part of the block"
    raise CompilationError(
        f"block {block} has no bias that moves its output and nothing else: {why}. Attach the "
        "steering instead, or let it act at blocks that have one."
    )


def _why_not(request: Request) -> str:
    if request.cap is not None:
        return "a cap makes its inputs depend on the length of the state"
    return (
        "feedback adds G (s - H'x), and G H'x is taken from the block's input, which goes around "
        "the block by the skip connection, where no weight stands"
    )
