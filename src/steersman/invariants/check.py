"""The result of one check: what was measured, and what it had to be."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One statement about a model, with its number.

    Args:
        name: the statement, as it reads when it holds.
        holds: whether it does.
        measured: the number it was judged by; NaN where it could not be measured.
        tolerance: the most that `measured` may be (the least, where `name` says "moves").
        detail: what was measured, or why it could not be.
    """

    name: str
    holds: bool
    measured: float
    tolerance: float
    detail: str

    @classmethod
    def below(cls, name: str, measured: float, tolerance: float, detail: str) -> "Check":
        """Holds where `measured <= tolerance`; a NaN does not."""
        return cls(name, measured <= tolerance, measured, tolerance, detail)

    @classmethod
    def not_applicable(cls, name: str, why: str) -> "Check":
        """Holds for want of anything to break: the bare model cannot do this either."""
        return cls(name, True, float("nan"), float("nan"), f"not applicable: {why}")

    @classmethod
    def failed(cls, name: str, why: str) -> "Check":
        """Does not hold: it could not be carried out."""
        return cls(name, False, float("nan"), float("nan"), why)

    def __str__(self) -> str:
        """One line."""
        verdict = "pass" if self.holds else "FAIL"
        return (
            f"{verdict}  {self.name}: {self.measured:.2g} (tolerance {self.tolerance:.2g}); "
            f"{self.detail}"
        )
