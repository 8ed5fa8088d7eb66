"""From what can be afforded, or what is wanted, to the strength."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from tqdm.auto import tqdm

from steersman.calibration.aims import Aim, Budget, Score
from steersman.calibration.bisection import require_range
from steersman.calibration.notes import best_of, notes_on
from steersman.calibration.result import Calibration, scaled
from steersman.calibration.trials import Trials
from steersman.calibration.writing import Writer
from steersman.data import ContrastivePairs, Example
from steersman.data.examples import as_example
from steersman.engines import Run, Tokens
from steersman.errors import InputError
from steersman.methods import ExecutionName, ReferenceName
from steersman.request import RelinearizeName
from steersman.sampling import encode_prompts
from steersman.steering import Steering

MAXIMUM = 8.0
TOLERANCE = 0.02
EVALUATIONS = 16


def calibrate(
    steering: Steering,
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    *,
    budget: Budget | None = None,
    target: Score | None = None,
    along: Mapping[str, float] | None = None,
    maximum: float = MAXIMUM,
    tolerance: float = TOLERANCE,
    evaluations: int = EVALUATIONS,
    new_tokens: int = 40,
    seed: int = 0,
    batch_size: int = 16,
    tokens: Tokens | None = None,
    reference: ReferenceName | None = None,
    execution: ExecutionName | None = None,
    relinearize: RelinearizeName = "fit",
    correction: float = 0.0,
    progress: bool = True,
) -> Calibration:
    """The strength at which a budget is used up, or a score is reached.

        budget:  s* = max { s : value(s') <= limit  for every tried s' up to s }
        score:   s* = min { s : score(s) reaches the level }        0 <= s <= maximum

    At every strength the model goes on from the same prompts with the same random numbers, so that
    `value(s)` is one function without noise between its points, which doubling and then halving of
    the strength follows. What is left of chance is which prompts and which random numbers they are:
    the standard error, over prompts. Strengths are natural units, as `attach(target=...)` takes
    them.

    Args:
        steering: what to attach; made for this model.
        model: the loaded model, in evaluation mode, with nothing attached; it is not changed.
        tokenizer: its tokenizer.
        prompts: texts or conversations to go on from, for validation alone: not the examples that
            the steering was fitted on, at which it does better than elsewhere.
        budget: a side effect that can be afforded: `KL(0.05)`, `Perplexity(1.1)`, `Effort(0.1)`.
        target: a score to be reached, in its place: `Score(judge, 0.8)`.
        along: of a steering with several features, the target of each by its name at strength 1;
            every strength scales it. None for one feature.
        maximum: the largest strength that is ever tried. Below zero the search goes downwards from
            0, away from what is desired; it never goes both ways.
        tolerance: how exactly the strength is found, as a share of it.
        evaluations: how many strengths are tried at most, 0 among them.
        new_tokens: how many tokens follow each prompt at most, drawn at temperature 1.
        seed: of the sampling.
        batch_size: prompts at a time; the logits of one batch are kept.
        tokens: as in `Steering.attach`, and so are the next four; attach with the same ones.
        reference: see there.
        execution: see there.
        relinearize: see there.
        correction: see there.
        progress: say how long it will take, and show how far it is.

    Returns:
        The strength and how well it is known, its value with its standard error, all strengths
        that were tried, and what the strength costs in divergence, perplexity and effort. A score
        that cannot be reached is not an error: `met` says so, and the strength is the best one
        found.

    Raises:
        InputError: no prompts, prompts that cannot be used, budget and target both or neither,
            a judge that does not give every text a finite score, or options that contradict each
            other.
        MismatchError: the steering was made for another model.
        AttachedError: the model already carries a steering.
        NumericalError: the model's logits or a value are not finite.
    """
    aim = _one_of(budget, target)
    if not isinstance(steering, Steering):
        raise InputError(
            f"a {type(steering).__name__} has no one effort to measure: calibrate each steering "
            "alone, and evaluate them together."
        )
    examples = _checked(prompts, new_tokens, batch_size)
    require_range(maximum, tolerance, evaluations)

    def attach(strength: float) -> Run:
        return steering.attach(
            model,
            scaled(strength, along),
            tokens=tokens,
            reference=reference,
            execution=execution,
            relinearize=relinearize,
            correction=correction,
        )

    with attach(0.0):  # what cannot be done is said before anything is
        encode_prompts(model, tokenizer, examples, new_tokens)
    bare_at_zero = (reference or steering.method.reference) == "relative"
    total = (evaluations if bare_at_zero else evaluations + 1) * len(examples)
    with tqdm(total=total, desc="calibrate", unit="text", disable=not progress) as bar:
        writer = Writer(
            model, tokenizer, examples, attach, new_tokens, seed, batch_size, bar.update
        )
        trials = Trials(aim, along, writer, bare_at_zero, bar.set_postfix_str)
        if progress:
            bar.write(_expected(trials, evaluations), file=sys.stderr)
        found = aim.search(trials.gap, maximum, tolerance=tolerance, evaluations=evaluations)
        bar.total = bar.n
    curve = trials.curve
    strength = best_of(aim, curve).strength if found.holds is None else found.holds
    idle = trials.effort(curve[-1].strength).value == 0
    return trials.result(
        strength,
        met=found.holds is not None,
        crosses=found.holds is not None and found.fails is not None,
        notes=notes_on(aim, curve, found, tolerance=tolerance, idle=idle),
    )


def _one_of(budget: Budget | None, target: Score | None) -> Aim:
    if budget is not None and target is None:
        return budget
    if target is not None and budget is None:
        return target
    raise InputError("give either a budget or a target, such as budget=sm.KL(0.05).")


def _checked(prompts: Sequence[Example], new_tokens: int, batch_size: int) -> tuple[Example, ...]:
    if isinstance(prompts, ContrastivePairs):
        raise InputError(
            "these are contrastive pairs, to fit on: give prompts that the fit has not seen."
        )
    if isinstance(prompts, str):
        raise InputError("prompts is one text; give a list of them.")
    if not len(prompts):
        raise InputError("there are no prompts to calibrate on: give at least one.")
    if new_tokens < 1 or batch_size < 1:
        raise InputError(
            f"new_tokens is {new_tokens} and batch_size {batch_size}; both must be at least 1."
        )
    return tuple(as_example(prompt, f"prompt {index}") for index, prompt in enumerate(prompts))


def _expected(trials: Trials, evaluations: int) -> str:
    return (
        f"calibrating: {trials.seconds:.1f} s without steering, at most {evaluations} strengths: "
        f"about {evaluations * trials.seconds / 60:.1f} min, or twice that with feedback"
    )
