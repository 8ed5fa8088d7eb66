"""What a comparison found: every method at the same side effect, and what it gives when asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steersman.evaluation.metrics import Comparison
from steersman.evaluation.scores import Score
from steersman.jsonable import plain

KIND, FORMAT = "steersman comparison", 1


@dataclass(frozen=True)
class Asked:
    """What came of asking for a target.

    Args:
        target: what was asked for, natural units.
        score: the headline.
        divergence: KL from the bare model, nats per token.
        obtained: how far the headline came from unsteered (0) to desired (1), over seeds; NaN where
            the task does not know what is desired.
        moved: the headline less the unsteered model's, paired by prompt; None where there is
            nothing to compare.
    """

    target: float
    score: Score
    divergence: Score
    obtained: Score
    moved: Comparison | None = None


@dataclass(frozen=True, eq=False)
class MethodResult:
    """A method at the strength at which it uses the budget up.

    Args:
        label: what it is called here.
        method: which method it is.
        strength: natural units, over seeds.
        met: on how many seeds the budget was kept on the validation prompts.
        scores: what the task is about, the headline first; on the test prompts.
        panel: side effects on the test prompts.
        against: its headline less the baseline's, paired by prompt; None where there is nothing to
            compare.
        moved: its headline less the unsteered model's, likewise.
        asked: what came of every target.
        slope: of what was obtained over what was asked, over seeds; in raw scores a unit where the
            task does not know what is desired.
        gap: root mean square of obtained less asked, over seeds; NaN there.
        notes: what to know, each with how many seeds it was said of.
        failures: what could not be done, with the reason.
        timing: mean seconds of the fit and the calibration, and a token; not part of `to_dict`.
    """

    label: str
    method: str
    strength: Score
    met: int
    scores: Mapping[str, Score]
    panel: Mapping[str, Score]
    asked: tuple[Asked, ...]
    slope: Score
    gap: Score
    against: Comparison | None = None
    moved: Comparison | None = None
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    timing: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All but what depends on the machine's pace."""
        return {
            "label": self.label,
            "method": self.method,
            "strength": vars(self.strength),
            "met": self.met,
            "scores": {name: vars(score) for name, score in self.scores.items()},
            "panel": {name: vars(score) for name, score in self.panel.items()},
            "against": _apart(self.against),
            "moved": _apart(self.moved),
            "asked": [
                {
                    "target": one.target,
                    "score": vars(one.score),
                    "divergence": vars(one.divergence),
                    "obtained": vars(one.obtained),
                    "moved": _apart(one.moved),
                }
                for one in self.asked
            ],
            "slope": vars(self.slope),
            "gap": vars(self.gap),
            "notes": list(self.notes),
            "failures": list(self.failures),
        }


def _apart(found: Comparison | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {**vars(found.effect), "p": found.p, "test": found.test}


@dataclass(frozen=True, eq=False)
class ComparisonReport:
    """Methods at equal side effect, on test prompts that nothing was chosen on.

    Args:
        settings: everything that decided it.
        unsteered: the scores of the bare model, the headline first.
        unsteered_panel: its side effects, of no steering.
        desired: the headline of the bare model in desired contexts; None where the task has none.
        in_units: whether that tells what target 1 asks for, so that `obtained` is known.
        methods: every method that was tried, in the order they were named.
        left_out: methods that cannot be fitted on this task, with the reason.
    """

    settings: Mapping[str, Any]
    unsteered: Mapping[str, Score]
    unsteered_panel: Mapping[str, Score]
    desired: Score | None
    in_units: bool
    methods: tuple[MethodResult, ...]
    left_out: Mapping[str, str]

    @property
    def headline(self) -> str:
        """The name of the score that counts."""
        return str(self.settings["task"]["headline"])

    @property
    def rises(self) -> bool:
        """Whether it should rise."""
        return bool(self.settings["task"]["rises"])

    @property
    def baseline(self) -> str:
        """What every method is compared with."""
        return str(self.settings["comparison"]["baseline"])

    def effect(self, one: MethodResult) -> Score | None:
        """The headline of a method at the budget; None where it failed."""
        return one.scores.get(self.headline, one.panel.get(self.headline))

    def summary(self) -> str:
        """A table and what to know, for a terminal."""
        from steersman.evaluation.comparison.words import summary

        return summary(self)

    def to_html(self, path: str | Path) -> Path:
        """Write one self-contained page.

        Raises:
            InputError: it cannot be written there.
        """
        from steersman.evaluation.comparison.page import write

        return write(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the same whatever the machine's pace; what is not known is null."""
        found: dict[str, Any] = plain(
            {
                "kind": KIND,
                "format": FORMAT,
                "settings": self.settings,
                "unsteered": {name: vars(score) for name, score in self.unsteered.items()},
                "unsteered_panel": {n: vars(score) for n, score in self.unsteered_panel.items()},
                "desired": None if self.desired is None else vars(self.desired),
                "in_units": self.in_units,
                "methods": [one.to_dict() for one in self.methods],
                "left_out": self.left_out,
            }
        )
        return found

    def timing(self) -> dict[str, Any]:
        """Seconds, apart from what is the same on every run."""
        found: dict[str, Any] = plain({one.label: one.timing for one in self.methods})
        return found
