"""Sample continuations, and see what the bare model thinks of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class Sampled:
    """A batch of continuations, with the distributions that they were drawn from.

    Args:
        texts: the continuations.
        ids: prompts, padded on the left, and continuations, padded on the right.
        mask: 1 where `ids` is a real token.
        logits: those that each new token was drawn from.
        drawn: which new tokens were drawn: those up to the first end of a sequence.
    """

    texts: list[str]
    ids: Int[Tensor, "rows length"]
    mask: Int[Tensor, "rows length"]
    logits: Float[Tensor, "rows new vocabulary"]
    drawn: Bool[Tensor, "rows new"]


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    new_tokens: int,
    seed: int,
    batch_size: int = 128,
) -> list[Sampled]:
    """Continuations at temperature 1, the same for the same seed.

    Args:
        model: the model, steered or not.
        tokenizer: its tokenizer.
        prompts: texts.
        new_tokens: how many tokens at most.
        seed: of the sampling.
        batch_size: prompts at a time.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        starts = range(0, len(prompts), batch_size)
        return [
            _batch(model, tokenizer, list(prompts[start : start + batch_size]), new_tokens)
            for start in starts
        ]


def _batch(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[str], new_tokens: int
) -> Sampled:
    given = tokenizer(prompts, return_tensors="pt", padding=True)
    out = model.generate(  # type: ignore[operator]
        input_ids=given["input_ids"],
        attention_mask=given["attention_mask"],
        do_sample=True,
        top_k=0,
        max_new_tokens=new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        output_logits=True,
        return_dict_in_generate=True,
    )
    new = out.sequences[:, given["input_ids"].shape[1] :]
    ends = (new == tokenizer.eos_token_id).long()
    drawn = ends.cumsum(1) - ends == 0
    return Sampled(
        texts=tokenizer.batch_decode(new, skip_special_tokens=True),
        ids=out.sequences,
        mask=torch.cat([given["attention_mask"], drawn.long()], dim=1),
        logits=torch.stack(out.logits, dim=1).float(),
        drawn=drawn,
    )


@dataclass(frozen=True)
class Verdict:
    """What the bare model says of one continuation.

    Args:
        perplexity: exp of its mean loss per token.
        divergence: KL of the distributions that it was drawn from and the bare model's, nats per
            token.
    """

    perplexity: float
    divergence: float


def verdicts(model: PreTrainedModel, sampled: Sequence[Sampled]) -> Iterator[Verdict]:
    """The bare model's view of every continuation, token by token.

        perplexity = exp mean_i -log p(x_i)        divergence = mean_i KL( p_steered,i || p_i )

    Args:
        model: the model with nothing attached.
        sampled: what was drawn, steered or not.
    """
    for batch in sampled:
        bare = _bare_logits(model, batch).log_softmax(-1)
        steered = batch.logits.log_softmax(-1)
        new = batch.ids[:, -batch.drawn.shape[1] :]
        loss = -bare.gather(-1, new.unsqueeze(-1)).squeeze(-1)
        apart = (steered.exp() * (steered - bare)).sum(-1)
        for row, drawn in enumerate(batch.drawn):
            mean = [float(values[row, drawn].double().mean()) for values in (loss, apart)]
            yield Verdict(float(torch.tensor(mean[0]).exp()), mean[1])


@torch.no_grad()
def _bare_logits(model: PreTrainedModel, batch: Sampled) -> Float[Tensor, "rows new vocabulary"]:
    positions = (batch.mask.cumsum(1) - 1).clamp_min(0)
    out = model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=positions)
    logits: Tensor = out.logits[:, -batch.drawn.shape[1] - 1 : -1]
    return logits.float()
