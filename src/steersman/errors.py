"""Everything that can go wrong for a user, each also the natural builtin.

`except steersman.SteersmanError` catches all of them; `except ValueError` and friends keep working
for callers who know nothing of this package. A message says what was found and what to do.
"""


class SteersmanError(Exception):
    """Base of every error raised on purpose by this package."""


class InputError(SteersmanError, ValueError):
    """An argument, example or file content that cannot be used as given."""


class ShapeError(InputError):
    """A tensor whose shape is not the one the call needs; the message names both."""


class UnknownNameError(SteersmanError, LookupError):
    """A method, position rule, task or behaviour name that is not in its table."""


class ArchitectureError(SteersmanError, TypeError):
    """A model whose decoder blocks could not be located and proved."""


class ArtifactError(SteersmanError, ValueError):
    """A saved steering that is truncated, malformed, of a newer format, or not only data."""


class MismatchError(SteersmanError, ValueError):
    """Two things that do not belong together: a steering and a model, a checkpoint and a job."""


class CompilationError(SteersmanError, ValueError):
    """A steering that no change of weights amounts to, or a change that no checkpoint can hold."""


class AttachedError(SteersmanError, RuntimeError):
    """A model that already carries a steering, or a run used outside its `with` block."""


class ProcessError(SteersmanError, RuntimeError):
    """Another process of a shared job that failed, died or fell silent; the message says which."""


class LostProcessError(ProcessError):
    """Another process of a shared job that does not answer: it died, or is busy elsewhere."""


class NumericalError(SteersmanError, ArithmeticError):
    """NaN, infinity, or a factorisation that failed, with the place where it appeared."""


class MissingExtraError(SteersmanError, ImportError):
    """An optional dependency that is not installed; the message is the `pip install` to run."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        """Say what is missing, what it is for and the exact command that installs it."""
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Run: pip install 'steersman[{extra}]'"
        )
