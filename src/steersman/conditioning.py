"""From examples to a condition: for which prompts a steering is to act."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from steersman.data import ContrastivePairs
from steersman.errors import InputError
from steersman.gating import Resembles, SimilarityName, VectorName, resembling
from steersman.gating.condition import Pool
from steersman.gating.fitted import Prompts, require_enough
from steersman.plant import AllTokens, LastToken, capture_states, special_ids


def fit_condition(
    model: nn.Module,
    tokenizer: Any,
    pairs: ContrastivePairs,
    *,
    vector: VectorName = "pca",
    similarity: SimilarityName = "tanh",
    pool: Pool = "mean",
    states: Sequence[int] | None = None,
    held_out: ContrastivePairs | float = 0.25,
    seed: int = 0,
    name: str = "condition",
    batch_size: int = 16,
    progress: bool = True,
) -> Resembles:
    """A condition on prompts, from some that are to fire and some that are not.

        c_t = a direction of the differences of their states x_t
        fires  iff  sim(x_t, c_t) > threshold, or iff it is below

    State, threshold and side are those with the largest F1 on the examples; equal ones are told
    apart as `steersman.gating.choose` says. How it does on other examples is in `found`.

    Args:
        model: the loaded model, with nothing attached; it is not changed.
        tokenizer: its tokenizer.
        pairs: prompts as the model is going to see them: `desired` are to fire, `undesired` not.
        vector: "pca", the first principal component of pairs around their own means, as published;
            or "mean", the difference of the two means, which needs no pairs.
        similarity: "tanh", as published; or "cosine", which tells the two ways along `c` apart.
        pool: the mean over the prompt's tokens, without special ones, or its last one.
        states: which of `x_0 .. x_T` may be chosen; None is all behind a block and before the last.
            A state that no acting block lies before costs nothing at run time; for a later one the
            prompt runs once more.
        held_out: examples for the score on others, or the share of `pairs` that is kept for it.
        seed: decides which.
        name: what the condition is called.
        batch_size: examples at a time.
        progress: show how far it is.

    Returns:
        The condition, for `Steering.when`.

    Raises:
        InputError: too few examples, no pairs for "pca", a state or a choice that there is not, or
            examples that do not differ.
        NumericalError: states that are not finite.

    Source:
        CAST (arXiv 2409.05907); the sides' names, held-out scores and the cosine are ours.
    """
    if vector == "pca" and not pairs.paired:
        raise InputError("vector='pca' is of pairs, and these examples are none: use 'mean'.")
    chosen_on, others = _split(pairs, held_out, seed)
    marks = tuple(sorted(special_ids(tokenizer))) if pool == "mean" else ()
    rule = AllTokens() if pool == "mean" else LastToken()

    def read(examples: ContrastivePairs) -> Prompts:
        firing, rest = (
            capture_states(
                model, tokenizer, list(side), rule, batch_size=batch_size, progress=progress
            )
            for side in (examples.desired, examples.undesired)
        )
        return firing, rest

    chosen, unseen = read(chosen_on), read(others)
    return resembling(
        chosen,
        unseen,
        states=_allowed(states, chosen[0].shape[1]),
        vector=vector,
        similarity=similarity,
        pool=pool,
        left_out=marks,
        name=name,
    )


def _split(
    pairs: ContrastivePairs, held_out: ContrastivePairs | float, seed: int
) -> tuple[ContrastivePairs, ContrastivePairs]:
    """What the condition is chosen on, and the others.

    Raises:
        InputError: too few of either.
    """
    if isinstance(held_out, ContrastivePairs):
        chosen_on, others = pairs, held_out
    else:
        chosen_on, others = pairs.split(1 - held_out, seed=seed)
    require_enough(len(chosen_on.desired), len(chosen_on.undesired))
    return chosen_on, others


def _allowed(states: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """Which states may be chosen, in order.

    Raises:
        InputError: none, or one that there is not.
    """
    asked = range(1, count - 1) if states is None else states
    wrong = sorted(set(asked) - set(range(count)))
    if wrong or not asked:
        raise InputError(f"states names {wrong or 'none'}; the model has 0 .. {count - 1}.")
    return tuple(sorted(set(asked)))
