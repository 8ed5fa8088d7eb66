"""Branching factor, entropy and KL: known cases, and one sampled batch by hand."""

import math

import pytest
import torch

from steersman.errors import InputError, ShapeError
from steersman.evaluation.metrics import (
    branching_factor,
    divergence,
    entropy,
    indicators,
    normalised_branching,
)
from steersman.sampling import sample, verdicts
from steersman.windtunnel import behaviour, fit_behaviour, load


def test_equal_tokens_branch_by_their_number():
    logits = torch.zeros(2, 50)
    assert branching_factor(logits).tolist() == pytest.approx([50, 50], rel=1e-5)
    assert branching_factor(logits, k=7).tolist() == pytest.approx([7, 7], rel=1e-5)
    assert entropy(logits).tolist() == pytest.approx([math.log(50)] * 2, rel=1e-5)


def test_a_certain_token_does_not_branch():
    logits = torch.full((40,), float("-inf"))
    logits[3] = 2.0
    assert float(branching_factor(logits)) == 1
    assert float(entropy(logits)) == 0


def test_the_likeliest_tokens_are_renormalised():
    # 0.6 and 0.3 of 0.6, 0.3, 0.1: 2/3 and 1/3.
    logits = torch.tensor([0.1, 0.6, 0.3]).log() + 5
    expected = math.exp(math.log(3) - 2 / 3 * math.log(2))
    assert float(branching_factor(logits, k=2)) == pytest.approx(expected, rel=1e-5)


def test_divergence_is_that_of_the_definition():
    p, q = torch.tensor([0.5, 0.4, 0.1]), torch.tensor([0.25, 0.25, 0.5])
    whole = 0.5 * math.log(2) + 0.4 * math.log(1.6) + 0.1 * math.log(0.2)
    assert float(divergence(p.log() + 3, q.log())) == pytest.approx(whole, rel=1e-5)
    two = 0.5 * math.log(2) + 0.4 * math.log(1.6)
    assert float(divergence(p.log(), q.log(), k=2)) == pytest.approx(two, rel=1e-5)
    assert float(divergence(p.log(), p.log())) == 0


def test_a_token_that_is_never_drawn_costs_nothing():
    p, q = torch.tensor([1.0, 0.0]).log(), torch.tensor([0.5, 0.5]).log()
    assert float(divergence(p, q)) == pytest.approx(math.log(2))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="k is 0"):
        branching_factor(torch.zeros(3), k=0)


def test_logits_of_different_vocabularies_are_refused(unchecked):
    with pytest.raises(ShapeError, match=r"\(3,\) and \(4,\)"):
        divergence(torch.zeros(3), torch.zeros(4))


@pytest.fixture(scope="module")
def drawn():
    """The embedded model, and continuations of the same prompts unsteered and steered."""
    model, tokenizer = load()
    asked = behaviour("toxicity")
    steering = fit_behaviour(model, tokenizer, asked, pairs=30)
    prompts = [item.prompt for item in asked.items(0, 6)]
    bare = sample(model, tokenizer, prompts, new_tokens=12, seed=0)
    with steering.attach(model, 3.0, trace=False):
        steered = sample(model, tokenizer, prompts, new_tokens=12, seed=0)
    return model, bare, steered


def test_the_unsteered_run_is_like_the_bare_model(drawn):
    model, bare, _ = drawn
    for one in indicators(model, bare):
        assert one.relative_branching.tolist() == pytest.approx([1] * len(one.entropy), rel=1e-3)
        assert one.divergence.abs().max() < 1e-4
        assert normalised_branching(one, one) == 1


def test_a_steered_run_shows_where_it_left_the_bare_model(drawn):
    model, _, steered = drawn
    found = list(indicators(model, steered))
    assert len(found) == 6
    expected = [verdict.divergence for verdict in verdicts(model, steered)]
    assert [float(one.divergence.mean()) for one in found] == pytest.approx(expected, rel=1e-3)
    batch = steered[0]
    tokens = [int(row.sum()) for row in batch.drawn]
    assert [len(one.branching) for one in found] == tokens
    first = batch.logits[2, batch.drawn[2]]
    assert torch.allclose(found[2].entropy, entropy(first))
    summary = found[2].summary()
    assert summary["divergence"].mean == pytest.approx(expected[2], rel=1e-3)
    assert "after" not in summary


def test_steering_toward_something_is_seen_before_and_after(drawn):
    model, _, steered = drawn
    where = int(next(indicators(model, steered)).divergence.argmax())
    first = next(indicators(model, steered, toward=steered[0].logits[0, where]))
    assert float(first.after[where]) == pytest.approx(0, abs=1e-5)
    assert float(first.before[where]) > 0.01
    with pytest.raises(ShapeError, match="toward has 3 logits"):
        next(indicators(model, steered, toward=torch.zeros(3)))
