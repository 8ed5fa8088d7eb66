"""Make the samples of one batch: let the model go on, ask it and the judges what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp, isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.conditions import Condition
from steersman.data import Example
from steersman.errors import InputError, NumericalError
from steersman.evaluation.batches import Batch, Slot, of_row
from steersman.evaluation.folder import Row
from steersman.evaluation.items import Prompt, Question
from steersman.evaluation.judges import Answer, Judge
from steersman.evaluation.likelihood import Likelihood, likelihoods
from steersman.evaluation.metrics import branching_factor
from steersman.evaluation.task import Task
from steersman.evaluation.texts import repetition
from steersman.plant import locate, tokenize
from steersman.sampling import sample, verdicts

GENERATION = "generation"
"""What failures to write at all are counted under."""
LIKELIHOOD = "likelihood"
"""What failures to say how likely a choice is are counted under."""
EMPTY = "the continuation is empty"
PANEL = ("divergence", "loss", "perplexity", "branching", "tokens", "repetition")
"""What is noted of every continuation beside its scores."""


@dataclass(frozen=True)
class _Made:
    """What came of one prompt: a text and what is known of it, or why there is none."""

    text: str | None = None
    tokens: int = 0
    loss: float = float("nan")
    divergence: float = float("nan")
    branching: float = float("nan")
    failure: str | None = None


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes samples.

    Args:
        model: the model, with nothing attached.
        tokenizer: its tokenizer.
        task: what is asked.
        condition: what is attached while the model writes.
        batch_size: rows at a time.
    """

    model: nn.Module
    tokenizer: Any
    task: Task
    condition: Condition
    batch_size: int

    def rows(self, batch: Batch) -> list[Row]:
        """Every sample of the batch, as it is written down."""
        if isinstance(batch.slots[0].item, Prompt):
            return self._continued(batch)
        return self._chosen(batch)

    def _continued(self, batch: Batch) -> list[Row]:
        made = self._written(batch)
        rows = [
            slot.begins()
            | {
                "text": one.text,
                "divergence": one.divergence,
                "loss": one.loss,
                "perplexity": _exp(one.loss),
                "branching": one.branching,
                "tokens": one.tokens,
                "repetition": float("nan") if one.text is None else repetition(one.text),
                "scores": {},
                "failures": {} if one.failure is None else {GENERATION: one.failure},
            }
            for slot, one in zip(batch.slots, made, strict=True)
        ]
        for judge in self.task.judges:
            self._judged(judge, batch.slots, rows)
        return rows

    def _judged(self, judge: Judge, slots: Sequence[Slot], rows: Sequence[Row]) -> None:
        """Put a judge's scores and failures into the rows."""
        able: list[tuple[Row, Answer]] = []
        for slot, row in zip(slots, rows, strict=True):
            assert isinstance(slot.item, Prompt)
            if row["text"] is None:
                row["failures"][judge.name] = row["failures"][GENERATION]
            elif judge.needs_text and not row["text"].strip():
                row["failures"][judge.name] = EMPTY
            else:
                able.append((row, Answer(slot.item, row["text"])))
        if not able:
            return
        judgements = judge.judge([answer for _, answer in able])
        for (row, _), judgement in zip(able, judgements, strict=True):
            failure = judgement.failure or _not_finite(judgement.scores)
            if failure is not None:
                row["failures"][judge.name] = failure
            else:
                row["scores"] |= {name: float(v) for name, v in judgement.scores.items()}

    def _written(self, batch: Batch) -> list[_Made]:
        """Continuations of all prompts that fit, and why the others have none."""
        too_long = [self._too_long(_prompt(slot)) for slot in batch.slots]
        fits = [row for row, reason in enumerate(too_long) if reason is None]
        found = [_Made(failure=reason) for reason in too_long]
        if not fits:
            return found
        prompts = [_prompt(batch.slots[row]) for row in fits]
        try:
            made = self._sampled(prompts, batch.random_seed)
        except NumericalError:
            # One row can spoil a batch: each is tried by itself.
            made = [
                self._alone(prompt, of_row(batch.random_seed, row))
                for prompt, row in zip(prompts, fits, strict=True)
            ]
        for row, one in zip(fits, made, strict=True):
            found[row] = one
        return found

    def _alone(self, prompt: Example, seed: int) -> _Made:
        try:
            return self._sampled([prompt], seed)[0]
        except NumericalError as error:
            return _Made(failure=str(error))

    def _sampled(self, prompts: Sequence[Example], seed: int) -> list[_Made]:
        recipe = self.task.recipe
        with self.condition.attach(self.model):
            (drawn,) = sample(
                self.model,
                self.tokenizer,
                prompts,
                new_tokens=recipe.new_tokens,
                seed=seed,
                batch_size=len(prompts),
                decoding=recipe.decoding,
            )
        return [
            _Made(text, int(new.sum()), verdict.loss, verdict.divergence, _branching(logits[new]))
            for text, new, logits, verdict in zip(
                drawn.texts, drawn.drawn, drawn.logits, verdicts(self.model, [drawn]), strict=True
            )
        ]

    def _too_long(self, prompt: Example) -> str | None:
        limit = locate(self.model).context
        if limit is None:
            return None
        (tokens,) = tokenize(self.tokenizer, [prompt])
        room = limit - self.task.recipe.new_tokens
        if len(tokens) <= room:
            return None
        return f"the prompt is too long: {len(tokens)} tokens, and there is room for {room}"

    def _chosen(self, batch: Batch) -> list[Row]:
        """How likely every choice is; of a question that does not fit, why it is left out."""
        try:
            return self._asked(batch.slots)
        except InputError:
            return [row for slot in batch.slots for row in self._asked_alone(slot)]

    def _asked_alone(self, slot: Slot) -> list[Row]:
        try:
            return self._asked([slot])
        except InputError as error:
            return [slot.begins() | _NO_CHOICE | {"failures": {LIKELIHOOD: str(error)}}]

    def _asked(self, slots: Sequence[Slot]) -> list[Row]:
        questions = [_question(slot) for slot in slots]
        pairs = [(one.context, choice) for one in questions for choice in one.choices]
        with self.condition.attach(self.model):
            found = likelihoods(
                self.model,
                self.tokenizer,
                pairs,
                batch_size=self.batch_size,
                stepwise=self.condition.stepwise,
            )
        starts = [0, *accumulate(len(one.choices) for one in questions)][:-1]
        apart = self._apart([pairs[start] for start in starts], found.first[starts])
        return [
            slot.begins()
            | _choice(one, found.found[start : start + len(one.choices)])
            | {"divergence": divergence}
            for slot, one, start, divergence in zip(slots, questions, starts, apart, strict=True)
        ]

    def _apart(
        self, pairs: Sequence[tuple[str, str]], steered: Float[Tensor, "questions vocabulary"]
    ) -> list[float]:
        """KL from the bare model where the answer begins, nats."""
        if self.condition.steering is None:
            return [0.0] * len(pairs)
        bare = likelihoods(self.model, self.tokenizer, pairs, batch_size=self.batch_size)
        p, q = steered.log_softmax(-1), bare.first.log_softmax(-1)
        return torch.where(p.isneginf(), 0.0, p.exp() * (p - q)).sum(-1).double().tolist()


def _choice(question: Question, found: Sequence[Likelihood]) -> Row:
    """What a question's likelihoods amount to."""
    totals = [one.total for one in found]
    right = question.right
    if not all(isfinite(total) for total in totals):
        failure = "the likelihood of a choice is not finite"
        return _NO_CHOICE | {"totals": totals, "failures": {LIKELIHOOD: failure}}
    best = totals.index(max(totals))
    mass = [exp(total - max(totals)) for total in totals]
    share = sum(m for m, good in zip(mass, right, strict=True) if good) / sum(mass)
    return {
        "chosen": best,
        "totals": totals,
        "cut": max(one.cut for one in found),
        "scores": {question.score: share if question.mass else float(right[best])},
        "failures": {},
    }


_NO_CHOICE: Row = {"chosen": None, "totals": [], "cut": 0, "divergence": float("nan"), "scores": {}}


def _prompt(slot: Slot) -> Example:
    assert isinstance(slot.item, Prompt)
    return slot.item.prompt


def _question(slot: Slot) -> Question:
    assert isinstance(slot.item, Question)
    return slot.item


def _not_finite(scores: Mapping[str, float]) -> str | None:
    wrong = [name for name, value in scores.items() if not isfinite(value)]
    return f"{', '.join(wrong)} is not finite" if wrong else None


def _branching(logits: Float[Tensor, "tokens vocabulary"]) -> float:
    """Among how many tokens each new one was chosen, on average; NaN where there is none."""
    return float(branching_factor(logits).mean())


def _exp(loss: float) -> float:
    try:
        return exp(loss)
    except OverflowError:
        return float("inf")
