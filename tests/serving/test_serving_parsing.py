"""What is asked of steerings, in the model's name and beside it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.errors import InputError
from steersman.serving.errors import NotThereError, RequestError
from steersman.serving.limits import Limits
from steersman.serving.parsing import read_model, require_name, strengths_of
from steersman.serving.protocol import SteeringInfo


def info(name: str, *features: str, needs_all: bool = False) -> SteeringInfo:
    return SteeringInfo(name, "clamp", features or ("feature",), needs_all, "")


LOADED = {
    one.name: one
    for one in (info("calm"), info("true-1"), info("both", "sea", "music"), info("x"), info("y"))
}
LIMITS = Limits(steerings=3, strength=4.0)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("base", {}),
        ("base+calm", {"calm": 1.0}),
        ("base+calm:0.8+true-1:0.5", {"calm": 0.8, "true-1": 0.5}),
        ("base+calm:-1e-1", {"calm": -0.1}),
        ("base+both.sea:2", {"both.sea": 2.0}),
    ],
)
def test_a_models_name_carries_strengths(model: str, found: dict[str, float]) -> None:
    assert read_model(model, "base") == found


def test_the_base_may_hold_every_sign_itself() -> None:
    assert read_model("a/b+c:d+calm:0.5", "a/b+c:d") == {"calm": 0.5}


@pytest.mark.parametrize("model", ["other", "", "base ", "bas", "basement+calm"])
def test_another_model_is_not_there(model: str) -> None:
    with pytest.raises(NotThereError):
        read_model(model, "base")


@pytest.mark.parametrize(
    "model", ["base+calm:", "base+calm:much", "base+calm+calm", "base+calm:1:2"]
)
def test_a_name_that_cannot_be_read_is_refused(model: str) -> None:
    with pytest.raises(RequestError):
        read_model(model, "base")


def test_strengths_come_feature_by_feature_and_in_the_order_of_names() -> None:
    found = strengths_of({"true-1": 0.5, "both": {"sea": 1, "music": 0}, "calm": 1}, LOADED, LIMITS)
    assert list(found) == ["both", "calm", "true-1"]
    assert found == {
        "true-1": {"feature": 0.5},
        "both": {"sea": 1.0, "music": 0.0},
        "calm": {"feature": 1.0},
    }
    assert strengths_of({"both.sea": 1.0}, LOADED, LIMITS) == {"both": {"sea": 1.0}}


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"clam": 1.0}, "calm"),
        ({"../calm": 1.0}, "no steering"),
        ({"calm": math.nan}, "finite"),
        ({"calm": math.inf}, "finite"),
        ({"calm": 10**400}, "finite"),
        ({"calm": True}, "finite"),
        ({"calm": 4.01}, "-4 to 4"),
        ({"calm": -40}, "-4 to 4"),
        ({"both": 1.0}, "several features"),
        ({"both": {"sand": 1.0}}, "no feature"),
        ({"both": {}}, "without a strength"),
        ({"both": {"sea": 1.0}, "both.sea": 1.0}, "two strengths"),
        (dict.fromkeys(("calm", "true-1", "x", "y"), 1.0), "may have 3"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_asked_is_refused_in_words(asked: dict, word: str) -> None:
    with pytest.raises(RequestError, match=word):
        strengths_of(asked, LOADED, LIMITS)


def test_a_steering_that_holds_values_needs_all_of_its_features() -> None:
    loaded = {"held": info("held", "sea", "music", needs_all=True)}
    with pytest.raises(RequestError, match="music"):
        strengths_of({"held": {"sea": 1.0}}, loaded, LIMITS)


@given(st.text(max_size=30))
def test_any_text_behind_the_model_is_read_or_refused(text: str) -> None:
    try:
        found = strengths_of(read_model(f"base+{text}", "base"), LOADED, LIMITS)
    except RequestError as error:
        assert error.status in (400, 404)
        assert error.body["error"]["message"]
    else:
        assert all(abs(value) <= 4 for each in found.values() for value in each.values())


@pytest.mark.parametrize("name", ["", "-a", "a.b", "a/b", "..", "a+b", "a:b", "a" * 65, "ä", "a\n"])
def test_names_that_could_be_read_as_anything_else_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        require_name(name)


@pytest.mark.parametrize("field", ["body", "timeout", "strength", "running"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
@pytest.mark.usefixtures("unchecked")
def test_limits_are_above_zero(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        Limits(**{field: value})
