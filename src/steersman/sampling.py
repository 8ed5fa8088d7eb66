"""Sample continuations, and see what the bare model thinks of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from steersman.errors import InputError, NumericalError
from steersman.plant import Encoded, Example, encode, locate, pad_id, require_evaluation, unwrap
from steersman.plant.forward import accepts, forward_arguments, input_device

# A model may come with a temperature, penalties or beams of its own; none of them is asked for.
_PLAIN: Mapping[str, Any] = {
    "top_k": 0,
    "min_p": None,
    "typical_p": 1.0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
}


@dataclass(frozen=True)
class Decoding:
    """How a token is chosen from the model's distribution.

        p_i ~ exp(logit_i / temperature)   within the likeliest tokens of mass top_p

    Args:
        temperature: 1 leaves the distribution as it is; 0 takes the likeliest token.
        top_p: 1 leaves no token out.
        repetition_penalty: what the logits of tokens that occurred, in the prompt too, are divided
            by (multiplied, where negative); 1 is none.

    Raises:
        InputError: a number out of its range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (self.temperature >= 0 and 0 < self.top_p <= 1 and self.repetition_penalty > 0):
            raise InputError(
                f"{self}: temperature must be 0 or more, top_p above 0 and at most 1, and "
                "repetition_penalty above 0."
            )

    def arguments(self) -> dict[str, Any]:
        """What `generate` is to be told; greedy search is told no temperature, or it would warn."""
        greedy = self.temperature == 0
        return {
            **_PLAIN,
            **(dict.fromkeys(("top_k", "typical_p")) if greedy else {}),
            "do_sample": not greedy,
            "temperature": None if greedy else self.temperature,
            "top_p": None if greedy else self.top_p,
            "repetition_penalty": self.repetition_penalty,
        }


WHOLE = Decoding()
"""Temperature 1 from the whole distribution: what the model itself says."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """A batch of continuations, with the distributions that they were drawn from.

    Args:
        texts: the continuations.
        ids: prompts, padded on the left, and continuations, padded on the right.
        mask: 1 where `ids` is a real token.
        logits: those of each new token, before a temperature or a penalty.
        drawn: which new tokens were drawn: those up to the first end of a sequence.
    """

    texts: list[str]
    ids: Int[Tensor, "rows length"]
    mask: Int[Tensor, "rows length"]
    logits: Float[Tensor, "rows new vocabulary"]
    drawn: Bool[Tensor, "rows new"]

    @property
    def encoded(self) -> Encoded:
        """Prompts and continuations as a batch to run again."""
        return Encoded(self.ids, self.mask)


def encode_prompts(
    model: nn.Module, tokenizer: Any, prompts: Sequence[Example], new_tokens: int
) -> Encoded:
    """Prompts as tokens, padded on the left whatever the tokenizer does, with room for an answer.

    Args:
        model: the model that is to go on from them.
        tokenizer: its tokenizer, with or without a pad token; conversations need a chat template.
        prompts: texts or conversations.
        new_tokens: how many tokens the answer may have.

    Raises:
        InputError: a prompt cannot be used, or prompt and answer together are longer than the
            model's context.
    """
    blocks = locate(model)
    if blocks.context is not None and new_tokens >= blocks.context:
        raise InputError(
            f"{new_tokens} new tokens do not fit a context of {blocks.context}: ask for fewer."
        )
    limit = None if blocks.context is None else blocks.context - new_tokens
    return encode(tokenizer, prompts, max_length=limit, device=input_device(blocks))


def sample(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    *,
    new_tokens: int,
    seed: int,
    batch_size: int = 128,
    decoding: Decoding = WHOLE,
) -> list[Sampled]:
    """Continuations, the same for the same seed.

    Args:
        model: the model, steered or not.
        tokenizer: its tokenizer, with or without a pad token, whatever side it pads.
        prompts: texts or conversations.
        new_tokens: how many tokens at most.
        seed: of the sampling.
        batch_size: prompts at a time; the logits of all batches are kept.
        decoding: temperature 1 from the whole distribution, unless told otherwise.

    Raises:
        InputError: a prompt cannot be used, there is no room for the answer, or the model cannot
            generate.
        NumericalError: the model's logits are not finite.
    """
    require_evaluation(model)
    if not callable(getattr(model, "generate", None)):
        raise InputError(f"{type(model).__name__} cannot generate: load a causal language model.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        starts = range(0, len(prompts), batch_size)
        return [
            _batch(model, tokenizer, prompts[start : start + batch_size], new_tokens, decoding)
            for start in starts
        ]


def _batch(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    new_tokens: int,
    decoding: Decoding,
) -> Sampled:
    given = encode_prompts(model, tokenizer, prompts, new_tokens)
    ends = end_ids(model, tokenizer)
    try:
        out = model.generate(  # type: ignore[operator]
            input_ids=given.input_ids,
            attention_mask=given.attention_mask,
            max_new_tokens=new_tokens,
            pad_token_id=pad_id(tokenizer),
            eos_token_id=ends or None,
            output_logits=True,
            return_dict_in_generate=True,
            **decoding.arguments(),
        )
    except RuntimeError as error:
        if "probability tensor" not in str(error):
            raise
        raise NumericalError(
            "the model's logits are not finite, so nothing can be drawn from them: steer less, or "
            "load the model in bfloat16 or float32 if it is in float16."
        ) from error
    new = out.sequences[:, given.input_ids.shape[1] :]
    ended = torch.isin(new, torch.tensor(ends, device=new.device, dtype=new.dtype)).long()
    drawn = ended.cumsum(1) - ended == 0
    return Sampled(
        texts=[
            str(tokenizer.decode(row[kept], skip_special_tokens=True))
            for row, kept in zip(new, drawn, strict=True)
        ],
        ids=out.sequences,
        mask=torch.cat([given.attention_mask, drawn.long()], dim=1),
        logits=torch.stack(out.logits, dim=1).float(),
        drawn=drawn,
    )


def end_ids(model: nn.Module, tokenizer: Any) -> list[int]:
    """Every token that ends a sequence: a model may have several, and not the tokenizer's own."""
    settings = getattr(unwrap(model), "generation_config", None)
    ends = getattr(settings, "eos_token_id", None)
    known = ends if isinstance(ends, list) else [ends]
    return sorted({end for end in (*known, tokenizer.eos_token_id) if isinstance(end, int)})


@dataclass(frozen=True)
class Verdict:
    """What the bare model says of one continuation.

    Args:
        loss: its mean loss, nats per token.
        divergence: KL of the distributions that it was drawn from and the bare model's, nats per
            token.
    """

    loss: float
    divergence: float

    @property
    def perplexity(self) -> float:
        """Exp of the loss."""
        return exp(self.loss)


def verdicts(model: nn.Module, sampled: Sequence[Sampled]) -> Iterator[Verdict]:
    """The bare model's view of every continuation, token by token.

        loss = mean_i -log p(x_i)        divergence = mean_i KL( p_steered,i || p_i )

    Args:
        model: the model with nothing attached.
        sampled: what was drawn, steered or not.
    """
    for batch in sampled:
        bare = bare_logits(model, batch)
        new = batch.ids[:, -batch.drawn.shape[1] :]
        # A row at a time: with a large vocabulary, copies of a whole batch would be many.
        for row, drawn in enumerate(batch.drawn):
            yield _verdict(batch.logits[row, drawn], bare[row, drawn], new[row, drawn])


def _verdict(
    steered: Float[Tensor, "drawn vocabulary"],
    bare: Float[Tensor, "drawn vocabulary"],
    new: Int[Tensor, " drawn"],
) -> Verdict:
    p, q = steered.log_softmax(-1), bare.float().log_softmax(-1)
    loss = -q.gather(-1, new[:, None])
    # A token that the steered model never draws costs nothing, whatever the bare one says.
    apart = torch.where(p.isneginf(), 0.0, p.exp() * (p - q)).sum(-1)
    return Verdict(float(loss.double().mean()), float(apart.double().mean()))


@torch.no_grad()
def bare_logits(model: nn.Module, batch: Sampled) -> Float[Tensor, "rows new vocabulary"]:
    """What the bare model would have drawn each new token from.

    Args:
        model: the model with nothing attached.
        batch: what was drawn, steered or not.
    """
    new = batch.drawn.shape[1]
    arguments = forward_arguments(model, batch.encoded)
    if accepts(model, "logits_to_keep"):
        arguments["logits_to_keep"] = new + 1
    logits: Tensor = model(**arguments).logits
    return logits[:, -new - 1 : -1]
