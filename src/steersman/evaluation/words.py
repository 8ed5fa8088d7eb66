"""An evaluation in words and numbers, for a terminal and for a page."""

from math import isfinite
from typing import TYPE_CHECKING

from steersman.evaluation.scores import Score

if TYPE_CHECKING:
    from steersman.evaluation.result import Evaluation

SHOWN_GROUPS = 12


def summary(found: "Evaluation") -> str:
    """The findings in a few lines."""
    width = max(len(name) for name in (*found.scores, *found.panel, *_shown_groups(found)))
    lines = [_about(found)]
    lines += [f"  {name:<{width}}  {said(score)}" for name, score in found.scores.items()]
    if _shown_groups(found):
        lines.append(f"{found.settings['task']['headline']} by group:")
        lines += [f"  {name:<{width}}  {said(found.groups[name])}" for name in _shown_groups(found)]
        if len(found.groups) > SHOWN_GROUPS:
            lines.append(f"  ... and {len(found.groups) - SHOWN_GROUPS} more in the summary")
    lines.append("side effects:")
    lines += [f"  {name:<{width}}  {said(score)}" for name, score in found.panel.items()]
    return "\n".join([*lines, *doubts(found)])


def doubts(found: "Evaluation") -> list[str]:
    """What went wrong, a line each; nothing where all went well."""
    lines = []
    if found.empty:
        lines.append(f"{found.empty} of {found.samples} continuations are empty")
    for failure in found.failures:
        lines.append(
            f"{failure.judge} failed on {failure.count} of {found.samples}: {failure.reason}"
        )
    cut = sum(bool(row.get("cut")) for row in found.rows)
    if cut:
        lines.append(f"the context of {cut} of {found.samples} questions was cut at its beginning")
    return lines


def said(score: Score) -> str:
    """A score with its standard errors over prompts and over seeds."""
    if not isfinite(score.mean):
        return "not known" + _missing(score)
    digits = 3 if abs(score.mean) < 100 else 1
    error = f" +- {score.se:.{digits}f}" if isfinite(score.se) else ""
    seeds = f" (seeds +- {score.se_seeds:.{digits}f})" if isfinite(score.se_seeds) else ""
    return f"{score.mean:.{digits}f}{error}{seeds}{_missing(score)}"


def condition(found: "Evaluation") -> str:
    """What steered, in a line."""
    steering = found.settings["steering"]
    if steering is None:
        return "unsteered"
    strength = steering["target"] if steering["lambda_"] is None else steering["lambda_"]
    name = "target" if steering["lambda_"] is None else "lambda"
    return f"{steering['method']}, {name} {strength}"


def _about(found: "Evaluation") -> str:
    settings = found.settings
    seeds = len(settings["seeds"])
    return (
        f"{found.task} on {settings['model']['name']}, {condition(found)}: {found.samples} samples "
        f"of the {settings['split']} split, {seeds} {'seed' if seeds == 1 else 'seeds'}"
    )


def _missing(score: Score) -> str:
    return f"  [{score.missing} missing]" if score.missing else ""


def _shown_groups(found: "Evaluation") -> list[str]:
    return list(found.groups)[:SHOWN_GROUPS]
