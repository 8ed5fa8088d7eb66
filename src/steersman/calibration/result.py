"""What a calibration found: the strength, what it is worth, and every strength that was tried."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steersman.calibration.aims import Aim
from steersman.estimates import Estimate
from steersman.jsonable import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """One strength that was tried.

    Args:
        strength: natural units, as `attach(target=...)` takes it.
        value: what was measured there.
        se: its standard error over prompts; NaN for a single prompt.
    """

    strength: float
    value: float
    se: float


def scaled(strength: float, along: Mapping[str, float] | None) -> float | dict[str, float]:
    """The target at a strength: of the only feature, or of each by its name."""
    if along is None:
        return strength
    return {name: strength * share for name, share in along.items()}


@dataclass(frozen=True)
class Calibration:
    """A strength, what it was chosen by, and the target for `attach(model, target)`.

    Every point is measured on the same prompts with the same random numbers, and so is the value:
    what just keeps a budget or reaches a score here may just not do so on other prompts, by about
    the standard error. More prompts make it smaller.

    Args:
        aim: what was asked for.
        along: the target of each feature at strength 1; None for one feature.
        met: whether the value at `strength` is what was asked for.
        strength: the strength; where the aim is not met, the best that was found.
        interval: strengths that it cannot be told apart from, by one standard error of the value
            either way; None where the aim is met everywhere or nowhere, or the error is not known.
        value: what was measured there.
        se: its standard error over prompts.
        curve: all strengths that were tried, from 0 on.
        divergence: KL from the bare model at that strength, nats per token.
        perplexity: of the text under the bare model, relative to unsteered text.
        effort: length of the inputs relative to that of the states.
        notes: what a person should know before using the strength; empty where all went well.
        prompts: how many prompts.
        new_tokens: how many tokens followed each at most.
        seed: of the sampling.
    """

    aim: Aim
    along: Mapping[str, float] | None
    met: bool
    strength: float
    interval: tuple[float, float] | None
    value: float
    se: float
    curve: tuple[Point, ...]
    divergence: Estimate
    perplexity: Estimate
    effort: Estimate
    notes: tuple[str, ...]
    prompts: int
    new_tokens: int
    seed: int

    @property
    def target(self) -> float | dict[str, float]:
        """What to attach with: the strength, or the target of each feature by its name."""
        return scaled(self.strength, self.along)

    def __str__(self) -> str:
        """A few lines for a person."""
        about = "" if self.interval is None else " ({:.3g} to {:.3g})".format(*self.interval)
        found = f"{self.aim.name} {Estimate(self.value, self.se)} {self.aim.unit}".strip()
        lines = [
            f"strength {self.strength:.4g}{about}: {found}; asked for {self.aim}, "
            + ("met" if self.met else "NOT MET"),
            f"side effects: KL {self.divergence} nats per token, perplexity {self.perplexity} "
            f"times unsteered, effort {self.effort} |u| / |x|",
            f"{len(self.curve)} strengths, each tried on {self.prompts} prompts x "
            f"{self.new_tokens} tokens",
            *(f"note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    def plot(self) -> "Figure":
        """Every strength that was tried, the level asked for, and what was chosen.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from steersman.plots import calibration_figure

        return calibration_figure(
            [point.strength for point in self.curve],
            [point.value for point in self.curve],
            [point.se for point in self.curve],
            level=self.aim.level,
            chosen=self.strength,
            interval=self.interval,
            ylabel=", ".join(filter(None, (self.aim.name, self.aim.unit))),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; a number that is not known is None."""
        fields = {name: value for name, value in vars(self).items() if name != "aim"}
        told = {"aim": f"{self.aim.name} {self.aim}", "unit": self.aim.unit}
        found: dict[str, Any] = plain(fields | told)
        return found
