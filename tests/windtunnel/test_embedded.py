"""The embedded model: fluent, undecided, knowing, and moved by a steering."""

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import steersman as sm
from steersman.errors import ArtifactError
from steersman.windtunnel import (
    UNSTEERED,
    Condition,
    Measurement,
    behaviour,
    compare,
    fit_behaviour,
    load,
    measure,
    names,
)
from steersman.windtunnel.train import Recipe, batches, build_model, only, train

MODEL, TOKENIZER = load()


@cache
def unsteered(name: str) -> Measurement:
    return measure(MODEL, TOKENIZER, behaviour(name), seed=5, count=300)


@cache
def steering(name: str) -> sm.Steering:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fit_behaviour(MODEL, TOKENIZER, behaviour(name), seed=3)


@cache
def steered(name: str, target: float) -> Measurement:
    attached = steering(name).attach(MODEL, target, trace=False)
    return measure(MODEL, TOKENIZER, behaviour(name), attached, seed=5, count=300)


def slowly(name: str) -> Any:
    """The others take as long again, each: they are run with what is slow."""
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", names())
def test_unsteered_it_is_fluent_undecided_and_knowing(name: str) -> None:
    found = unsteered(name)
    assert found.grammaticality.mean > 0.95
    assert 0.15 < found.scores[behaviour(name).headline].mean < 0.85
    assert found.knowledge.mean > 0.9


@pytest.mark.parametrize("name", [names()[0], *(slowly(name) for name in names()[1:])])
def test_target_one_moves_the_behaviour_by_thirty_points_and_little_else(name: str) -> None:
    asked = behaviour(name)
    before, half, after = unsteered(name), steered(name, 0.5), steered(name, 1.0)
    scores = [found.scores[asked.headline].mean for found in (before, half, after)]
    changes = [score - scores[0] if asked.rises else scores[0] - score for score in scores]
    assert 0.0 < changes[1] < changes[2]
    assert changes[2] > 0.3
    assert after.grammaticality.mean > before.grammaticality.mean - 0.05
    assert after.knowledge.mean > before.knowledge.mean - 0.05


@pytest.mark.parametrize("name", names())
def test_examples_that_end_alike_are_first_pushed_apart_after_two_blocks(name: str) -> None:
    fitted = steering(name)
    assert not fitted.contrast[0].any()
    with fitted.attach(MODEL, 1.0) as run, torch.no_grad():
        MODEL(**TOKENIZER(str(behaviour(name).pairs(3, 1).undesired[0]), return_tensors="pt"))
    effort = run.trace.effort[0, :, -1]
    assert effort[0] == 0.0 and (effort[1:] > 0).all()


@pytest.mark.parametrize("name", ["toxicity", slowly("concepts:sea")])
def test_minus_one_moves_it_the_other_way(name: str) -> None:
    asked = behaviour(name)
    before = unsteered(name).scores[asked.headline].mean
    after = steered(name, -1.0).scores[asked.headline].mean
    assert (after < before) if asked.rises else (after > before + 0.2)


def test_a_plan_and_measured_feedback_agree(name: str = "toxicity") -> None:
    asked = behaviour(name)
    attached = steering(name).attach(MODEL, 1.0, execution="feedback", trace=False)
    measured = measure(MODEL, TOKENIZER, asked, attached, seed=5, count=150, knowledge=50)
    planned = steered(name, 1.0).scores[asked.headline].mean
    assert abs(measured.scores[asked.headline].mean - planned) < 0.12


def test_conditions_see_the_same_prompts() -> None:
    first, second = compare(
        MODEL,
        TOKENIZER,
        behaviour("refusal"),
        (UNSTEERED, Condition("nothing", "activation-addition", _weightless)),
        seeds=1,
        count=40,
    )
    assert first.first.samples == second.first.samples
    assert first.scores == second.scores


def _weightless(steering: sm.Steering, model: object) -> object:
    return steering.attach(model, target=0.0, trace=False)  # type: ignore[arg-type]


def test_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    small = {"batch": 2, "blocks": 3, "width": 16, "heads": 2, "mlp": 16, "warmup": 1}
    recipe = Recipe(steps=6, cooldown=2, drop=0.5, **small)
    assert {len(recipe.kept(step)) for step in range(6)} > {3}
    whole = train(recipe, tmp_path / "whole", "cpu")

    def interrupt(step: int, loss: float) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "parts", "cpu", every=-1.0, report=interrupt)
    again = train(recipe, tmp_path / "parts", "cpu")
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_every_block_runs_again_after_a_step_that_left_some_out() -> None:
    model = build_model(Recipe(blocks=3, width=16, heads=2, mlp=16), TOKENIZER)
    every = list(model.model.layers)
    with pytest.raises(KeyError), only(model, [2]):
        assert list(model.model.layers) == every[2:]
        raise KeyError
    assert list(model.model.layers) == every


def test_another_recipe_does_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    small = {"batch": 2, "blocks": 1, "width": 16, "heads": 2, "mlp": 16}
    train(Recipe(steps=1, **small), tmp_path, "cpu")
    with pytest.raises(SystemExit, match="another recipe"):
        train(Recipe(steps=2, **small), tmp_path, "cpu")


def test_batches_after_a_pause_are_those_that_were_left() -> None:
    recipe = Recipe(batch=2)
    stream = batches(recipe, TOKENIZER, 0)
    ids = [next(stream)[0] for _ in range(40)]
    late = batches(recipe, TOKENIZER, 35)
    for expected in ids[35:]:
        assert torch.equal(next(late)[0], expected)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="windtunnel.train"):
        load(tmp_path)
