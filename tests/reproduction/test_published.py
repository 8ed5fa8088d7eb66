"""The published numbers: each has a source, says whether it is second-hand, and is of a measure."""

from collections import Counter
from math import isfinite

import pytest

from steersman.errors import UnknownNameError
from steersman.methods import ODESteer
from steersman.reproduction import PAPERS, paper_named
from steersman.reproduction.published import UNSTEERED, is_model
from steersman.reproduction.scripts import settings_of
from steersman.reproduction.ways import compared, odesteer, paper_form, plus, spid

ITEMS = [item for paper in PAPERS.values() for item in paper.items]
NUMBERS = [(item, one) for item in ITEMS for one in item.published]


@pytest.mark.parametrize(("item", "one"), NUMBERS, ids=lambda one: getattr(one, "method", ""))
def test_every_number_says_what_it_is_and_where_it_was_read(item, one) -> None:
    assert one.measure in {measure.name for measure in item.measures}
    assert one.method and one.model and isfinite(one.value)
    assert "2604.19018" in one.source or "2602.17560" in one.source
    assert one.second_hand is ("quote" in one.source)
    assert one.up_to is None or one.up_to > one.value


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_no_number_is_given_twice_and_what_is_unknown_is_said(item) -> None:
    told = Counter((one.measure, one.method, one.model) for one in item.published)
    assert set(told.values()) <= {1}
    assert item.published or "paper's numbers" in item.unknown
    assert item.shows and item.work and item.measures


def test_all_of_the_papers_experiments_are_there() -> None:
    assert {item.name for item in paper_named("alqr").items} == {
        *("local-linearity", "toxicity", "truthfulness", "refusal", "concepts", "multi-concept"),
        *("mmlu", "tracking", "bound", "overhead"),
    }


def test_a_paper_that_cannot_be_reproduced_is_named_with_those_that_can() -> None:
    with pytest.raises(UnknownNameError, match="no reproduction of 'nobody'.*alqr, odesteer"):
        paper_named("nobody")
    with pytest.raises(UnknownNameError, match="no table or figure 'table-9'.*toxicity"):
        paper_named("alqr").item("table-9")


@pytest.mark.parametrize(
    ("name", "published", "same"),
    [
        ("google/gemma-2-2b", "Gemma-2-2B", True),
        ("google/gemma-2-2b-it", "Gemma-2-2B", False),
        ("meta-llama/Meta-Llama-3-8B", "Llama-3-8B", True),
        ("Llama-3.3-8B", "Llama-3-8B", False),
        ("Qwen/Qwen2.5-3B-Instruct", "Qwen2.5-3B-Instruct", True),
        ("Qwen/Qwen2.5-3B", "Qwen2.5-3B-Instruct", False),
    ],
)
def test_a_model_is_known_by_its_whole_name(name: str, published: str, same: bool) -> None:
    assert is_model(name, published) is same


def test_a_model_of_the_paper_has_the_settings_of_its_scripts() -> None:
    found = settings_of("truthfulness", "google/gemma-2-9b")
    assert found.known
    assert found.regulator.lambdas == (2.0, 2.5, 3.5)
    assert (found.regulator.q, found.regulator.r, found.regulator.qf) == (0.1, 1.0, 0.1)
    assert (found.gains.kp, found.gains.ki, found.gains.kd) == (0.7, 0.05, 0.0)
    assert not settings_of("truthfulness", "gpt2").known
    asked = settings_of("toxicity", "google/gemma-2-9b", (1.5,))
    assert asked.regulator.lambdas == asked.gains.lambdas == (1.5,)
    assert asked.gains.ki == 0.05


def test_odesteer_is_a_baseline_where_and_as_far_as_the_scripts_had_it() -> None:
    way = odesteer(settings_of("toxicity", "google/gemma-2-9b"))
    assert (way.method, way.target) == (ODESteer(block=22, unit="state"), 100.0)
    ours = odesteer(settings_of("toxicity", "gpt2", (0.5,)))
    assert (ours.method, ours.target) == (ODESteer(), 1.0)
    assert way.published == ours.published == "ODESteer"


def test_every_way_is_told_apart_and_stands_for_what_it_is() -> None:
    settings = settings_of("refusal", "gpt2", (0.5, 1.0))
    ways = (*compared(settings), *plus(settings))
    assert len({way.label for way in ways}) == len(ways)
    assert UNSTEERED not in {way.label for way in ways}
    for way in (*paper_form(settings), *plus(settings), *spid(settings)):
        assert way.lambda_ is not None and way.target is None and way.published
