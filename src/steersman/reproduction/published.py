"""Numbers that a paper gives, and how we know them."""

from dataclasses import dataclass

UNSTEERED = "unsteered"
"""What the bare model is called, in the paper's tables and in ours."""


@dataclass(frozen=True)
class Published:
    """One number of a paper.

    Args:
        measure: which measure it is of, by its name in the item.
        method: the paper's name of the method.
        model: the model that it was measured on.
        value: the number, in the unit of the measure.
        source: where it was read.
        second_hand: whether it was read in somebody else's text, and not in the paper itself.
        up_to: the other end, where a range is given; None for one number.
        note: what is doubtful about it.
    """

    measure: str
    method: str
    model: str
    value: float
    source: str
    second_hand: bool
    up_to: float | None = None
    note: str = ""


def quoted(
    measure: str,
    values: dict[tuple[str, str], float],
    source: str,
    notes: dict[tuple[str, str], str] | None = None,
) -> tuple[Published, ...]:
    """Numbers of one measure that were read second-hand.

    Args:
        measure: the measure.
        values: by method and model.
        source: where they were read.
        notes: what is doubtful, by method and model.
    """
    return tuple(
        Published(measure, method, model, value, source, True, note=(notes or {}).get(key, ""))
        for key, value in values.items()
        for method, model in [key]
    )


def is_model(name: str, published: str) -> bool:
    """Whether a model is one that a paper used, by its name.

    Args:
        name: such as "google/gemma-2-2b".
        published: such as "Gemma-2-2B".
    """
    return _letters(name.rsplit("/", 1)[-1]).removeprefix("meta") == _letters(published)


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
