"""From states of prompts to the condition that tells them apart."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError
from steersman.gating.choosing import choose, f1
from steersman.gating.condition import Found, Pool, Resembles
from steersman.gating.similarity import SimilarityName
from steersman.gating.similarity import similarity as similarity_of
from steersman.gating.vectors import VectorName, condition_vectors

FEWEST = 4
"""Examples of each side that a condition is chosen on, at least."""

Prompts = tuple[Float[Tensor, "_ states n"], Float[Tensor, "_ states n"]]
"""States of prompts that are to fire and of some that are not, `x_0 .. x_T`."""


def resembling(
    chosen_on: Prompts,
    unseen: Prompts,
    *,
    states: Sequence[int],
    vector: VectorName = "pca",
    similarity: SimilarityName = "tanh",
    pool: Pool = "mean",
    left_out: tuple[int, ...] = (),
    name: str = "condition",
) -> Resembles:
    """The vector, state, threshold and side with the largest F1 on some examples.

    Args:
        chosen_on: these examples.
        unseen: others, for the score on them.
        states: which states may be chosen, in order.
        vector: as in `condition_vectors`.
        similarity: as in `similarity`.
        pool: how the prompts were read.
        left_out: token ids that a mean leaves out.
        name: what the condition is called.

    Raises:
        InputError: too few examples, or examples that do not differ.
    """
    require_enough(*map(len, chosen_on))
    firing, others = (side[:, list(states)] for side in chosen_on)
    vectors = condition_vectors(firing, others, vector)
    choice = choose(*(_values(side, vectors, similarity) for side in (firing, others)))
    made = Resembles(
        vector=vectors[choice.column].float(),
        state=states[choice.column],
        threshold=choice.threshold,
        side=choice.side,
        similarity=similarity,
        pool=pool,
        left_out=left_out if pool == "mean" else (),
        name=name,
    )
    counts = [(len(first), len(second)) for first, second in (chosen_on, unseen)]
    return made.with_found(Found(_f1(made, chosen_on), _f1(made, unseen), counts[0], counts[1]))


def require_enough(firing: int, others: int) -> None:
    """Refuse too few examples to choose a condition on.

    Args:
        firing: how many are to fire.
        others: how many are not.

    Raises:
        InputError: there are too few.
    """
    if min(firing, others) < FEWEST:
        raise InputError(
            f"a condition would be chosen on {min(firing, others)} examples of a side: give "
            f"{FEWEST} or more, and some more to be held out."
        )


def _values(
    side: Float[Tensor, "rows states n"], vectors: Float[Tensor, "states n"], kind: SimilarityName
) -> Float[Tensor, "rows states"]:
    columns = [similarity_of(side[:, t], c, kind) for t, c in enumerate(vectors)]
    return torch.stack(columns, dim=1)


def _f1(condition: Resembles, sides: Prompts) -> float:
    """Of all that the condition says of examples."""
    hits, wrong = (
        int(condition.fires({condition.reading: side[:, condition.state]}).sum()) for side in sides
    )
    return f1(hits, hits + wrong, len(sides[0]))
