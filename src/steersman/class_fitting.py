"""Fit a steering from examples of ordered classes, where two sides are not enough."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from steersman.data import ContrastivePairs, Example
from steersman.directions import ALONE, Features, contrast
from steersman.errors import InputError
from steersman.methods import Evidence, Manifold, Sides
from steersman.plant import capture_states
from steersman.provenance import Provenance
from steersman.reading import Examples, decision_tokens
from steersman.steering import Steering


def fit_classes(
    model: nn.Module,
    tokenizer: Any,
    classes: Mapping[str, Sequence[Example]],
    *,
    method: Manifold | None = None,
    positions: str = "last",
    batch_size: int = 16,
    progress: bool = True,
) -> Steering:
    """Fit a steering along the curve through the mean states of classes.

    The feature that is shown, and that chooses the block, is the contrast of the first class and
    the one furthest from it on the curve: the last, or the opposite one where they go round.

    Args:
        model: the loaded model; it is not changed.
        tokenizer: its tokenizer.
        classes: examples of each class by its name, in the order that the classes have.
        method: its settings; None is an open curve at the block that separates best.
        positions: which tokens are read, as in `fit`.
        batch_size: examples at a time.
        progress: show how far it is.

    Returns:
        The steering; absolute, a target is the number of a class, counted from 0, or a place
        between two; relative, how many classes from `method.start`.

    Raises:
        InputError: fewer than two classes, or than three that go round, one without examples, or
            classes whose states do not differ.
        UnknownNameError: no such position rule.
        NumericalError: states that are not finite.
    """
    chosen = Manifold() if method is None else method
    _require_classes(classes, 3 if chosen.periodic else 2)
    first, *others = classes
    everything = ContrastivePairs(
        [text for name in others for text in classes[name]], classes[first]
    )
    examples = Examples.of(everything, positions)
    states = {
        name: capture_states(
            *(model, tokenizer, list(texts), examples.positions),
            batch_size=batch_size,
            progress=progress,
        )
        for name, texts in classes.items()
    }
    furthest = list(classes)[len(classes) // 2] if chosen.periodic else others[-1]
    sides = Sides(states[furthest], states[first])
    evidence = Evidence(Features.of(contrast(*sides)), sides=(sides,), classes=states)
    found = chosen.settled(evidence)
    made = Provenance.of(
        model,
        tokenizer,
        pairs_hash={ALONE: everything.fingerprint()},
        pairs={ALONE: (len(everything.desired), len(everything.undesired))},
        positions=str(examples.positions),
        observer="mean",
        jacobian_prompts=0,
        decision_tokens=decision_tokens(tokenizer, examples),
    )
    controller = found.solved(evidence)
    return Steering(
        evidence.features, controller, found.method, made, diagnostics=found.diagnostics
    )


def _require_classes(classes: Mapping[str, Sequence[Example]], least: int) -> None:
    empty = [name for name, texts in classes.items() if not len(texts)]
    if len(classes) < least or empty:
        raise InputError(
            f"there are {len(classes)} classes, {len(empty)} of them without examples: give at "
            f"least {least}, by name and in order, each with some."
        )
