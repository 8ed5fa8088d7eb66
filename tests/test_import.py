"""What importing the package and asking the command line for help cost, and what they give."""

import subprocess
import sys
from importlib import import_module
from types import FunctionType

import pytest

import steersman

HEAVY = {"torch", "transformers", "numpy"}


def loaded_after(statements: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has loaded after the statements."""
    script = f"{statements}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return HEAVY & set(done.stderr.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_after("import steersman\nsteersman.__version__\ndir(steersman)")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "calibrate",
        "compare",
        "compile",
        "demo",
        "doctor",
        "eval",
        "export",
        "fit",
        "generate",
        "import",
        "linearity",
        "methods",
        "reproduce",
        "report",
    ],
)
def test_help_loads_nothing_heavy(command: str) -> None:
    words = [*command.split(), "--help"]
    run = f"from steersman.cli import app\napp({words!r}, standalone_mode=False)"
    assert not loaded_after(run)


def test_a_name_that_needs_torch_loads_it() -> None:
    assert "torch" in loaded_after("from steersman import fit")


@pytest.mark.parametrize("name", steersman.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(steersman)
    assert getattr(steersman, name) is getattr(steersman, name)


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("fit", "fitting"),
        ("identify", "identifying"),
        ("attach", "steering"),
        ("calibrate", "calibration"),
        ("linearity", "local_linearity"),
        ("evaluate", "evaluation"),
        ("compare", "evaluation.comparison"),
        ("reproduce", "reproduction"),
        ("together", "side_by_side"),
        ("import_vectors", "exchange"),
    ],
)
def test_the_verbs_are_functions_whatever_else_was_imported(name: str, home: str) -> None:
    for module in (
        "cli.fit",
        "cli.calibrate",
        "cli.linearity",
        "cli.compare",
        "cli.eval",
        "cli.reproduce",
        "evaluation.evaluating",
        "plant.identify",
        "attaching",
        home,
    ):
        import_module(f"steersman.{module}")
    found = getattr(steersman, name)
    assert isinstance(found, FunctionType)
    assert found is getattr(import_module(f"steersman.{home}"), name)


def test_parts_of_the_package_are_there_without_an_import_of_their_own() -> None:
    assert loaded_after("import steersman as sm\nassert sm.methods.METHODS is sm.METHODS")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'steersman' has no attribute 'fly'"):
        steersman.fly  # noqa: B018
