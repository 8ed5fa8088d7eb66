"""The table of methods says of each what there is to say, and the documentation shows it."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from steersman.methods import METHODS, Method
from steersman.methods.table import HEAD, markdown, row

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "every_method.json"
PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_says_what_it_is_made_of(method: type[Method]) -> None:
    for field in fields(method.about):
        found = getattr(method.about, field.name)
        assert isinstance(found, bool) or found.strip() or field.name == "unmoved", field.name
    assert "about" in vars(method), "what its base class is made of says nothing of the method"
    cells = row(method)
    assert len(cells) == len(HEAD) and cells[0] == f"`{method.name}`"
    assert not any("|" in cell or "\n" in cell for cell in cells)


def _seen() -> dict[str, bool]:
    """Whether each method that was compared moved toxicity as asked, with its defaults."""
    (cell,) = json.loads(RESULTS.read_text())["cells"]
    return {one["label"]: any(map(_moves, (one, *one["asked"]))) for one in cell["methods"]}


def _moves(found: dict[str, Any]) -> bool:
    test = found["moved"]
    return test is not None and test["value"] < 0 and test["p"] < 0.01


def test_the_table_says_of_a_method_that_it_moves_the_wind_tunnel_where_it_was_seen_to() -> None:
    seen = _seen()
    assert len(seen) > 50
    said = {name: not METHODS[name].about.unmoved for name in seen}
    assert said == seen
    missing = set(METHODS) - set(seen)
    assert all(METHODS[name].needs_autoencoder for name in missing), missing


def test_the_documentation_shows_the_table_as_it_is_now() -> None:
    shown = PAGE.read_text().split("<!-- methods -->\n")[1].split("<!-- /methods -->")[0]
    assert shown.strip() == markdown(METHODS.values()).strip(), (
        "put what `steersman methods --markdown` prints between the marks of docs/methods.md"
    )
