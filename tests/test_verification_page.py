"""Every test that the documentation names as a proof exists."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "verification.md"
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE.read_text())))


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_the_tests_that_are_named_as_proofs_are_there(file: str) -> None:
    assert (TESTS / file).exists(), file
    missing = {name for one, name in NAMED if one == file} - functions(TESTS / file)
    assert not missing


def test_every_row_of_mistakes_names_a_test() -> None:
    text = PAGE.read_text().split("## Other packages")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    claims = [row for row in rows if not row.startswith(("| mistake", "| ---"))]
    assert len(claims) > 40
    assert all("::test_" in row for row in claims)
