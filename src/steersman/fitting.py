"""From examples to a steering: read the directions, identify the plant, solve."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from steersman.control import LTVSystem, Plant
from steersman.data import ContrastivePairs, Example
from steersman.directions import ALONE, Direction, Features, contrast, listed, worth_steering
from steersman.errors import InputError
from steersman.methods import METHODS, AlignedStates, Evidence, Method, coupling, method_named
from steersman.plant import (
    CHUNK,
    Positions,
    average,
    capture_states,
    capture_tokens,
    estimate,
    positions_named,
    tokenize,
)
from steersman.plant import identify as identify_blocks
from steersman.provenance import Provenance
from steersman.reading import Reading
from steersman.steering import Steering

DEFAULT_JACOBIAN_PROMPTS = 32
MOST_DECISION_TOKENS = 8


def identify(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    *,
    chunk: int = CHUNK,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> LTVSystem:
    """The model's blocks as a linear time-varying plant, averaged over prompts.

        A_t = mean over prompts of  d f_t(x_t) / d x_t   at the last token, earlier tokens fixed

    Args:
        model: the loaded model.
        tokenizer: its tokenizer.
        prompts: texts or chats.
        chunk: cotangents at a time; bounds the memory.
        checkpoint: where to keep the running mean; an interrupted call given again goes on there.
        progress: say beforehand how long it will take, and show how far it is.

    Returns:
        The plant; `plant.A` is `(blocks, n, n)`, float32.

    Raises:
        InputError: no prompts, or one longer than the model's context.
        MismatchError: the checkpoint is of another model or other prompts.
        NumericalError: a Jacobian is not finite.

    Source:
        A-LQR (arXiv 2604.19018), section 4; the frozen prefix is ours.
    """
    if progress:
        cost = estimate(model, tokenizer, prompts, chunk=chunk)
        sys.stderr.write(f"identifying the plant: {cost}\n")
    found = identify_blocks(
        model,
        tokenizer,
        prompts,
        chunk=chunk,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        progress=progress,
    )
    return LTVSystem(found.A)


def fit(
    model: nn.Module,
    tokenizer: Any,
    pairs: ContrastivePairs | Mapping[str, ContrastivePairs],
    *,
    method: str | Method = "a-lqr",
    jacobian_prompts: Sequence[Example] | LTVSystem | None = None,
    q: float | None = None,
    r: float | None = None,
    qf: float | None = None,
    positions: str | Positions = "last",
    batch_size: int = 16,
    chunk: int = CHUNK,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> Steering:
    """Fit a steering from contrastive pairs, of one feature or of several to steer together.

    Args:
        model: the loaded model; it is not changed.
        tokenizer: its tokenizer.
        pairs: examples of what is desired and what is not; of several features by their names.
        method: a name from `steersman.methods.METHODS`, or a method with its own settings.
        jacobian_prompts: what the plant is averaged over, or a plant identified before; None takes
            the first desired examples, as many of each feature.
        q: weight of the error at each block input, for the LQR methods; None leaves it to the
            method, and so for the others: A-LQR has q = 0.1, r = 1, qf = 0.1.
        r: weight of the input.
        qf: weight of the error after the last block.
        positions: which tokens the direction is read at: "last", "all", "response",
            "first-response", "marker:TEXT" or "regex:PATTERN".
        batch_size: prompts at a time while states are read.
        chunk: cotangents at a time while the plant is identified.
        checkpoint: where to keep the identification's running mean.
        progress: say what is going on.

    Returns:
        The steering.

    Raises:
        InputError: pairs that cannot be used, weights that are not above zero, prompts too long,
            several features for a method that steers one, or features that cannot be told apart.
        UnknownNameError: no such method or position rule.
        NumericalError: states, Jacobians or gains that are not finite, or demands on the features
            that cannot be met together.
    """
    chosen = _method(method, q, r, qf)
    named = _named(pairs, chosen)
    rule = positions_named(positions) if isinstance(positions, str) else positions
    features = Features(
        {
            name: read_direction(
                model, tokenizer, one, positions=rule, batch_size=batch_size, progress=progress
            )
            for name, one in named.items()
        }
    )
    features.require_independent(features.blocks)
    prompts = _plant_prompts(chosen, named, jacobian_prompts)
    system: Plant | None = jacobian_prompts if isinstance(jacobian_prompts, LTVSystem) else None
    if prompts and chosen.plant == "products":
        system = average(model, tokenizer, prompts, progress=progress)
    elif prompts:
        system = identify(
            model, tokenizer, prompts, chunk=chunk, checkpoint=checkpoint, progress=progress
        )
    aligned = None
    if chosen.aligned:
        (one,) = named.values()
        aligned = read_aligned(
            model, tokenizer, one, positions=rule, batch_size=batch_size, progress=progress
        )
    made = Provenance.of(
        model,
        tokenizer,
        pairs_hash={name: one.fingerprint() for name, one in named.items()},
        pairs={name: (len(one.desired), len(one.undesired)) for name, one in named.items()},
        positions=str(rule),
        jacobian_prompts=len(prompts),
        decision_tokens=_decision_tokens(tokenizer, named, rule),
    )
    read = Reading(
        *(model, tokenizer, named, rule, features, chosen, made),
        batch_size=batch_size,
        progress=progress,
    )
    evidence = Evidence(features, system, aligned, read)
    settled = chosen.settled(evidence)
    controller = settled.solve(evidence)
    return Steering(features, controller, settled, made, coupling(settled, evidence, controller))


def read_direction(
    model: nn.Module,
    tokenizer: Any,
    pairs: ContrastivePairs,
    *,
    positions: Positions,
    batch_size: int = 16,
    progress: bool = True,
) -> Direction:
    """The mean difference of states of desired and undesired examples, with its separation.

    Warns where the direction does not separate the examples well enough to steer by.

    Args:
        model: the loaded model.
        tokenizer: its tokenizer.
        pairs: the examples.
        positions: which tokens are read; several of one example are averaged.
        batch_size: examples at a time.
        progress: show how far it is.

    Raises:
        InputError: an example longer than the context, or identical sides.
        NumericalError: states that are not finite.
    """
    desired, undesired = (
        capture_states(model, tokenizer, side, positions, batch_size=batch_size, progress=progress)
        for side in (pairs.desired, pairs.undesired)
    )
    direction = contrast(desired, undesired)
    for doubt in worth_steering(direction):
        warnings.warn(doubt, stacklevel=2)
    return direction


def read_aligned(
    model: nn.Module,
    tokenizer: Any,
    pairs: ContrastivePairs,
    *,
    positions: Positions,
    batch_size: int = 16,
    progress: bool = True,
) -> AlignedStates:
    """States of the same tokens behind the two contexts of every pair.

    Args:
        model: the loaded model.
        tokenizer: its tokenizer.
        pairs: each of whose sides end in the same tokens, behind different contexts.
        positions: which tokens are read.
        batch_size: examples at a time.
        progress: show how far it is.

    Raises:
        InputError: the examples are not paired, or a pair is not read at the same tokens.
        NumericalError: states that are not finite.
    """
    if not pairs.paired:
        raise InputError("aligned states need pairs: give desired[i] and undesired[i] together.")
    read = []
    for side in (pairs.desired, pairs.undesired):
        tokens = tokenize(tokenizer, side)
        read.append([tuple(one.ids[place] for place in positions.select(one)) for one in tokens])
    for index, (first, second) in enumerate(zip(*read, strict=True)):
        if first != second:
            raise InputError(
                f"pair {index} is not aligned: its sides are read at the tokens "
                f"{tokenizer.decode(first)!r} and {tokenizer.decode(second)!r}. Both have to end "
                "in the same tokens, behind a desired and an undesired context."
            )
    desired, undesired = (
        capture_tokens(model, tokenizer, side, positions, batch_size=batch_size, progress=progress)
        for side in (pairs.desired, pairs.undesired)
    )
    return AlignedStates(desired.states, undesired.states, desired.example)


def decision_tokens(
    tokenizer: Any, pairs: ContrastivePairs, positions: Positions
) -> tuple[int, ...]:
    """The token ids at which the examples are read; empty where there are more than a few.

    Examples that all end at the same kind of token, such as the start of an answer, say where the
    behaviour is decided; a steering may then act there and leave every other token alone.

    Args:
        tokenizer: the tokenizer.
        pairs: the examples.
        positions: which tokens are read.
    """
    found: set[int] = set()
    for tokens in tokenize(tokenizer, [*pairs.desired, *pairs.undesired]):
        found |= {int(tokens.ids[place]) for place in positions.select(tokens)}
        if len(found) > MOST_DECISION_TOKENS:
            return ()
    return tuple(sorted(found))


def _named(
    pairs: ContrastivePairs | Mapping[str, ContrastivePairs], method: Method
) -> Mapping[str, ContrastivePairs]:
    """The pairs of each feature by its name.

    Raises:
        InputError: no feature, one without a name, or several for a method that steers one.
    """
    if isinstance(pairs, ContrastivePairs):
        return {ALONE: pairs}
    if not pairs or not all(isinstance(name, str) and name.strip() for name in pairs):
        raise InputError("give pairs of one feature, or of several by their names.")
    if len(pairs) > 1 and not method.several:
        able = [name for name, kind in METHODS.items() if kind.several]
        raise InputError(
            f"{method.name} steers one feature at a time, and here are {listed(list(pairs))}; for "
            f"several together use {', '.join(able[:-1])} or {able[-1]}."
        )
    return pairs


def _plant_prompts(
    method: Method,
    named: Mapping[str, ContrastivePairs],
    asked: Sequence[Example] | LTVSystem | None,
) -> list[Example]:
    """What the plant is to be averaged over; nothing where it is known, or not needed."""
    if isinstance(asked, LTVSystem) or method.plant == "none":
        return []
    each = max(1, DEFAULT_JACOBIAN_PROMPTS // len(named))
    return list(asked or [text for pairs in named.values() for text in pairs.desired[:each]])


def _decision_tokens(
    tokenizer: Any, named: Mapping[str, ContrastivePairs], rule: Positions
) -> tuple[int, ...]:
    """Those of every feature; empty where one of them is read at too many kinds of token."""
    found = [decision_tokens(tokenizer, pairs, rule) for pairs in named.values()]
    return tuple(sorted(set().union(*found))) if all(found) else ()


def _method(method: str | Method, q: float | None, r: float | None, qf: float | None) -> Method:
    if isinstance(method, Method):
        return method
    kind = method_named(method)
    weights = {k: value for k, value in (("q", q), ("r", r), ("qf", qf)) if value is not None}
    for name, value in weights.items():
        if not value > 0:
            raise InputError(f"{name} is {value}; the weights of the cost must be above zero.")
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in weights.items() if name in known})


__all__ = ["METHODS", "fit", "identify", "read_direction"]
