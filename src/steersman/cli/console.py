"""Where the command line writes: answers to stdout, everything else to stderr."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from steersman.errors import InputError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_COLOURS = {"error": "bold red", "interrupted": "bold yellow", "warning": "bold yellow"}


def complain(kind: str, message: str) -> None:
    """One message on stderr; brackets in it are no markup."""
    err.print(Text.assemble((f"{kind}: ", _COLOURS[kind]), message), soft_wrap=True)


def note(message: str) -> None:
    """Something to know while waiting, on stderr."""
    err.print(Text(message, style="dim"), soft_wrap=True)


def require_free_file(path: Path, signature: str) -> None:
    """Refuse to write over a file that is not one of ours.

    Args:
        path: where a file is about to be written.
        signature: a text that all files of that kind hold.

    Raises:
        InputError: a folder, or a file without the signature.
    """
    if not path.exists():
        return
    if path.is_dir() or signature not in path.read_text(encoding="utf-8", errors="replace"):
        raise InputError(
            f"{path} is there already and was not written by this command. Choose another file."
        )


def require_free_folder(path: Path, mark: str) -> None:
    """Refuse to write into a folder that is not one of ours.

    Args:
        path: the folder about to be written into.
        mark: a file that all folders of that kind hold.

    Raises:
        InputError: a file, or a folder with other things in it.
    """
    if not path.exists():
        return
    if not path.is_dir() or (any(path.iterdir()) and not (path / mark).exists()):
        raise InputError(
            f"{path} is there already and was not written by this command. Choose another --out, "
            "or an empty folder."
        )
