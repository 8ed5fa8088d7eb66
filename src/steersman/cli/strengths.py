"""Strengths as they are typed: one number, or `NAME=NUMBER` for each feature."""

from collections.abc import Sequence

from steersman.errors import InputError

Typed = float | dict[str, float] | None


def strength_of(words: Sequence[str] | None, option: str) -> Typed:
    """What `--target 1` or `--target truth=1 --target toxicity=0` asks for.

    Args:
        words: what was typed, once for each time that the option was given.
        option: its name, for messages.

    Raises:
        InputError: no number, a name given twice, or several numbers without names.
    """
    if not words:
        return None
    if len(words) == 1 and "=" not in words[0]:
        return _number(words[0], option)
    found: dict[str, float] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        if not (equals and name):
            raise InputError(
                f"{option} {word}: with several strengths each needs the name of its feature, as "
                f"in {option} NAME={word}."
            )
        if name in found:
            raise InputError(f"{option} names {name!r} twice.")
        found[name] = _number(number, option)
    return found


def shown(strength: Typed, what: str) -> str:
    """For a heading: `target 1`, or `target truth 1, toxicity 0`."""
    if isinstance(strength, dict):
        return f"{what} " + ", ".join(f"{name} {value:g}" for name, value in strength.items())
    return f"{what} {1.0 if strength is None else strength:g}"


def _number(word: str, option: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise InputError(f"{option} {word}: expected a number, or NAME=NUMBER.") from error
