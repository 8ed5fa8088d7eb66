"""Measure a behaviour on the embedded model, steered or not, by ground truth."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from steersman.windtunnel.behaviours import Behaviour, knowledge_items
from steersman.windtunnel.scores import Score, grammaticality, mean_score


@dataclass(frozen=True)
class Sample:
    """One prompt and what the model made of it."""

    prompt: str
    text: str


@dataclass(frozen=True)
class Measurement:
    """What one condition showed: scores by name, and the two side effects."""

    scores: dict[str, Score]
    grammaticality: Score
    knowledge: Score
    perplexity: Score
    samples: tuple[Sample, ...]


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    new_tokens: int,
    seed: int,
    batch_size: int = 128,
) -> list[str]:
    """Sampled continuations at temperature 1, the same for the same seed.

    Args:
        model: the model, steered or not.
        tokenizer: its tokenizer.
        prompts: texts.
        new_tokens: how many tokens at most.
        seed: of the sampling.
        batch_size: prompts at a time.
    """
    texts: list[str] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(prompts), batch_size):
            given = tokenizer(
                list(prompts[start : start + batch_size]), return_tensors="pt", padding=True
            )
            ids = model.generate(  # type: ignore[operator]
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                do_sample=True,
                top_k=0,
                max_new_tokens=new_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
            new = ids[:, given["input_ids"].shape[1] :]
            texts += tokenizer.batch_decode(new, skip_special_tokens=True)
    return texts


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    behaviour: Behaviour,
    attached: AbstractContextManager[Any] | None = None,
    *,
    seed: int = 0,
    count: int = 200,
    knowledge: int = 200,
) -> Measurement:
    """Generate for a behaviour's prompts and judge by ground truth.

    Args:
        model: the embedded model.
        tokenizer: its tokenizer.
        behaviour: what is asked.
        attached: what `Steering.attach` returned, not yet entered; None runs unsteered.
        seed: of prompts and sampling.
        count: how many prompts.
        knowledge: how many multiple-choice questions.
    """
    items = behaviour.items(seed, count)
    prompts = [item.prompt for item in items]
    with nullcontext() if attached is None else attached:
        texts = generate(model, tokenizer, prompts, new_tokens=behaviour.new_tokens, seed=seed)
        knows = knowledge_score(model, tokenizer, seed=seed, count=knowledge)
    judged = [behaviour.judge(item, text) for item, text in zip(items, texts, strict=True)]
    return Measurement(
        scores={name: mean_score([row[name] for row in judged]) for name in judged[0]},
        grammaticality=grammaticality(prompts, texts),
        knowledge=knows,
        perplexity=perplexity(model, tokenizer, prompts, texts),
        samples=tuple(Sample(p, text) for p, text in zip(prompts, texts, strict=True)),
    )


@torch.no_grad()
def knowledge_score(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, seed: int, count: int
) -> Score:
    """Share of multiple-choice questions whose right option is the likeliest of the three."""
    items = knowledge_items(seed, count)
    given = tokenizer([prompt for prompt, _, _ in items], return_tensors="pt", padding=True)
    logits = model(**given).logits[:, -1]
    right = []
    for row, (_, options, truth) in zip(logits, items, strict=True):
        ids = [tokenizer.convert_tokens_to_ids(option) for option in options]
        right.append(options[int(row[ids].argmax())] == truth)
    return mean_score(right)


@torch.no_grad()
def perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    texts: Sequence[str],
) -> Score:
    """Perplexity of continuations under the bare model: exp of each one's mean loss per token."""
    values = []
    for start in range(0, len(prompts), 128):
        chosen = slice(start, start + 128)
        sizes = [len(ids) for ids in tokenizer(list(prompts[chosen]))["input_ids"]]
        whole = [p + " " + x for p, x in zip(prompts[chosen], texts[chosen], strict=True)]
        given = tokenizer(whole, return_tensors="pt", padding=True, padding_side="right")
        losses = _token_losses(model, given["input_ids"], given["attention_mask"])
        lengths = given["attention_mask"].sum(dim=1).tolist()
        for row, size, length in zip(losses, sizes, lengths, strict=True):
            if length > size:
                values.append(float(row[size - 1 : length - 1].mean().exp()))
    return mean_score(values)


def _token_losses(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
    rows = logits.flatten(0, 1).log_softmax(-1)
    return -rows.gather(1, ids[:, 1:].reshape(-1, 1)).view(len(ids), -1)
