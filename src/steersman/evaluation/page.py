"""An evaluation as one page: scores, side effects, what failed, samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from steersman.errors import InputError, MissingExtraError
from steersman.evaluation.folder import Row
from steersman.evaluation.scores import Score
from steersman.evaluation.words import condition, doubts
from steersman.pages import page_template, write_page

if TYPE_CHECKING:
    from steersman.evaluation.result import Evaluation

SAMPLES = 12
"""How many samples the page shows."""
_LONGEST = 1200
_UNSTEERED = "Unsteered"


@dataclass(frozen=True)
class _Cell:
    mean: str
    se: str


@dataclass(frozen=True)
class _Line:
    name: str
    cells: tuple[_Cell, ...]
    seeds: str
    count: str
    missing: str


@dataclass(frozen=True)
class _Side:
    name: str
    text: str
    marks: str
    steered: bool


@dataclass(frozen=True)
class _Shown:
    label: str
    prompt: str
    sides: tuple[_Side, ...]


def write(found: "Evaluation", path: str | Path, unsteered: "Evaluation | None") -> Path:
    """Write the page whole or not at all; without matplotlib it has tables and no figures.

    Args:
        found: what was measured.
        path: where to.
        unsteered: the same under the bare model, to stand beside it.

    Raises:
        InputError: the two are of different tasks, or the page cannot be written.
    """
    if unsteered is not None and unsteered.settings["task"] != found.settings["task"]:
        raise InputError("the two evaluations are of different tasks or recipes: compare like.")
    conditions = [one for one in (unsteered, found) if one is not None]
    page = page_template("evaluation.html.j2").render(
        title=f"{found.task} · {found.settings['model']['name']}",
        lead=_lead(found),
        columns=_columns(conditions),
        results=_results(conditions),
        table=_lines([one.scores for one in conditions]),
        panel=_lines([one.panel for one in conditions]),
        groups=_lines([one.groups for one in conditions]),
        figures=_figures(conditions),
        failed=_failed(conditions),
        samples=_samples(conditions),
        samples_made=sum(one.samples for one in conditions),
        facts=_facts(found),
    )
    return write_page(page, path)


def _columns(conditions: Sequence["Evaluation"]) -> list[str]:
    return [_UNSTEERED if one.settings["steering"] is None else "Steered" for one in conditions]


def _lead(found: "Evaluation") -> str:
    task = found.settings["task"]
    way = "rise" if task["rises"] else "fall"
    return (
        f"{found.samples} samples of the {found.settings['split']} split; {condition(found)}. The "
        f"score that counts is {task['headline']}, which should {way}."
    )


def _results(conditions: Sequence["Evaluation"]) -> list[tuple[str, _Cell | None, _Cell]]:
    last = conditions[-1]
    before = conditions[0] if len(conditions) > 1 else None
    first = None if before is None else _cell(before.headline)
    shown = [(str(last.settings["task"]["headline"]), first, last.headline)]
    for name in ("divergence", "perplexity"):
        if name in last.panel and name != shown[0][0]:
            old = _cell(before.panel[name]) if before and name != "divergence" else None
            shown.append((name, old, last.panel[name]))
    return [(name, old, _cell(score)) for name, old, score in shown]


def _lines(sides: Sequence[Mapping[str, Score]]) -> list[_Line]:
    """A row for each name that any side has."""
    names = dict.fromkeys(name for side in reversed(sides) for name in side)
    unknown = Score(float("nan"), float("nan"), float("nan"), 0)
    found = []
    for name in names:
        scores = [side.get(name, unknown) for side in sides]
        missing = any(score.missing for score in scores)
        found.append(
            _Line(
                name,
                tuple(_cell(score) for score in scores),
                f"± {_number(scores[-1].se_seeds)}" if isfinite(scores[-1].se_seeds) else "",
                str(scores[-1].count),
                " + ".join(str(score.missing) for score in scores) if missing else "0",
            )
        )
    return found


def _figures(conditions: Sequence["Evaluation"]) -> dict[str, list[tuple[str, Markup]]]:
    """What can be drawn: scores that are shares, and the divergence of the texts."""
    try:
        from steersman.plots import before_after_figure, divergence_figure, figure_svg
    except MissingExtraError:
        return {"scores": [], "panel": []}
    drawn: dict[str, list[tuple[str, Markup]]] = {"scores": [], "panel": []}
    if len(conditions) > 1:
        rows = [
            (name, *_known(conditions[0].scores.get(name)), *_known(score))
            for name, score in conditions[1].scores.items()
            if 0 <= score.mean <= 1
        ]
        rows += [
            (name, *_known(conditions[0].groups.get(name)), *_known(score))
            for name, score in list(conditions[1].groups.items())[:SAMPLES]
        ]
        if rows:
            figure = before_after_figure(rows, "share")
            drawn["scores"].append(
                (
                    "Each score and group without and with steering, with one standard error over "
                    "prompts either way.",
                    Markup(figure_svg(figure)),
                )
            )
    apart = [row["divergence"] for row in conditions[-1].rows if row.get("divergence") is not None]
    if apart and conditions[-1].settings["steering"] is not None:
        figure = divergence_figure(apart, conditions[-1].divergence.mean)
        caption = "How far every sample is from the bare model, and the mean."
        drawn["panel"].append((caption, Markup(figure_svg(figure))))
    return drawn


def _known(score: Score | None) -> tuple[float, float]:
    return (float("nan"), float("nan")) if score is None else (score.mean, score.se)


def _failed(conditions: Sequence["Evaluation"]) -> list[str]:
    names = _columns(conditions)
    told = [
        (name, line) for name, one in zip(names, conditions, strict=True) for line in doubts(one)
    ]
    return [f"{name}: {line}." if len(conditions) > 1 else f"{line}." for name, line in told]


def _samples(conditions: Sequence["Evaluation"]) -> list[_Shown]:
    """Some samples, of each group in turn, each under every condition."""
    last = conditions[-1]
    by_group: dict[str, list[int]] = {}
    for place, row in enumerate(last.rows):
        by_group.setdefault(row["group"], []).append(place)
    each = max(1, SAMPLES // len(by_group)) if by_group else 0
    places = [place for found in by_group.values() for place in found[:each]][:SAMPLES]
    keys = ("seed", "index", "sample")
    others = [{tuple(row[key] for key in keys): row for row in one.rows} for one in conditions]
    names = _columns(conditions)
    found = []
    for place in places:
        row = last.rows[place]
        sides = [
            _side(name, side[tuple(row[key] for key in keys)], name != _UNSTEERED)
            for name, side in zip(names, others, strict=True)
            if tuple(row[key] for key in keys) in side
        ]
        label = f"Prompt, {row['group']}" if row["group"] else "Prompt"
        found.append(_Shown(label, _cut(_prompt(row["prompt"]), True), tuple(sides)))
    return found


def _side(name: str, row: Row, steered: bool) -> _Side:
    marks = [f"{score} {_number(value)}" for score, value in row["scores"].items()]
    marks += [f"{judge}: {reason}" for judge, reason in row["failures"].items()]
    if row.get("divergence") is not None and steered:
        marks.append(f"divergence {_number(row['divergence'])}")
    if "text" in row:
        text = row["text"] if row["text"] else "(nothing)"
    else:
        chosen = row.get("chosen")
        text = "(not answered)" if chosen is None else f"choice {chosen + 1}"
    return _Side(name, _cut(text, False), " · ".join(marks), steered)


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"{message['role']}: {message['content']}" for message in prompt)


def _cut(text: str, from_start: bool) -> str:
    """A long text without its beginning, or without its end."""
    if len(text) <= _LONGEST:
        return text
    return f"… {text[-_LONGEST:]}" if from_start else f"{text[:_LONGEST]} …"


def _facts(found: "Evaluation") -> list[tuple[str, str]]:
    settings = found.settings
    recipe = settings["task"]["recipe"]
    decoding = recipe["decoding"]
    steering = settings["steering"] or {}
    told = [
        ("model", settings["model"]["name"]),
        ("condition", condition(found)),
        ("split", settings["split"]),
        ("seeds", ", ".join(map(str, settings["seeds"]))),
        ("recipe", f"{recipe['name']} ({recipe['source']})"),
    ]
    if "text" in (found.rows[0] if found.rows else {}):
        told += [
            ("new tokens", str(recipe["new_tokens"])),
            ("samples of a prompt", str(recipe["samples"])),
            ("temperature", f"{decoding['temperature']:g}"),
            ("top p", f"{decoding['top_p']:g}"),
            ("repetition penalty", f"{decoding['repetition_penalty']:g}"),
        ]
    told += [
        (name, str(value))
        for name, value in steering.items()
        if value is not None and name not in ("method", "features", "target", "lambda_", "tensors")
    ]
    judges = [_judge(one) for one in settings["task"]["judges"]]
    return told + [("judges", "; ".join(judges))] * bool(judges)


def _judge(settings: Mapping[str, Any]) -> str:
    named = settings.get("model") or settings.get("name") or ""
    return f"{settings['kind']} {named}".strip()


def _cell(score: Score) -> _Cell:
    if not isfinite(score.mean):
        return _Cell("not known", "")
    return _Cell(_number(score.mean), _number(score.se) if isfinite(score.se) else "")


def _number(value: float) -> str:
    digits = 3 if abs(value) < 10 else 1
    return f"{value:.{digits}f}".replace("-", "\u2212")
