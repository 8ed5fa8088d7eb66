"""From one prompt to a steering that brings other tokens to its states."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from steersman.data import Example
from steersman.directions import ALONE, Direction, Features
from steersman.errors import InputError
from steersman.identifying import identify
from steersman.methods import Evidence, Means, Tracking
from steersman.plant import CHUNK, LastToken, Tokens, capture_states, locate, tokenize
from steersman.provenance import Provenance
from steersman.steering import Steering


def track(
    model: nn.Module,
    tokenizer: Any,
    prompt: Example,
    *,
    start: Example | None = None,
    q: float = Tracking.q,
    r: float = Tracking.r,
    qf: float = Tracking.qf,
    rank: int | None = Tracking.rank,
    tolerance: float = Tracking.tolerance,
    chunk: int = CHUNK,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> Steering:
    """A steering that follows the states of another prompt's last token.

        x*_t = the prompt's state at the input of block t,    A_t = d f_t(x*_t) / d x_t
        minimise  sum_t q|e_t|^2 + r|u_t|^2 + qf|e_T|^2,      e_t = x*_t - x_t
        u_t = G_t (s_t - H_t' x_t),    |(K_t - G_t H_t') e| <= sigma_t |e|

    Attached with target 0 it leaves a token alone, with 1 it asks it to be where the prompt's last
    token was, and in between part of the way. It acts at every token that is the same as the
    prompt's last one; with `tokens="last"`, at the last token of whatever is run, and then at every
    generated one. `reference="absolute"` needs no second pass, and knows target 1 alone.

    The trace shows the projection on the direction from `start` to the prompt: 0 is where `start`
    was, 1 where the prompt was. Without `start` it is the direction of `x*_t` itself, counted from
    zero.

    Args:
        model: the loaded model; it is not changed.
        tokenizer: its tokenizer.
        prompt: the text or conversation whose states are followed.
        start: a prompt that the trace counts from, such as the one that will be run.
        q: weight of the error at each block input.
        r: weight of the input; the less, the closer the states are followed.
        qf: weight of the error after the last block. Only `q/r` and `qf/r` matter.
        rank: the most directions that a block keeps of its gain; None keeps all.
        tolerance: leave out directions whose singular value is at most this share of the largest.
        chunk: cotangents at a time while the plant is identified.
        checkpoint: where to keep the identification; an interrupted call goes on there.
        progress: say what is going on.

    Returns:
        The steering; `steering.method.discarded` is `sigma_t` of each block.

    Raises:
        InputError: an empty prompt, one longer than the model's context, a start with the same
            states, or weights, a rank or a tolerance that cannot be.
        NumericalError: states, Jacobians or gains that are not finite.

    Source:
        A-LQR (arXiv 2604.19018), tracking of a nominal trajectory; the low rank is ours.
    """
    for name, example in (("prompt", prompt), ("start", start)):
        if example is not None and not example:
            raise InputError(f"the {name} is empty: give it some text.")
    prompts = [prompt] if start is None else [prompt, start]
    tokens = tokenize(tokenizer, prompts, max_length=locate(model).context)
    states = capture_states(model, tokenizer, prompts, LastToken())
    means = Means(states[0], torch.zeros_like(states[0]) if start is None else states[1])
    features = Features.of(_direction(means))
    method = Tracking(q, r, qf, rank, tolerance)
    plant = identify(
        model, tokenizer, [prompt], chunk=chunk, checkpoint=checkpoint, progress=progress
    )
    evidence = Evidence(features, plant, read=lambda inputs: means)
    found = method.settled(evidence)
    made = Provenance.of(
        model,
        tokenizer,
        pairs_hash={ALONE: _hash(tokens)},
        pairs={ALONE: (1, len(prompts) - 1)},
        positions=LastToken().name,
        observer="mean",
        jacobian_prompts=1,
        decision_tokens=tokens[0].ids[-1:],
    )
    return Steering(features, found.solved(evidence), found.method, made)


def _hash(tokens: Sequence[Tokens]) -> str:
    """SHA-256 of the prompts as the model sees them."""
    return hashlib.sha256(json.dumps([one.ids for one in tokens]).encode()).hexdigest()


def _direction(means: Means) -> Direction:
    """From one state to another: no spread was seen, so how well they separate is not known."""
    contrast = means.contrast
    norm = contrast.norm(dim=-1)
    if not bool(norm.any()):
        raise InputError(
            "the prompt and the start have the same states at their last tokens, so there is "
            "nowhere to go: give another start, or none."
        )
    v = torch.nn.functional.normalize(contrast, dim=-1)
    nothing = torch.zeros_like(norm)
    return Direction(
        *(contrast, v, norm, (v * means.undesired).sum(dim=-1), nothing),
        torch.full_like(norm, torch.inf),
    )
