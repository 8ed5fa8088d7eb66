"""A diagnostic is a table with a sentence."""

import pytest

from steersman.diagnostics import Diagnostic
from steersman.errors import ShapeError


def test_cells_are_shown_with_three_digits_and_gaps() -> None:
    found = Diagnostic(
        "n", "h", ("a", "b", "c", "d"), ((1, 0.12345, None, "x"), (20, 3.0, 1e-9, ""))
    )
    assert found.texts() == [["1", "0.123", "", "x"], ["20", "3", "1e-09", ""]]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ShapeError, match="row 1 of 'n' has 1 cells for 2 columns"):
        Diagnostic("n", "h", ("a", "b"), ((1, 2), (3,)))
