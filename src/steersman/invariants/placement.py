"""Blocks and states are where every file, plot and formula says they are."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import AffineLaw
from steersman.engines import Channel
from steersman.invariants.check import Check
from steersman.invariants.trial import Trial
from steersman.plant import HookSet, capture_batch, hidden_in, hidden_out


def blocks_in_order(trial: Trial) -> Check:
    """Every block runs once, in order, and takes exactly what the one before gave."""
    order, states, outputs = _watched(trial)
    blocks = trial.blocks
    links = zip(outputs, states[1:], strict=False)
    wrong = sum(not torch.equal(given, taken) for given, taken in links)
    shapes = {tuple(state.shape[-1:]) for state in (*states, *outputs)}
    in_order = order == list(range(len(blocks))) and shapes == {(blocks.n,)}
    how = "known by name" if blocks.source == "table" else "found by shape and proved by a forward"
    return Check(
        "the blocks run once each, in order",
        in_order and wrong == 0,
        float(wrong),
        0.0,
        f"{len(blocks)} blocks at {blocks.path}, {how}; links that are not bit-identical are "
        "counted" + ("" if in_order else f"; order {order}, widths {sorted(shapes)}"),
    )


def states_are_block_outputs(trial: Trial) -> Check:
    """A captured x_0 is block 0's input, and x_{t+1} is the output of block t."""
    captured = _captured(trial)
    _, states, outputs = _watched(trial)
    last = len(trial.tokens[trial.longest]) - 1
    expected = torch.stack([states[0], *outputs])[:, 0, last].to(captured)
    name = "state x_t is the input of block t, x_{t+1} its output"
    if captured.shape != expected.shape:
        return Check.failed(name, f"{len(captured)} states for {len(outputs)} runs of a block")
    wrong = int((captured != expected).any(dim=-1).sum())
    detail = f"captured states that differ from the blocks' own, of {len(captured)}"
    return Check.below(name, float(wrong), 0.0, detail)


def inputs_arrive(trial: Trial) -> Check:
    """An input u_t given to block t alone changes x_{t+1} by u_t, and no earlier state."""
    middle = len(trial.blocks) // 2
    channel = _only_at(trial.channels["plan"], middle)
    bare, pushed = _captured(trial), _captured(trial, channel)
    u = _inputs(channel, bare)[middle]
    earlier = float((pushed[: middle + 1] - bare[: middle + 1]).abs().max())
    apart = _relative(pushed[middle + 1] - bare[middle + 1], u)
    return Check(
        "an input at block t arrives in x_{t+1}",
        apart <= trial.tolerance and earlier == 0.0,
        apart,
        trial.tolerance,
        f"block {middle}, relative to |u| = {float(u.norm()):.2g} beside |x| = "
        f"{float(bare[middle + 1].norm()):.2g}; earlier states moved by {earlier:.2g}",
    )


def law_is_obeyed(trial: Trial) -> Check:
    """At every block, x_{t+1} - f_t(x_t) is what the law says of x_t."""
    channel = trial.channels["absolute"]
    _, _, outputs = _watched(trial, channel)
    states = _captured(trial, channel)
    last = len(trial.tokens[trial.longest]) - 1
    added = states[1:] - torch.stack(outputs)[:, 0, last].to(states)
    u = _inputs(channel, states)
    return Check.below(
        "x_{t+1} = f_t(x_t) + G_t (s_t - H_t' x_t)",
        _relative(added, u),
        trial.tolerance,
        f"absolute feedback at {len(u)} blocks, relative to |u| = {float(u.norm()):.2g}",
    )


def _captured(trial: Trial, *channels: Channel) -> Float[Tensor, "states n"]:
    """x_0 .. x_T of the longest prompt's last token."""
    row = trial.longest
    with trial.steered(*channels):
        last = len(trial.tokens[row]) - 1
        return capture_batch(trial.model, trial.blocks, trial.single(row), [(last,)])[0]


def _inputs(channel: Channel, states: Float[Tensor, "states n"]) -> Float[Tensor, "blocks n"]:
    """What the law says of the states of one token: u_0 .. u_{T-1}."""
    law, state, inputs = channel.law, channel.law.init(1), []
    for block in range(law.blocks):
        setpoint = channel.reference.at(block, channel.units, 1)
        state, u = law.step(state, states[block : block + 1], setpoint, block)
        inputs.append(u[0])
    return torch.stack(inputs).to(states)


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _watched(trial: Trial, *channels: Channel) -> tuple[list[int], list[Tensor], list[Tensor]]:
    """Which blocks ran, their inputs, and their own outputs, for the longest prompt."""
    order: list[int] = []
    states: list[Tensor] = []
    outputs: list[Tensor] = []

    def record(block: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        order.append(block)
        states.append(hidden_in(args, kwargs).detach().to("cpu", copy=True))
        outputs.append(hidden_out(output).detach().to("cpu", copy=True))

    with HookSet() as hooks:
        for block, module in enumerate(trial.blocks.modules):
            hooks.after(module, partial(record, block))
        with trial.steered(*channels):  # whose hooks come after those that record
            trial.logits(trial.single(trial.longest))
    return order, states, outputs


def _only_at(channel: Channel, block: int) -> Channel:
    assert isinstance(channel.law, AffineLaw)
    return replace(channel, law=replace(channel.law, active=(block,)))
