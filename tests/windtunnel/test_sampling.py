"""What the bare model says of continuations: token by token, whatever the padding."""

import math

import pytest
import torch
from torch import Tensor

from steersman.windtunnel import behaviour, fit_behaviour, load
from steersman.windtunnel.sampling import Sampled, sample, verdicts

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
