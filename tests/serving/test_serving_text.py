"""Text that is sent piece by piece is the text of all tokens, up to a stop string."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from steersman.serving.text import Text


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """A token a byte, so that a character may take several."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({one: i for i, one in enumerate(letters)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False)


TOKENIZER = bytes_tokenizer()


def pieces(text: str, stops: tuple[str, ...] = (), prompt: str = "so", **how: Any) -> list[str]:
    ids = TOKENIZER(text)["input_ids"]
    made = Text(TOKENIZER, TOKENIZER(prompt)["input_ids"], stops, **how)
    found = []
    for token in ids:
        found.append(made.add(token))
        if made.stopped:
            return found
    return [*found, made.end()]


@given(st.text(max_size=40))
def test_pieces_are_the_whole_text_and_whole_characters(text: str) -> None:
    found = pieces(text)
    assert "".join(found) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in found)


@given(st.text("ab ", max_size=30), st.lists(st.text("ab ", min_size=1, max_size=4), max_size=3))
def test_nothing_of_a_stop_string_is_ever_sent(text: str, stops: list[str]) -> None:
    places = [text.find(stop) for stop in stops if stop in text]
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    found = "".join(pieces(text, tuple(stops)))
    assert text.startswith(found)
    if not places:
        assert found == text
    else:
        # A token is a character: the stop string that is whole first is the one that counts.
        first = min(ends)
        whole = [s for s in stops if text[:first].endswith(s)]
        assert found == text[: first - max(map(len, whole))]


def test_a_character_that_never_becomes_whole_is_sent_at_the_end() -> None:
    ids = TOKENIZER("ä")["input_ids"]
    text = Text(TOKENIZER, (), ())
    assert text.add(ids[0]) == ""
    assert text.end() == "\ufffd"


def test_a_message_does_not_begin_with_a_space_and_a_continuation_may() -> None:
    assert "".join(pieces("  a b", fresh=True)) == "a b"
    assert "".join(pieces("  a b")) == "  a b"


@pytest.mark.parametrize("line", ["the sailor said : do not go .\nthe sea was cold .", "a , b ."])
def test_the_tunnels_words_are_as_its_tokenizer_writes_them(tunnel: Any, line: str) -> None:
    tokenizer = tunnel[1]
    ids = tokenizer(line)["input_ids"]
    text = Text(tokenizer, ids[:1])
    found = "".join([*(text.add(token) for token in ids[1:]), text.end()])
    assert found.strip() == tokenizer.decode(ids, skip_special_tokens=True).strip()
