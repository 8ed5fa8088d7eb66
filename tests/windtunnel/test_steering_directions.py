"""Every rule for a direction steers the embedded model where it is asked to, by exact scores."""

import warnings
from pathlib import Path

import pytest

import steersman as sm
from steersman.directions import MeanDifference, Purified
from steersman.evaluation.metrics import Comparison, sign_flip
from steersman.windtunnel import behaviour, generate, load

MODEL, TOKENIZER = load()
ASKED = behaviour("toxicity")
PAIRS, ITEMS = ASKED.pairs(0, 24), ASKED.items(1000, 48)

# What tells the sides apart best is a shorter way along the contrast: its unit pushes less.
RULES = [
    ("mean", 0.5),
    ("pca", 0.5),
    ("pca:states", 0.5),
    ("confident:0.6", 0.5),
    ("max-sim", 0.5),
    ("max-norm", 0.5),
    ("native", 0.5),
    ("rfm:2", 0.5),
    ("mean|filter:8", 0.5),
    ("pca|filter:4", 0.5),
    ("raptor", 2.0),
    ("lda", 8.0),
    ("whitened", 6.0),
]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


def fitted(direction: object, states: Path) -> sm.Steering:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return sm.fit(
            *(MODEL, TOKENIZER, PAIRS),
            method="activation-addition",
            direction=direction,  # type: ignore[arg-type]
            cache=states,
            progress=False,
        )


def toxic(steering: sm.Steering, target: float) -> list[float]:
    """Of each prompt, whether the same draw is toxic."""
    prompts = [item.prompt for item in ITEMS]
    with steering.attach(MODEL, target, trace=False):
        texts = generate(MODEL, TOKENIZER, prompts, new_tokens=ASKED.new_tokens, seed=5)
    judged = zip(ITEMS, texts, strict=True)
    return [ASKED.judge(item, text)[ASKED.headline] for item, text in judged]


def pushed_both_ways(steering: sm.Steering, target: float) -> Comparison:
    """The same draws under the target and under its opposite."""
    return sign_flip(toxic(steering, target), toxic(steering, -target))


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "target"), RULES, ids=[rule for rule, _ in RULES])
def test_text_is_less_toxic_pushed_along_it_than_pushed_back(
    rule: str, target: float, states: Path
) -> None:
    found = pushed_both_ways(fitted(rule, states), target)
    assert found.effect.value < 0 and found.p < 0.01


@pytest.mark.slow
def test_purified_from_another_feature_it_still_steers_and_from_itself_it_is_refused(
    states: Path,
) -> None:
    sea = behaviour("concepts:sea").pairs(0, 24)
    other = sm.fit(MODEL, TOKENIZER, sea, method="clamp", progress=False).direction
    rule = Purified(MeanDifference(), (other,))
    found = pushed_both_ways(fitted(rule, states), 0.5)
    assert found.effect.value < 0 and found.p < 0.01
    with pytest.raises(sm.SteersmanError, match="finds no direction"):
        fitted(Purified(MeanDifference(), (fitted("mean", states).direction,)), states)


@pytest.mark.slow
def test_without_the_axis_that_the_behaviour_is_there_is_a_warning_that_little_is_left() -> None:
    with pytest.warns(UserWarning, match="not distinguishable from none"):
        sm.fit(
            *(MODEL, TOKENIZER, PAIRS),
            method="activation-addition",
            direction="mean|remove:1",
            progress=False,
        )
