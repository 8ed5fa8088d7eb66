"""One example: a text, or a conversation."""

import math
from collections.abc import Mapping, Sequence

from steersman.errors import InputError

Message = Mapping[str, str]
"""{"role": "user", "content": "..."}"""

Example = str | Sequence[Message]
"""A text, or a conversation."""

_EXPECTED = 'an example is a text or a list of {"role": "...", "content": "..."} messages'


def as_example(value: object, where: str) -> Example:
    """Check a value that came from outside and return it as an example of its own.

    Args:
        value: anything; a text or a list of messages is good. Of a message the role and the content
            are kept.
        where: what it is called in an error, e.g. "pairs.csv line 7, desired".

    Returns:
        The text as it is, or the conversation as a tuple of fresh messages.

    Raises:
        InputError: it is missing, empty, or neither a text nor a conversation.
    """
    # NaN is how pandas writes a missing text.
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise InputError(f"{where} is missing: fill it in or leave the row out.")
    if isinstance(value, str):
        if not value.strip():
            raise InputError(f"{where} is empty: give it some text or leave the row out.")
        return value
    if not isinstance(value, list | tuple):
        raise InputError(f"{where} is {_shown(value)}; {_EXPECTED}.")
    if not value:
        raise InputError(f"{where} is a conversation without messages: leave the row out.")
    return tuple(_as_message(message, f"{where}, message {i}") for i, message in enumerate(value))


def plain(example: Example) -> str | list[dict[str, str]]:
    """The example as JSON has it."""
    return example if isinstance(example, str) else [dict(message) for message in example]


def joined(question: Example, answer: Example, *, chat: bool) -> Example:
    """A question followed by one of its answers.

    A text answer is put behind a text question, with one space where neither has white space at
    the joint. An answer that already starts with the question stands alone.

    Args:
        question: a text or the conversation so far.
        answer: a text, the assistant's messages, or question and answer in one.
        chat: make a text question the user's turn and a text answer the assistant's.

    Returns:
        A text where both are texts and `chat` is off; else a conversation.
    """
    if isinstance(question, str) and isinstance(answer, str) and not chat:
        return answer if answer.startswith(question) else behind(question, answer)
    before = _turn("user", question)
    after = _turn("assistant", answer)
    complete = after[: len(before)] == before or after[0]["role"] in ("system", "user")
    return after if complete else before + after


def behind(context: Example, continuation: Example) -> Example:
    """A continuation behind a context, as one example.

    Two texts are put together with one space where neither has white space at the joint. Where
    either is a conversation, a text context is the system prompt, and a text continuation what the
    assistant says.

    Args:
        context: a text or the conversation so far.
        continuation: a text or further messages.
    """
    if isinstance(context, str) and isinstance(continuation, str):
        touching = context[-1].isspace() or continuation[0].isspace()
        return f"{context}{'' if touching else ' '}{continuation}"
    return _turn("system", context) + _turn("assistant", continuation)


def require_one_kind(desired: Sequence[Example], undesired: Sequence[Example]) -> None:
    """Raise unless all examples are texts or all are conversations.

    Otherwise the chat template's marks, and not the behaviour, would be the contrast.

    Raises:
        InputError: some are of one kind and some of the other; names the first two that differ.
    """
    expected = isinstance(desired[0], str)
    for side, examples in (("desired", desired), ("undesired", undesired)):
        for i, example in enumerate(examples):
            if isinstance(example, str) is not expected:
                first, this = ("a text", "a conversation")[:: 1 if expected else -1]
                raise InputError(
                    f"desired example 0 is {first} and {side} example {i} is {this}: give all of "
                    "them as texts or all as conversations, so that only the behaviour differs."
                )


def _turn(role: str, example: Example) -> tuple[Message, ...]:
    if isinstance(example, str):
        return ({"role": role, "content": example.strip()},)
    return tuple(example)


def _as_message(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {_shown(value)}; {_EXPECTED}.")
    role, content = value.get("role"), value.get("content")
    if not isinstance(role, str) or not isinstance(content, str):
        raise InputError(
            f"{where} has role {_shown(role)} and content {_shown(content)}; {_EXPECTED}, with "
            "text in both."
        )
    return {"role": role, "content": content}


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
