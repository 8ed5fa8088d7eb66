"""Contexts name what prompts leave open, and what goes on behind them is the same."""

from dataclasses import replace
from functools import partial

import pytest

import steersman as sm
from steersman.windtunnel import Behaviour, behaviour, load, measure
from steersman.windtunnel.behaviours import names
from steersman.windtunnel.contexts import at_decisions, in_contexts, items_in_context
from steersman.windtunnel.lexicon import CLASSES, half

DECISIONS = {
    "toxicity": " says",
    "truthfulness": "answer :",
    "refusal": "<assistant>",
    "concepts:sea": " the",
}


@pytest.fixture(params=names())
def asked(request: pytest.FixtureRequest) -> Behaviour:
    return behaviour(request.param)


def test_both_contexts_go_on_alike_and_differ_in_their_first_line(asked: Behaviour) -> None:
    drawn = in_contexts(asked, 0, 20)
    for desired, undesired in zip(drawn.desired, drawn.undesired, strict=True):
        first, rest = str(desired).split("\n", 1)
        assert str(undesired).split("\n")[0] != first
        left_open = str(undesired).split("\n", 1)[1] if asked.name == "truthfulness" else undesired
        assert rest == left_open
    assert all(drawn.continuations)


def test_they_are_drawn_anew_by_the_seed_and_alike_by_the_same(asked: Behaviour) -> None:
    assert in_contexts(asked, 1, 5) == in_contexts(asked, 1, 5)
    assert in_contexts(asked, 1, 5) != in_contexts(asked, 2, 5)


def test_decisions_end_where_the_behaviour_is_decided(asked: Behaviour) -> None:
    pairs = at_decisions(asked, 0, 20)
    for desired, undesired in zip(pairs.desired, pairs.undesired, strict=True):
        assert str(desired).endswith(DECISIONS[asked.name])
        assert str(undesired).endswith(DECISIONS[asked.name])


def test_scored_prompts_are_the_same_ones_in_context(asked: Behaviour) -> None:
    plain, named = asked.items(3, 10), items_in_context(asked, 3, 10)
    for item, shown in zip(plain, named, strict=True):
        assert shown.prompt.endswith(item.prompt.split("\n")[-1])
        assert (shown.fact, shown.harmful) == (item.fact, item.harmful)
        assert shown.prompt != item.prompt


def test_fitting_and_scoring_share_no_person_place_or_thing(asked: Behaviour) -> None:
    drawn = in_contexts(asked, 0, 60)
    texts = [str(c) + str(t) for c, t in zip(drawn.desired, drawn.continuations, strict=True)]
    words = set(" ".join(texts).split())
    for kind in ("person", "place", "object"):
        unseen = set(half(CLASSES[kind], "score")) - set(half(CLASSES[kind], "fit"))
        assert not words & unseen


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_target_one_is_what_the_desired_context_shows() -> None:
    model, tokenizer = load()
    for name in ("truthfulness", "refusal"):
        asked = behaviour(name)
        scored = partial(measure, model, tokenizer, seed=7, count=200)
        there = scored(replace(asked, items=partial(items_in_context, asked)))
        pairs = in_contexts(asked, 0, 100)
        steering = sm.fit(model, tokenizer, pairs, method="counterfactual", progress=False)
        got = scored(asked, steering.attach(model, 1.0, trace=False))
        wanted = there.scores[asked.headline].mean
        assert abs(got.scores[asked.headline].mean - wanted) < 0.1
