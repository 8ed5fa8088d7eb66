"""Prompts are distinct, and know their domain, last token and partner."""

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from steersman.errors import InputError
from steersman.local_linearity.prompts import Prepared, prepare


def test_prompts_know_their_domain_and_last_token(prepared: Prepared) -> None:
    assert prepared.domains == ("pets",) * 3 + ("homes",) * 3
    assert prepared.last == ("mat", "sat", "ran", "warm", "tree", "mat")


def test_a_list_is_one_domain(
    smooth: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    assert prepare(smooth, tiny_tokenizer, ["the cat", "the dog"]).domains == ("prompts",) * 2


def test_peers_share_a_label(prepared: Prepared) -> None:
    assert prepared.peers(prepared.domains)[4] == (3, 5)
    assert prepared.peers(prepared.last)[0] == (5,)
    assert prepared.peers(prepared.last)[1] == ()


def test_a_partner_ends_in_another_token_where_there_is_one(
    smooth: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    texts = ["the cat sat", "a dog sat", "a red house", "the bird sat"]
    assert prepare(smooth, tiny_tokenizer, texts).partners() == (2, 2, 3, 2)
    assert prepare(smooth, tiny_tokenizer, texts[:2]).partners() == (1, 0)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "holds no list"),
        ({}, "0 prompt"),
        (["the cat"], "two at least"),
        ("the cat sat", "prompts is one text"),
        ({"pets": "the cat"}, "domain 'pets' holds no list"),
        ({"pets": ["the cat", "a dog"], "homes": []}, "domain 'homes' holds no list"),
        (["the cat", "a dog", "the cat"], r"prompts \[0, 2\] are the same"),
        (["the cat", "the dog " * 60], "tokens and the limit is 64"),
    ],
)
def test_prompts_that_cannot_be_compared_are_refused(
    prompts: object,
    message: str,
    smooth: PreTrainedModel,
    tiny_tokenizer: PreTrainedTokenizerFast,
    unchecked: None,
) -> None:
    with pytest.raises(InputError, match=message):
        prepare(smooth, tiny_tokenizer, prompts)  # type: ignore[arg-type]
