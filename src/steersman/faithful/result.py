"""What a judgement of a steering says: state by state, and in a sentence."""

from dataclasses import dataclass
from math import isnan

from steersman.diagnostics import Cell, Diagnostic

LEAST_AGREEMENT = 0.7
"""An independent probe has to move by this share of what the feature does."""
MOST_EXCESS = 1.5
"""How many times as far from natural states as natural states are themselves."""


@dataclass(frozen=True)
class StateFaithfulness:
    """What the push did to one state, each with its standard error over prompts.

    Attributes:
        state: `t` of `x_t`.
        feature: by how many natural units the steered feature moved.
        feature_se: its error.
        probe: by how many an independent probe did.
        probe_se: its error.
        agreement: `probe / feature`; NaN where the feature does not move.
        agreement_se: its error.
        unsteered: how far unsteered states are from what natural states show, root mean square in
            their own spread.
        unsteered_se: its error.
        pushed: how far steered states are.
        pushed_se: its error.
        desired: how far desired examples are.
        desired_se: its error.
    """

    state: int
    feature: float
    feature_se: float
    probe: float
    probe_se: float
    agreement: float
    agreement_se: float
    unsteered: float
    unsteered_se: float
    pushed: float
    pushed_se: float
    desired: float
    desired_se: float

    @property
    def excess(self) -> float:
        """How many times as far out steered states are as unsteered or desired ones."""
        return self.pushed / max(self.unsteered, self.desired)


@dataclass(frozen=True)
class Faithfulness:
    """Whether a steering moves its feature as examples do, or by a way of its own.

    Args:
        target: what was asked.
        rows: `x_1 .. x_T`.
        examples: how many pairs it was judged by.
    """

    target: float
    rows: tuple[StateFaithfulness, ...]
    examples: int

    @property
    def agreement(self) -> float:
        """By what share of the feature's shift an independent probe moves after the last block."""
        return self.rows[-1].agreement

    @property
    def excess(self) -> float:
        """The largest excess of any state."""
        return max(row.excess for row in self.rows)

    @property
    def agrees(self) -> bool:
        """Whether what else tells the examples apart moves with the feature."""
        last = self.rows[-1]
        return last.agreement + 2 * last.agreement_se >= LEAST_AGREEMENT

    @property
    def natural(self) -> bool:
        """Whether steered states stay about as close to natural ones as these are."""
        return self.excess <= MOST_EXCESS

    @property
    def faithful(self) -> bool:
        """Whether nothing speaks against the steering."""
        return self.agrees and self.natural

    @property
    def verdict(self) -> str:
        """What it comes to, in a sentence."""
        last = self.rows[-1]
        moved = (
            f"where the feature moves by {last.feature:.2f} units, an independent probe moves by "
            f"{last.probe:.2f} +- {last.probe_se:.2f}"
        )
        worst = max(self.rows, key=lambda row: row.excess)
        out = f"steered states are {worst.excess:.1f} times as far from natural ones as these are"
        if not self.agrees:
            return (
                f"Unfaithful: {moved}, and {out} (state {worst.state}): the feature is moved, and "
                "what else the examples show is not. Act along the contrast, or observe the mean."
            )
        if not self.natural:
            return (
                f"Doubtful: {moved}, but {out} (state {worst.state}): the push uses directions "
                "that natural states hardly use. Measure the behaviour before relying on it, or "
                "act along the contrast."
            )
        return f"Faithful: {moved}, and {out} at most (state {worst.state})."

    @property
    def table(self) -> Diagnostic:
        """All numbers as a table."""
        names = ("feature", "probe", "agreement", "unsteered", "pushed", "desired")
        rows: list[tuple[Cell, ...]] = [
            (row.state, *(_shown(row, name) for name in names), f"{row.excess:.2f}")
            for row in self.rows
        ]
        return Diagnostic("Faithfulness", self.verdict, ("state", *names, "excess"), tuple(rows))

    def summary(self) -> str:
        """The table and the verdict, for a person."""
        lines = [list(self.table.columns), *self.table.texts()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        table = "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        )
        return f"{table}\n{self.verdict}"


def _shown(row: StateFaithfulness, name: str) -> str:
    value, se = getattr(row, name), getattr(row, f"{name}_se")
    return "" if isnan(value) else f"{value:.2f} +- {se:.2f}"
