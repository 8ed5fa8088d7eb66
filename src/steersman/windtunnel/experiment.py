"""Steer the embedded model toward a behaviour, over seeds, by ground truth."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from steersman.fitting import fit
from steersman.methods import Method, method_named
from steersman.steering import Steering
from steersman.windtunnel.behaviours import Behaviour
from steersman.windtunnel.measure import Measurement, measure
from steersman.windtunnel.scores import Score, over_seeds

Attach = Callable[[Steering, Any], AbstractContextManager[Any]]

PAIRS = 200


@dataclass(frozen=True)
class Condition:
    """A way to run a behaviour's prompts.

    Args:
        name: what it is called.
        method: what to fit; None runs unsteered.
        attach: how to attach what was fitted.
    """

    name: str
    method: str | Method | None = "a-lqr"
    attach: Attach = lambda steering, model: steering.attach(model, trace=False)


UNSTEERED = Condition("unsteered", None)


@dataclass(frozen=True)
class Outcome:
    """What one condition showed over the seeds; every score with its standard error.

    `first` and `steering` are of the first seed.
    """

    condition: str
    scores: dict[str, Score]
    grammaticality: Score
    knowledge: Score
    perplexity: Score
    divergence: Score
    first: Measurement
    steering: Steering | None


def fit_behaviour(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    behaviour: Behaviour,
    *,
    seed: int = 0,
    pairs: int = PAIRS,
    method: str | Method = "a-lqr",
    observer: str | None = None,
) -> Steering:
    """Fit on the pairs of a behaviour's fitting split, with the package's defaults.

    Args:
        model: the embedded model.
        tokenizer: its tokenizer.
        behaviour: what to steer.
        seed: of the pairs.
        pairs: how many.
        method: a name, or a method with its own settings.
        observer: along what the feature is observed; None is along the method's direction.
    """
    kind = method_named(method) if isinstance(method, str) else method
    examples = (behaviour.aligned if kind.aligned else behaviour.pairs)(seed, pairs)
    return fit(
        model,
        tokenizer,
        examples,
        method=method,
        observer=observer,
        batch_size=32,
        progress=False,
    )


def compare(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    behaviour: Behaviour,
    conditions: Sequence[Condition],
    *,
    seeds: int = 5,
    count: int = 200,
) -> tuple[Outcome, ...]:
    """Every condition on the same prompts, a new fit and new prompts for each seed.

    Args:
        model: the embedded model.
        tokenizer: its tokenizer.
        behaviour: what is asked.
        conditions: how to run it.
        seeds: repetitions; standard errors are over them.
        count: prompts in each.
    """
    found: list[list[Measurement]] = [[] for _ in conditions]
    first: dict[str, Steering] = {}
    for seed in range(seeds):
        fitted: dict[str, Steering] = {}
        for condition, measured in zip(conditions, found, strict=True):
            kind = condition.method
            if kind is not None and str(kind) not in fitted:
                fitted[str(kind)] = fit_behaviour(
                    model, tokenizer, behaviour, seed=seed, method=kind
                )
            attached = None if kind is None else condition.attach(fitted[str(kind)], model)
            measured.append(
                measure(model, tokenizer, behaviour, attached, seed=1000 + seed, count=count)
            )
        first = first or fitted
    return tuple(
        _outcome(condition.name, measured, first.get(str(condition.method)))
        for condition, measured in zip(conditions, found, strict=True)
    )


def _outcome(name: str, measured: Sequence[Measurement], steering: Steering | None) -> Outcome:
    return Outcome(
        condition=name,
        scores={key: over_seeds([m.scores[key] for m in measured]) for key in measured[0].scores},
        grammaticality=over_seeds([m.grammaticality for m in measured]),
        knowledge=over_seeds([m.knowledge for m in measured]),
        perplexity=over_seeds([m.perplexity for m in measured]),
        divergence=over_seeds([m.divergence for m in measured]),
        first=measured[0],
        steering=steering,
    )
