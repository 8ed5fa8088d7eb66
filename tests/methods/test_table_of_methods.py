"""The table of methods says of each what there is to say, and the documentation shows it."""

from dataclasses import fields
from pathlib import Path

import pytest

from steersman.methods import METHODS, Method
from steersman.methods.table import HEAD, markdown, row

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_says_what_it_is_made_of(method: type[Method]) -> None:
    for field in fields(method.about):
        found = getattr(method.about, field.name)
        assert isinstance(found, bool) or found.strip(), field.name
    cells = row(method)
    assert len(cells) == len(HEAD) and cells[0] == f"`{method.name}`"
    assert not any("|" in cell or "\n" in cell for cell in cells)


def test_the_documentation_shows_the_table_as_it_is_now() -> None:
    shown = PAGE.read_text().split("<!-- methods -->\n")[1].split("<!-- /methods -->")[0]
    assert shown.strip() == markdown(METHODS.values()).strip(), (
        "put what `steersman methods --markdown` prints between the marks of docs/methods.md"
    )
