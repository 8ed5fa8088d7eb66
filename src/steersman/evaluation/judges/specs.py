"""Judges by how they are written on a command line."""

from collections.abc import Sequence

from steersman.errors import InputError
from steersman.evaluation.judges.base import Ask, Judge
from steersman.evaluation.judges.causal import Perplexity, YesNo
from steersman.evaluation.judges.classifier import Classifier
from steersman.evaluation.judges.endpoint import Endpoint

FORMS = (
    "classifier:MODEL@LABEL",
    "causal:MODEL",
    "endpoint:MODEL@URL",
    "perplexity:MODEL",
)


def judges_of(spec: str, asks: Sequence[Ask]) -> tuple[Judge, ...]:
    """Judges of everything that a task asks, one for each.

    Args:
        spec: `classifier:MODEL@LABEL`, `causal:MODEL`, `endpoint:MODEL@URL` or
            `perplexity:MODEL`.
        asks: what the task asks.

    Raises:
        InputError: another form, or a task that asks nothing of such a judge.
    """
    kind, _, rest = spec.partition(":")
    if kind == "perplexity" and rest:
        return (Perplexity(rest),)
    if kind not in ("classifier", "causal", "endpoint") or not rest:
        raise InputError(f"the judge {spec!r} has none of the forms {', '.join(FORMS)}.")
    if not asks:
        raise InputError(f"this task has exact scores and needs no judge such as {spec!r}.")
    if kind == "causal":
        return tuple(YesNo(ask, rest) for ask in asks)
    model, _, more = rest.partition("@")
    if kind == "classifier":
        return tuple(Classifier(ask, model, _label(spec, more, ask)) for ask in asks)
    if not model or "://" not in more:
        raise InputError(f"the judge {spec!r} has no address: write endpoint:MODEL@URL.")
    return tuple(Endpoint(ask, more, model) for ask in asks)


def _label(spec: str, label: str, ask: Ask) -> str:
    if not (label or ask.label):
        raise InputError(f"the judge {spec!r} names no label: write classifier:MODEL@LABEL.")
    return label or str(ask.label)
