"""Render an example: plain text as it is, a conversation through the chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from steersman.errors import InputError

Message = Mapping[str, str]
"""{"role": "user", "content": "..."}"""

Example = str | Sequence[Message]
"""A text, or a conversation."""


@dataclass(frozen=True)
class Rendered:
    """An example as the text that is tokenised.

    Args:
        text: the text.
        templated: whether a chat template wrote it, special tokens included.
        response_start: the character at which the assistant's last answer starts, if there is one.
    """

    text: str
    templated: bool
    response_start: int | None = None


def render(
    tokenizer: PreTrainedTokenizerBase,
    example: Example,
    index: int = 0,
    *,
    add_generation_prompt: bool = True,
) -> Rendered:
    """Render one example.

    Args:
        tokenizer: its chat template is used for conversations.
        example: a text, or a conversation. One that ends with the assistant is cut after the last
            character of the answer, so that its last token belongs to the answer.
        index: the number of the example, for messages.
        add_generation_prompt: whether a conversation that ends with the user is made ready for the
            answer.

    Returns:
        The rendered example.

    Raises:
        InputError: the messages are malformed, or the tokenizer has no chat template.
    """
    if isinstance(example, str):
        return Rendered(example, templated=False)
    messages = _checked(example, index)
    answered = messages[-1]["role"] == "assistant"
    text = _apply_template(tokenizer, messages, index, add_generation_prompt and not answered)
    if not answered:
        return Rendered(text, templated=True)
    return _cut_after_answer(text, messages[-1]["content"].strip(), index)


def _cut_after_answer(text: str, answer: str, index: int) -> Rendered:
    start = text.rfind(answer)
    if not answer or start < 0:
        raise InputError(
            f"conversation {index}: the assistant's last message {answer[:60]!r} is empty or is "
            "not reproduced by the chat template; end with the user's message instead"
        )
    return Rendered(text[: start + len(answer)], templated=True, response_start=start)


def _apply_template(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict[str, str]],
    index: int,
    add_generation_prompt: bool,
) -> str:
    if not tokenizer.chat_template:
        raise InputError(
            f"example {index} is a conversation, and this tokenizer has no chat template: use the "
            "instruction-tuned model's tokenizer, or give plain text"
        )
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    return str(text)


def _checked(messages: Sequence[Message], index: int) -> list[dict[str, str]]:
    if not messages:
        raise InputError(f"conversation {index} has no message: give at least one")
    for message in messages:
        entries = (message.get("role"), message.get("content")) if message else (None, None)
        if not all(isinstance(entry, str) for entry in entries):
            raise InputError(
                f"conversation {index} has the message {message!r}: each must be "
                '{"role": "...", "content": "..."} with text in both'
            )
    return [dict(message) for message in messages]
