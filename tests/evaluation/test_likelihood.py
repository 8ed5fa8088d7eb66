"""The likelihood of a continuation: by hand, whatever the batch, steered as while writing."""

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import steersman as sm
from steersman.errors import InputError
from steersman.evaluation.likelihood import likelihoods
from steersman.windtunnel import behaviour, load

Models = Callable[[str], PreTrainedModel]

PAIRS = [
    ("the cat", " sat"),
    ("one bird", " ran under the big red tree"),
    ("the dog ran under the big red tree", " and sat"),
    ("the cat ", "ran"),
]


def by_hand(model: PreTrainedModel, tokenizer, context: str, continuation: str) -> float:
    whole = tokenizer(context + continuation).input_ids
    start = len(tokenizer(context.rstrip()).input_ids)
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return float(sum(logits[i - 1, whole[i]] for i in range(start, len(whole))))


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom", "gemma3_text", "qwen2"])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("stepwise", [False, True])
def test_it_is_the_sum_over_tokens_whatever_the_batch(
    architecture: str,
    batch_size: int,
    stepwise: bool,
    tiny_model: Models,
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = tiny_model(architecture)
    found = likelihoods(
        model, tiny_tokenizer, PAIRS, batch_size=batch_size, stepwise=stepwise
    ).found
    for one, pair in zip(found, PAIRS, strict=True):
        assert one.total == pytest.approx(by_hand(model, tiny_tokenizer, *pair), rel=1e-4, abs=1e-4)
    assert [one.tokens for one in found] == [1, 6, 2, 1]


def test_choices_of_one_token_run_a_context_once(
    tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    model, rows = tiny_model("llama"), []
    hook = model.register_forward_hook(lambda m, a, out: rows.append(out.logits.shape[0]))
    pairs = [("the cat", f" {word}") for word in ("sat", "ran", "and")]
    found = likelihoods(model, tiny_tokenizer, pairs)
    hook.remove()
    assert rows == [1]
    for one, pair in zip(found.found, pairs, strict=True):
        assert one.total == pytest.approx(by_hand(model, tiny_tokenizer, *pair), rel=1e-4)


def test_a_context_that_does_not_fit_is_cut_at_its_beginning() -> None:
    model, tokenizer = load()
    limit = model.config.max_position_embeddings
    words = "anna meets ben at the mill . " * (limit // 4)
    (one,) = likelihoods(model, tokenizer, [(words, "long ago")]).found
    ids = tokenizer(words.rstrip() + " long ago").input_ids
    assert one.cut == len(ids) - limit - 1
    kept = torch.tensor([ids[-limit - 1 :][:-1]])
    with torch.no_grad():
        logits = model(kept).logits[0].double().log_softmax(-1)
    total = float(logits[-2, ids[-2]] + logits[-1, ids[-1]])
    assert one.total == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("pair", [("", " sat"), ("  ", " sat"), ("the cat", "")])
def test_nothing_to_compare_is_refused(pair, tiny_model, tiny_tokenizer) -> None:
    with pytest.raises(InputError, match="is empty"):
        likelihoods(tiny_model("llama"), tiny_tokenizer, [pair])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("tokens", ["last", "all"])
def test_a_steering_acts_as_while_the_model_writes(tokens: str) -> None:
    model, tokenizer = load()
    steering = sm.fit(
        model,
        tokenizer,
        behaviour("toxicity").pairs(0, 20),
        method="activation-addition",
        progress=False,
    )
    context, continuation = "anna meets ben at the mill .\nanna says", " thank you , dear ."
    with steering.attach(model, 1.0, tokens=tokens, trace=False):
        (one,) = likelihoods(model, tokenizer, [(context, continuation)]).found
    ids = tokenizer(context + continuation).input_ids
    prompt = tokenizer(context).input_ids
    # Teacher-forced decoding, a token at a time: what generation does.
    total, cache, given = 0.0, None, torch.tensor([prompt])
    with steering.attach(model, 1.0, tokens=tokens, trace=False), torch.no_grad():
        for token in ids[len(prompt) :]:
            out = model(given, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            total += float(out.logits[0, -1].log_softmax(-1)[token])
            given = torch.tensor([[token]])
    assert one.total == pytest.approx(total, rel=1e-4)
    (bare,) = likelihoods(model, tokenizer, [(context, continuation)]).found
    assert abs(bare.total - one.total) > 0.01
