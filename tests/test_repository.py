"""What holds for the whole repository, whoever writes in it."""

import ast
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCES = sorted((REPOSITORY / "src" / "steersman").rglob("*.py"))
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY / "src"))


def public_without_docstring(node: ast.AST, prefix: str = "") -> list[str]:
    """Public definitions of a module or class that say nothing; not those inside functions."""
    missing = []
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, DEFINITIONS) or child.name.startswith("_"):
            continue
        if ast.get_docstring(child) is None:
            missing.append(f"{prefix}{child.name}")
        if isinstance(child, ast.ClassDef):
            missing += public_without_docstring(child, f"{prefix}{child.name}.")
    return missing


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_and_public_definition_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) is not None or not tree.body
    assert public_without_docstring(tree) == []


def test_hooks_are_registered_in_one_file_only():
    found = [name_of(p) for p in SOURCES if "register_forward" in p.read_text(encoding="utf-8")]
    assert found == ["steersman/plant/hooks.py"]


def test_every_extra_that_an_error_names_exists():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "MissingExtraError":
                named.update(ast.literal_eval(node.args[1]).split(","))
    assert "data" in named
    assert named <= set(project["optional-dependencies"])
