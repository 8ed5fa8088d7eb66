"""How continuations are drawn, by the names of those who drew them so."""

from collections.abc import Mapping

from steersman.errors import UnknownNameError
from steersman.evaluation.task import Recipe
from steersman.sampling import Decoding

ALQR_DECODING = Decoding(temperature=1.0, top_p=0.3, repetition_penalty=1.2)
ALQR = "A-LQR (arXiv 2604.19018), released code"
ODESTEER = {
    "odesteer": Recipe(
        "odesteer",
        "ODESteer (arXiv 2602.17560), released code",
        50,
        1,
        Decoding(temperature=0.7, top_p=0.9, repetition_penalty=1.1),
    )
}
"""How that paper answers TruthfulQA and continues RealToxicityPrompts."""
OURS = "ours: the whole distribution at temperature 1"


def recipes(
    plain: int, alqr: int, *, greedy: bool = False, also: Mapping[str, Recipe] | None = None
) -> dict[str, Recipe]:
    """The recipes of a task, the default first.

    Args:
        plain: new tokens of our own recipe.
        alqr: new tokens in A-LQR.
        greedy: whether A-LQR takes the likeliest token here.
        also: further ones.
    """
    # There the steered model had no penalty and the bare one had: both have none here.
    decoding = Decoding(temperature=0.0) if greedy else ALQR_DECODING
    return {
        "alqr": Recipe("alqr", ALQR, alqr, 1, decoding),
        "plain": Recipe("plain", OURS, plain),
        **(also or {}),
    }


def chosen(known: Mapping[str, Recipe], name: str | None) -> Recipe:
    """A recipe by its name; the first for None.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        raise UnknownNameError(f"there is no recipe {name!r} here; choose {', '.join(known)}.")
    return known[name]
