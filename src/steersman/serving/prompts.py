"""Prompts of requests as token ids, within the model's context."""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from steersman.errors import InputError
from steersman.plant import Example, tokenize
from steersman.serving.errors import RequestError
from steersman.serving.protocol import Engine


def encode_prompt(
    tokenizer: Any, prompt: Example | Sequence[int], vocabulary: int, param: str
) -> tuple[int, ...]:
    """The token ids of one prompt.

    Args:
        tokenizer: the model's.
        prompt: a text, a conversation, or token ids.
        vocabulary: token ids are below this.
        param: where the request says it.

    Raises:
        RequestError: no token, an id that there is not, or a conversation that the chat template
            refuses.
    """
    if prompt and not isinstance(prompt, str) and isinstance(prompt[0], int):
        return _checked([one for one in prompt if isinstance(one, int)], vocabulary, param)
    example = _example(prompt)
    _require_text(example, param)
    try:
        ids = tokenize(tokenizer, [example])[0].ids
    except (InputError, TemplateError) as error:
        raise RequestError(f"the prompt cannot be used: {error}", param) from error
    if not ids:
        raise RequestError("the prompt has no token.", param)
    return ids


def room_for(engine: Engine, prompt: Sequence[int], wanted: int | None, param: str) -> int:
    """How many tokens the answer may have.

    Args:
        engine: whose context it is.
        prompt: the prompt's tokens.
        wanted: how many are asked for; None is as many as there is room for.
        param: where the request gives the prompt.

    Raises:
        RequestError: prompt and answer do not fit the context.
    """
    room = engine.context - len(prompt)
    if room < (wanted or 1):
        asked = "" if wanted is None else f" and {wanted} new ones"
        raise RequestError(
            f"{len(prompt)} tokens of prompt{asked} do not fit the context of {engine.context}: "
            "shorten the prompt or ask for fewer.",
            param,
            "context_length_exceeded",
        )
    return room if wanted is None else wanted


def _example(prompt: Any) -> Example:
    return prompt if isinstance(prompt, str) else list(prompt)


def _require_text(example: Example, param: str) -> None:
    """Refuse halves of characters, as JSON can write them: no tokenizer takes them."""
    texts = [example] if isinstance(example, str) else [t for m in example for t in m.values()]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise RequestError("the prompt has half of a surrogate pair in it.", param) from error


def _checked(ids: Sequence[int], vocabulary: int, param: str) -> tuple[int, ...]:
    wrong = [one for one in ids if not 0 <= one < vocabulary]
    if wrong:
        raise RequestError(
            f"there is no token {wrong[0]}; the model has tokens 0 to {vocabulary - 1}.", param
        )
    return tuple(ids)
