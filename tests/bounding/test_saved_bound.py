"""A bound as a file: the same bands, coverage and certificates; nothing else is taken for one."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import steersman as sm
from steersman.bounding import TrackingBound
from steersman.errors import ArtifactError, InputError, MismatchError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module", params=[("a", "feedback"), ("f", "plan")], ids=str)
def case(request: Any, tiny: Any, tmp_path_factory: Any) -> Any:
    """The tiny model, a bound, and the same from files with its steering."""
    which, execution = request.param
    steering, folder = getattr(tiny, which), tmp_path_factory.mktemp("bound")
    made = sm.bound(
        steering,
        tiny.model,
        tiny.tokenizer,
        tiny.prompts[:6],
        plant=tiny.plant,
        execution=execution,
        level=0.8,
        new_tokens=2,
        progress=False,
    )
    loaded = sm.Steering.from_pretrained(steering.save_pretrained(folder / "steering"))
    path = made.to_json(folder / "deep" / "bound.json")
    return tiny, made, TrackingBound.from_json(path, loaded), path


def test_the_bands_and_what_made_them_are_the_same_numbers(case: Any) -> None:
    _, made, found, _ = case
    assert [band.name for band in found.bands] == [band.name for band in made.bands]
    for one, other in zip(found.bands, made.bands, strict=True):
        assert torch.equal(one.radius, other.radius) and one.guarantee == other.guarantee
    assert torch.equal(found.attachment.predicted, made.attachment.predicted)
    assert (found.new_tokens, found.level, found.safety) == (2, 0.8, 1.25)
    assert found.budget() == made.budget() and found.table() == made.table()
    for name, values in vars(made.calibration.remainder).items():
        assert torch.equal(getattr(found.calibration.remainder, name), values)
    most = made.calibration.errors.amax(dim=0)
    assert torch.equal(found.at_level(6 / 7).band("conformal").radius, most)


def test_it_judges_other_prompts_without_the_plant(case: Any) -> None:
    tiny, made, found, _ = case
    assert found.attachment.plant is None
    others = tiny.model, tiny.tokenizer, tiny.prompts[6:9]
    expected, held = made.coverage(*others), found.coverage(*others)
    torch.testing.assert_close(held.errors, expected.errors, rtol=1e-4, atol=1e-6)
    assert held.state_errors is None and expected.state_errors is not None
    with pytest.raises(InputError, match="2 of 3 prompts are among those that this bound was made"):
        found.coverage(tiny.model, tiny.tokenizer, tiny.prompts[4:7])


def test_it_certifies_a_run(case: Any) -> None:
    tiny, made, found, _ = case
    one = made.attachment
    given = tiny.tokenizer(tiny.prompts[7:8], return_tensors="pt").input_ids
    how = {"tokens": "last", "execution": "plan" if one.planned else "feedback"}
    with one.steering.attach(tiny.model, 1.0, **how) as run:
        tiny.model.generate(given, max_new_tokens=3, do_sample=False, pad_token_id=0)
    told = [bound.certify(run.trace, model=tiny.model) for bound in (made, found)]
    torch.testing.assert_close(told[1].error, told[0].error, equal_nan=True, rtol=1e-4, atol=1e-6)
    assert told[1].table() == told[0].table()


def test_it_does_not_hold_the_prompts(case: Any) -> None:
    tiny, _, _, path = case
    ids = tiny.tokenizer(tiny.prompts[:1])["input_ids"][0]
    text = path.read_text()
    assert tiny.prompts[0] not in text and str(ids).strip("[]") not in text
    assert len(json.loads(text)["prompts"]) == 6


def test_the_bound_of_another_steering_is_refused(case: Any) -> None:
    tiny, made, _, path = case
    other = tiny.f if made.attachment.steering is tiny.a else tiny.a
    with pytest.raises(MismatchError, match="is the bound of another steering"):
        TrackingBound.from_json(path, other)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda held: "no json", "cannot be read as JSON"),
        (lambda held: [1, 2], "is no bound of a steering"),
        (lambda held: held | {"kind": "steersman linearity"}, "is no bound of a steering"),
        (lambda held: held | {"format": 99}, "has another format than 1"),
        (lambda held: held | {"level": "high"}, "'level' of .* is 'high'; expected float"),
        (lambda held: held | {"target": 0.0}, "holds no bound that can be: target is 0"),
        (lambda held: held | {"feature": "mood"}, "there is no feature 'mood'"),
        (lambda held: held | {"tensors": None}, "holds no tensors"),
        (lambda held: _with(held, "errors", [["a"]]), "'errors' of .* is no table of numbers"),
        (lambda held: _with(held, "errors", [[0.1]]), r"has shape \(1, 1\); expected \(prompts"),
        (lambda held: _with(held, "scale", None), "'scale' of .* has shape"),
        (lambda held: _with(held, "work", held["tensors"]["work"][:2]), "'work' of .* has shape"),
        (lambda held: _with(held, "mismatch", [-1.0] * 3), "must be zero or above"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(
    spoil: Any, says: str, case: Any, tmp_path: Path
) -> None:
    tiny, made, _, path = case
    spoilt = spoil(json.loads(path.read_text()))
    file = tmp_path / "spoilt.json"
    file.write_text(spoilt if isinstance(spoilt, str) else json.dumps(spoilt))
    with pytest.raises(ArtifactError, match=says):
        TrackingBound.from_json(file, made.attachment.steering)


def _with(held: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return held | {"tensors": held["tensors"] | {name: value}}


def test_what_is_not_finite_comes_back_as_no_promise(case: Any, tmp_path: Path) -> None:
    _, made, _, path = case
    held = json.loads(path.read_text())
    radius = [None, *held["tensors"]["radius"][1:]]
    (tmp_path / "b.json").write_text(json.dumps(_with(held, "radius", radius)))
    found = TrackingBound.from_json(tmp_path / "b.json", made.attachment.steering)
    assert float(found.band("norm").radius[0]) == math.inf
    found.to_json(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["tensors"]["radius"] == radius


def test_a_missing_file_and_a_place_that_cannot_be_written_are_named(
    case: Any, tmp_path: Path
) -> None:
    _, made, _, path = case
    with pytest.raises(ArtifactError, match="none.json cannot be read"):
        TrackingBound.from_json(tmp_path / "none.json", made.attachment.steering)
    with pytest.raises(InputError, match="cannot write"):
        made.to_json(path / "below" / "a" / "file.json")
