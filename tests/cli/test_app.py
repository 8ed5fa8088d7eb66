import pytest
import typer
from typer.testing import CliRunner

from steersman.cli import app
from steersman.cli.group import SteersmanGroup
from steersman.errors import InputError

COMMANDS = (
    *("calibrate", "demo", "doctor", "export", "fit", "generate", "import", "methods"),
    *("report", "serve"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command, steersman):
    result = steersman(command, "--help")
    assert result.exit_code == 0
    assert f"steersman {command}" in result.stdout


def test_no_command_at_all_shows_the_help(steersman):
    result = steersman()
    assert all(command in result.output for command in COMMANDS)


def test_the_version_is_shown(steersman):
    result = steersman("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("steersman ")


@pytest.mark.parametrize(
    "words",
    [
        ("steer",),
        ("fit", "gpt2"),
        ("generate", "gpt2", "hello", "--steering", "calm", "--tokens", "some"),
        ("fit", "gpt2", "pairs.csv", "--out", "calm", "--q", "much"),
    ],
)
def test_a_command_that_cannot_be_understood_exits_with_2(words, steersman):
    assert steersman(*words).exit_code == 2


def failing(error: BaseException) -> typer.Typer:
    broken = typer.Typer(cls=SteersmanGroup, pretty_exceptions_enable=False)

    @broken.callback()
    def nothing() -> None: ...

    @broken.command()
    def fail() -> None:
        raise error

    return broken


def test_a_user_error_is_one_message_on_stderr():
    result = CliRunner().invoke(failing(InputError("a list [of things] is missing")), ["fail"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "error: a list [of things] is missing\n"


def test_an_interrupt_exits_with_130():
    result = CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"])
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_fault_of_ours_keeps_its_traceback():
    result = CliRunner().invoke(failing(ZeroDivisionError()), ["fail"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_the_entry_point_has_a_name():
    assert app.info.name == "steersman"
