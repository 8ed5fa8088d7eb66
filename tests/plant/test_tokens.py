"""Text and conversations become tokens with every kind of tokenizer, and nothing is changed."""

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from steersman.errors import InputError
from steersman.plant.chat import render
from steersman.plant.tokens import encode, pad_id, shared_end, tokenize

CHAT = [{"role": "user", "content": "the cat"}]
ANSWERED = [*CHAT, {"role": "assistant", "content": "sat on mat"}]


def test_padding_goes_to_the_side_asked_for(tiny_tokenizer: Any) -> None:
    left = encode(tiny_tokenizer, ["the cat sat", "the"], side="left")
    right = encode(tiny_tokenizer, ["the cat sat", "the"], side="right")
    assert left.attention_mask.tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert right.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert left.input_ids[1, 2:].tolist() == right.input_ids[1, :2].tolist()
    assert left.starts.tolist() == [0, 2]
    assert left.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_tokenizer_without_pad_token_pads_with_another_id(
    side: Any, tiny_tokenizer: Any, tiny_tokenizer_without_pad: Any
) -> None:
    plain = encode(tiny_tokenizer, ["the cat sat", "the"], side=side)
    other = encode(tiny_tokenizer_without_pad, ["the cat sat", "the"], side=side)
    real = plain.attention_mask.bool()
    assert torch.equal(plain.attention_mask, other.attention_mask)
    assert torch.equal(plain.input_ids[real], other.input_ids[real])
    assert pad_id(tiny_tokenizer_without_pad) == tiny_tokenizer_without_pad.eos_token_id


def test_a_tokenizer_without_pad_and_end_pads_with_zero(tiny_tokenizer_without_pad: Any) -> None:
    bare = type(tiny_tokenizer_without_pad)(
        tokenizer_object=tiny_tokenizer_without_pad.backend_tokenizer
    )
    assert pad_id(bare) == 0
    assert encode(bare, ["the cat", "the"]).attention_mask.tolist() == [[1, 1, 1], [0, 1, 1]]


def test_the_tokenizer_is_not_changed(tiny_tokenizer_without_pad: Any) -> None:
    tokenizer = tiny_tokenizer_without_pad
    before = (tokenizer.padding_side, tokenizer.pad_token, len(tokenizer), str(tokenizer))
    encode(tokenizer, ["the cat", "the"], side="left")
    encode(tokenizer, [CHAT], side="right")
    assert (tokenizer.padding_side, tokenizer.pad_token, len(tokenizer), str(tokenizer)) == before


def test_spans_name_the_characters_of_each_token(tiny_tokenizer: Any) -> None:
    (tokens,) = tokenize(tiny_tokenizer, ["the cat sat"])
    assert tokens.spans == ((0, 0), (0, 3), (4, 7), (8, 11))
    assert tokens.special == (True, False, False, False)


def test_chat_messages_go_through_the_template_with_one_bos(tiny_tokenizer: Any) -> None:
    (tokens,) = tokenize(tiny_tokenizer, [CHAT])
    assert tokens.text == "<s><turn> user : the cat <end><turn> assistant : "
    assert tokens.ids.count(tiny_tokenizer.bos_token_id) == 1
    assert tokens.response_start is None
    (bare,) = tokenize(tiny_tokenizer, [CHAT], add_generation_prompt=False)
    assert bare.text == "<s><turn> user : the cat <end>"


def test_plain_text_that_already_starts_with_bos_gets_no_second_one(tiny_tokenizer: Any) -> None:
    one, two = tokenize(tiny_tokenizer, ["the cat", "<s> the cat"])
    assert one.ids == two.ids


def test_an_answered_conversation_ends_at_the_last_character_of_the_answer(
    tiny_tokenizer: Any,
) -> None:
    (tokens,) = tokenize(tiny_tokenizer, [ANSWERED])
    assert tokens.text.endswith("assistant : sat on mat")
    assert tokens.text[tokens.response_start :] == "sat on mat"


def test_a_prompt_marks_where_the_response_of_plain_text_starts(tiny_tokenizer: Any) -> None:
    (tokens,) = tokenize(tiny_tokenizer, ["the cat sat"], prompts=["the cat "])
    assert tokens.response_start == len("the cat ")


@pytest.mark.parametrize(
    ("texts", "changes", "message"),
    [
        ([], {}, "no text to encode"),
        (["the", "the cat sat on"], {"max_length": 4}, r"example 1 .* 5 tokens .* limit is 4"),
        (["the", [{"role": "user"}]], {}, "conversation 1 has the message"),
        ([[{"role": "user", "content": 3}]], {}, "conversation 0 has the message"),
        (["the", []], {}, "conversation 1 has no message"),
        ([[{"role": "assistant", "content": " "}]], {}, "conversation 0: .* empty"),
    ],
)
def test_examples_that_cannot_be_used_are_refused_by_number(
    texts: Any, changes: Any, message: str, tiny_tokenizer: Any
) -> None:
    with pytest.raises(InputError, match=message):
        encode(tiny_tokenizer, texts, **changes)


@pytest.mark.parametrize(
    ("texts", "prompts", "message"),
    [
        (["the cat", "a dog"], ["the ", "the "], "example 1 does not start with its prompt"),
        (["the cat"], [], "1 examples came with 0 prompts"),
        ([CHAT], ["the"], "example 0 is a conversation"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(
    texts: Any, prompts: Any, message: str, tiny_tokenizer: Any
) -> None:
    with pytest.raises(InputError, match=message):
        tokenize(tiny_tokenizer, texts, prompts=prompts)


def test_an_example_without_tokens_is_refused() -> None:
    without_bos = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"the": 0}, unk_token="the"))
    )
    with pytest.raises(InputError, match=r"example 1 \(''\) has no tokens"):
        tokenize(without_bos, ["the", ""])


def test_a_conversation_needs_a_chat_template(tiny_tokenizer: Any) -> None:
    bare = type(tiny_tokenizer)(tokenizer_object=tiny_tokenizer.backend_tokenizer)
    with pytest.raises(InputError, match="example 4 is a conversation.*no chat template"):
        render(bare, CHAT, 4)


@pytest.mark.parametrize(
    ("rows", "shared"),
    [
        ([(1, 2, 3), (9, 2, 3)], 2),
        ([(2, 3), (9, 2, 3)], 2),
        ([(1, 2, 3), (1, 2, 4)], 0),
        ([(5, 6), (5, 6)], 2),
        ([(1, 7, 3), (2, 7, 3), (7, 3, 3)], 1),
    ],
)
def test_examples_share_as_many_tokens_as_all_of_them_end_with(
    rows: list[tuple[int, ...]], shared: int
) -> None:
    assert shared_end(rows) == shared
