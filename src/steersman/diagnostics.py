"""What a method found out while it was fitted: a small table with a sentence."""

from dataclasses import dataclass

from steersman.errors import ShapeError

Cell = int | float | str | None


@dataclass(frozen=True)
class Diagnostic:
    """A table that a steering keeps, shows and saves.

    Args:
        name: what it is about, as a heading.
        headline: what it comes to, in a sentence for the steering's summary.
        columns: what the columns are called.
        rows: one cell for each column; None where nothing is known.

    Raises:
        ShapeError: a row that has not as many cells as there are columns.
    """

    name: str
    headline: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        """Check the rows."""
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ShapeError(
                    f"row {index} of {self.name!r} has {len(row)} cells for "
                    f"{len(self.columns)} columns."
                )

    @property
    def sentence(self) -> str:
        """The name and what it comes to, as a caption."""
        headline = self.headline.rstrip(".")
        return f"{self.name}: {headline}."

    def texts(self) -> list[list[str]]:
        """The rows as they are shown: three digits of a number, nothing for None."""
        return [[_shown(cell) for cell in row] for row in self.rows]


def _shown(cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)
