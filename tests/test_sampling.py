"""Continuations, and what the bare model says of them: token by token, whatever the padding."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from steersman.errors import InputError, NumericalError
from steersman.sampling import Sampled, sample, verdicts
from steersman.windtunnel import behaviour, fit_behaviour, load

Models = Callable[[str], PreTrainedModel]

MODEL, TOKENIZER = load()
PROMPTS = ["anna meets ben at the mill .\n", "long ago", "the teacher answers .\n"]


def drawn(seed: int = 0, new_tokens: int = 12) -> Sampled:
    (batch,) = sample(MODEL, TOKENIZER, PROMPTS, new_tokens=new_tokens, seed=seed)
    return batch


def alone(batch: Sampled, row: int) -> tuple[Tensor, int]:
    """The tokens of one row without padding, and how many of them were drawn."""
    return batch.ids[row][batch.mask[row].bool()][None], int(batch.drawn[row].sum())


def test_the_bare_model_does_not_differ_from_itself() -> None:
    batch = drawn()
    for row, verdict in enumerate(verdicts(MODEL, [batch])):
        assert abs(verdict.divergence) < 1e-5
        ids, count = alone(batch, row)
        labels = ids.clone()
        labels[:, :-count] = -100
        with torch.no_grad():
            loss = float(MODEL(ids, labels=labels).loss)
        assert verdict.perplexity == pytest.approx(math.exp(loss), rel=1e-4)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_steered_continuation_differs_by_the_mean_divergence_of_its_tokens() -> None:
    steering = fit_behaviour(MODEL, TOKENIZER, behaviour("toxicity"), pairs=20)
    with steering.attach(MODEL, 1.0, tokens="all", trace=False):
        batch = drawn(seed=3)
    found = [verdict.divergence for verdict in verdicts(MODEL, [batch])]
    for row, divergence in enumerate(found):
        ids, count = alone(batch, row)
        with torch.no_grad():
            bare = MODEL(ids).logits[0, -count - 1 : -1].double().log_softmax(-1)
            with steering.attach(MODEL, 1.0, tokens="all", trace=False):
                steered = MODEL(ids).logits[0, -count - 1 : -1].double().log_softmax(-1)
        by_hand = float((steered.exp() * (steered - bare)).sum(-1).mean())
        assert divergence == pytest.approx(by_hand, rel=1e-3)
        assert divergence > 0.01


def test_nothing_counts_after_the_end_of_a_sequence() -> None:
    batch = drawn(seed=1, new_tokens=400)
    ends = batch.ids[:, -batch.drawn.shape[1] :] == TOKENIZER.eos_token_id
    assert ends.any()
    for row, end in enumerate(ends):
        stop = int(end.long().argmax()) if end.any() else len(end) - 1
        assert batch.drawn[row].nonzero().flatten().tolist() == list(range(stop + 1))
        assert int(batch.mask[row].sum()) == len(TOKENIZER(PROMPTS[row]).input_ids) + stop + 1


def test_the_same_seed_draws_the_same() -> None:
    assert drawn(seed=2).texts == drawn(seed=2).texts != drawn(seed=4).texts


WORDS = ["the cat sat", "one bird", "the dog ran under the big red tree"]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom", "gemma3_text"])
def test_a_tokenizer_that_pads_right_or_not_at_all_samples_the_same(
    architecture: str,
    tiny_model: Models,
    tiny_tokenizer: PreTrainedTokenizerFast,
    tiny_tokenizer_without_pad: PreTrainedTokenizerFast,
) -> None:
    model, texts = tiny_model(architecture), []
    right = copy.deepcopy(tiny_tokenizer)
    right.padding_side = "right"
    for tokenizer in (tiny_tokenizer, right, tiny_tokenizer_without_pad):
        (batch,) = sample(model, tokenizer, WORDS, new_tokens=6, seed=0)
        texts.append(batch.texts)
        # Each row alone, without padding, is judged as it was drawn.
        for row, verdict in enumerate(verdicts(model, [batch])):
            ids, count = alone(batch, row)
            with torch.no_grad():
                log = model(ids).logits[0, -count - 1 : -1].log_softmax(-1)
            loss = -log.gather(-1, ids[0, -count:, None]).mean()
            assert verdict.loss == pytest.approx(float(loss), abs=1e-4)
            assert abs(verdict.divergence) < 1e-5
    assert texts[0] == texts[1] == texts[2]


def test_a_conversation_is_continued_as_the_assistant(
    tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    chat = [{"role": "user", "content": "the cat"}]
    rendered = "<s> <turn> user : the cat <end> <turn> assistant :"
    drawn = [
        sample(tiny_model("llama"), tiny_tokenizer, [prompt], new_tokens=5, seed=0)[0]
        for prompt in (chat, rendered)
    ]
    assert torch.equal(drawn[0].ids, drawn[1].ids)


def test_a_model_with_several_ends_stops_at_each(
    tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    model = copy.deepcopy(tiny_model("llama"))
    ends = list(range(2, 40))  # so many that most texts end soon; 2 is the tokenizer's own
    model.generation_config.eos_token_id = ends[1:]
    (batch,) = sample(model, tiny_tokenizer, WORDS * 8, new_tokens=12, seed=0)
    new = batch.ids[:, -batch.drawn.shape[1] :]
    for row, drawn in zip(new, batch.drawn, strict=True):
        kept = row[drawn].tolist()
        assert all(token not in ends for token in kept[:-1])
        assert kept[-1] in ends or len(kept) == 12
    assert {row[drawn].tolist()[-1] for row, drawn in zip(new, batch.drawn, strict=True)} - {2}


def test_a_models_own_temperature_and_penalties_do_not_count(
    tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    plain, own = tiny_model("llama"), copy.deepcopy(tiny_model("llama"))
    own.generation_config.update(temperature=0.1, top_p=0.5, repetition_penalty=1.5, min_p=0.5)
    texts = [
        [sample(model, tiny_tokenizer, WORDS, new_tokens=8, seed=0)[0].texts]
        for model in (plain, own)
    ]
    assert texts[0] == texts[1]


def test_what_leaves_no_room_for_an_answer_is_refused(
    tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    model = tiny_model("llama")
    with pytest.raises(InputError, match="do not fit a context of 64"):
        sample(model, tiny_tokenizer, WORDS, new_tokens=64, seed=0)
    with pytest.raises(InputError, match="example 2"):
        sample(model, tiny_tokenizer, WORDS, new_tokens=58, seed=0)


def test_a_model_that_cannot_be_sampled_from_says_why(
    tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    model = copy.deepcopy(tiny_model("llama"))
    with pytest.raises(InputError, match="cannot generate"):
        sample(model.model, tiny_tokenizer, WORDS, new_tokens=4, seed=0)
    with pytest.raises(InputError, match=r"model.eval\(\)"):
        sample(model.train(), tiny_tokenizer, WORDS, new_tokens=4, seed=0)
    model.eval().model.norm.weight.data.fill_(math.nan)
    with pytest.raises(NumericalError, match="not finite"):
        sample(model, tiny_tokenizer, WORDS, new_tokens=4, seed=0)
