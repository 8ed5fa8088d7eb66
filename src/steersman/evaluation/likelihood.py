"""How likely a model finds a text after another one, steered as it is while it writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.errors import InputError
from steersman.plant import Encoded, input_device, locate, pad_id, require_evaluation
from steersman.plant.forward import accepts, forward_arguments


@dataclass(frozen=True)
class Likelihood:
    """What a model says of one continuation.

    Args:
        total: the sum of `log p` of its tokens, nats.
        tokens: how many there are.
        cut: how many tokens of the context did not fit and were left out at its beginning.
    """

    total: float
    tokens: int
    cut: int = 0


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """What a model says of several continuations.

    Args:
        found: of each pair, in order.
        first: the logits of each pair's first token.
    """

    found: tuple[Likelihood, ...]
    first: Float[Tensor, "pairs vocabulary"]


@dataclass(frozen=True)
class _Joined:
    context: tuple[int, ...]
    continuation: tuple[int, ...]
    cut: int


@torch.no_grad()
def likelihoods(
    model: nn.Module,
    tokenizer: Any,
    pairs: Sequence[tuple[str, str]],
    *,
    batch_size: int = 16,
    stepwise: bool = False,
) -> Likelihoods:
    """The log-likelihood of each continuation after its context.

        total = sum_i log p( y_i | context, y_1 .. y_{i-1} )

    The tokens of a continuation are those that the context's tokens leave of both together; white
    space at the end of a context counts as the continuation's. A context that does not fit is cut
    at its beginning. This is the convention of lm-evaluation-harness.

    A context is run first and its continuation after it, on the cache, as while generating: a
    steering that acts from the prompt's last token on acts from the context's last token on. Where
    all continuations are of one token each different context is run once.

    Args:
        model: the model, steered or not.
        tokenizer: its tokenizer.
        pairs: contexts and continuations, at least one.
        batch_size: rows at a time.
        stepwise: run the continuation token by token, for a steering that is made anew at each.

    Raises:
        InputError: an empty context or continuation, or a continuation longer than the model's
            context.
    """
    require_evaluation(model)
    limit = locate(model).context
    joined = [_joined(tokenizer, *pair, limit) for pair in pairs]
    if all(len(one.continuation) == 1 for one in joined):
        first = _behind_contexts(model, tokenizer, joined, batch_size)
        totals = _gathered(first, [one.continuation[0] for one in joined])
    else:
        starts = range(0, len(joined), batch_size)
        parts = [
            _of_batch(model, tokenizer, joined[start : start + batch_size], stepwise)
            for start in starts
        ]
        totals, first = (torch.cat(found) for found in zip(*parts, strict=True))
    each = zip(totals.tolist(), joined, strict=True)
    found = tuple(Likelihood(total, len(one.continuation), one.cut) for total, one in each)
    return Likelihoods(found, first)


def _behind_contexts(
    model: nn.Module, tokenizer: Any, joined: Sequence[_Joined], batch_size: int
) -> Float[Tensor, "pairs vocabulary"]:
    """The logits behind each context, each different one run once."""
    different = list(dict.fromkeys(one.context for one in joined))
    parts = [
        _run_contexts(model, different[start : start + batch_size], pad_id(tokenizer), keep=False)
        for start in range(0, len(different), batch_size)
    ]
    places = {context: row for row, context in enumerate(different)}
    return torch.cat([logits for logits, _, _ in parts])[[places[one.context] for one in joined]]


def _of_batch(
    model: nn.Module, tokenizer: Any, joined: Sequence[_Joined], stepwise: bool
) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows vocabulary"]]:
    """The totals of one batch, and the logits of the first tokens."""
    contexts = [one.context for one in joined]
    first, cache, given = _run_contexts(model, contexts, pad_id(tokenizer), keep=True)
    totals = _gathered(first, [one.continuation[0] for one in joined])
    longest = max(len(one.continuation) for one in joined)
    rest = _run_rest(model, joined, cache, given, stepwise) if longest > 1 else []
    for column, following in enumerate(rest, start=1):
        rows = [i for i, one in enumerate(joined) if len(one.continuation) > column]
        tokens = [joined[i].continuation[column] for i in rows]
        totals[rows] += _gathered(following[rows], tokens)
    return totals, first


def _joined(tokenizer: Any, context: str, continuation: str, limit: int | None) -> _Joined:
    kept = context.rstrip()
    if not kept or not continuation:
        raise InputError(
            f"the context {context[:40]!r} or the continuation {continuation[:40]!r} is empty: "
            "there is nothing to compare."
        )
    continuation = context[len(kept) :] + continuation
    before = tuple(tokenizer(kept, verbose=False)["input_ids"])
    after = tuple(tokenizer(kept + continuation, verbose=False)["input_ids"])[len(before) :]
    if not after:
        raise InputError(f"the continuation {continuation[:40]!r} has no tokens of its own.")
    if limit is not None and len(after) >= limit:
        raise InputError(
            f"the continuation {continuation[:40]!r} has {len(after)} tokens, and the model's "
            f"context is {limit}: leave the question out."
        )
    # The last token of the continuation is never run, so there is room for one more.
    cut = 0 if limit is None else max(0, len(before) + len(after) - limit - 1)
    return _Joined(before[cut:], after, cut)


def _run_contexts(
    model: nn.Module, contexts: Sequence[tuple[int, ...]], fill: int, keep: bool
) -> tuple[Float[Tensor, "rows vocabulary"], Any, Encoded]:
    """The logits behind each context, the cache where it is kept, and the padded batch."""
    longest = max(map(len, contexts))
    device = input_device(locate(model))
    ids = [[fill] * (longest - len(one)) + list(one) for one in contexts]
    mask = [[0] * (longest - len(one)) + [1] * len(one) for one in contexts]
    given = Encoded(torch.tensor(ids, device=device), torch.tensor(mask, device=device))
    out = model(**forward_arguments(model, given) | ({"use_cache": True} if keep else {}))
    return out.logits[:, -1].float(), out.past_key_values if keep else None, given


def _run_rest(
    model: nn.Module, joined: Sequence[_Joined], cache: Any, given: Encoded, stepwise: bool
) -> list[Float[Tensor, "rows vocabulary"]]:
    """The logits behind each further token, a column at a time."""
    longest = max(len(one.continuation) for one in joined) - 1
    device = given.input_ids.device
    ids = torch.tensor(
        [[*one.continuation[:-1], *[0] * (longest + 1 - len(one.continuation))] for one in joined],
        device=device,
    )
    lengths = torch.tensor([len(one.continuation) - 1 for one in joined], device=device)
    real = (torch.arange(longest, device=device) < lengths[:, None]).long()
    found: list[Tensor] = []
    width = 1 if stepwise else longest
    for start in range(0, longest, width):
        end = start + width
        mask = torch.cat([given.attention_mask, real[:, :end]], dim=1)
        arguments: dict[str, Any] = {
            "input_ids": ids[:, start:end],
            "attention_mask": mask,
            "past_key_values": cache,
            "use_cache": True,
        }
        if accepts(model, "position_ids"):
            arguments["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -width:]
        out = model(**arguments)
        cache = out.past_key_values
        found += list(out.logits.float().unbind(dim=1))
    return found


def _gathered(logits: Float[Tensor, "rows vocabulary"], tokens: Sequence[int]) -> Tensor:
    at = torch.tensor(tokens, device=logits.device)[:, None]
    return logits.log_softmax(-1).gather(-1, at)[:, 0].double()
