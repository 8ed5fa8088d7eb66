"""Rules for tokens as the command line has them: by name, texts read by the tokenizer at hand."""

from typing import Any

from steersman.engines import TokenRule, tokens_named


def rule_of(name: str | None, tokenizer: Any) -> TokenRule | None:
    """The rule of that name; None leaves it to the steering.

    Args:
        name: as `--tokens` takes it.
        tokenizer: turns a text into token ids.

    Raises:
        InputError: no token contains the text.
    """
    return None if name is None else tokens_named(name).with_tokenizer(tokenizer)
