"""Measure a behaviour on the embedded model, steered or not, by ground truth."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from steersman.sampling import sample, verdicts
from steersman.windtunnel.behaviours import Behaviour, knowledge_items
from steersman.windtunnel.scores import Score, grammaticality, mean_score


@dataclass(frozen=True)
class Sample:
    """One prompt and what the model made of it."""

    prompt: str
    text: str


@dataclass(frozen=True)
class Measurement:
    """What one condition showed.

    Args:
        scores: by name.
        grammaticality: share of grammatical lines.
        knowledge: share of multiple-choice questions answered rightly.
        perplexity: of the continuations under the bare model.
        divergence: KL from the bare model in nats per token, along the continuations.
        samples: prompts and continuations.
    """

    scores: dict[str, Score]
    grammaticality: Score
    knowledge: Score
    perplexity: Score
    divergence: Score
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
    drawn = sample(
        model, tokenizer, prompts, new_tokens=new_tokens, seed=seed, batch_size=batch_size
    )
    return [text for batch in drawn for text in batch.texts]


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
        drawn = sample(model, tokenizer, prompts, new_tokens=behaviour.new_tokens, seed=seed)
        knows = knowledge_score(model, tokenizer, seed=seed, count=knowledge)
    texts = [text for batch in drawn for text in batch.texts]
    bare = list(verdicts(model, drawn))
    judged = [behaviour.judge(item, text) for item, text in zip(items, texts, strict=True)]
    return Measurement(
        scores={name: mean_score([row[name] for row in judged]) for name in judged[0]},
        grammaticality=grammaticality(prompts, texts),
        knowledge=knows,
        perplexity=mean_score([verdict.perplexity for verdict in bare]),
        divergence=mean_score([verdict.divergence for verdict in bare]),
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
