"""The tables of the ODESteer paper in the wind tunnel, end to end, at sizes that say nothing."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

import steersman as sm
from steersman.evaluation.recipes import chosen
from steersman.evaluation.tasks.toxicity import RECIPES
from steersman.loading import load as load_model
from steersman.methods import ODESteer
from steersman.reproduction import Published, paper_named
from steersman.reproduction.odesteer.ablation import ways
from steersman.reproduction.odesteer.gaining import gain
from steersman.reproduction.odesteer.ways import Published as Form
from steersman.reproduction.odesteer.ways import compared
from steersman.reproduction.words import table
from steersman.windtunnel import load

pytestmark = pytest.mark.filterwarnings("ignore")

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("STEERSMAN_SHARED", REPOSITORY.parent / "shared"))
TINY = {"count": 3, "seeds": (0,), "pairs": 8, "jacobians": 1, "lambdas": (1.0,)}
QUIET = {"batch_size": 4, "progress": False}


@pytest.fixture(scope="module")
def truthfulness(tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduction") / "odesteer"
    return sm.reproduce(*load(), "odesteer", "truthfulness", out=out, **TINY, **QUIET), out


def test_ours_stands_beside_what_the_abstract_says(truthfulness) -> None:
    found, out = truthfulness
    (done,) = found.items
    lines = {line.label: line for line in done.found.lines}
    assert not [line.failed for line in lines.values() if line.failed]
    assert {"unsteered", "activation addition", "ODESteer, T = 1", "ODESteer, target 1"} <= {*lines}
    assert "gain" not in lines["activation addition"].values
    assert lines["ODESteer, T = 1"].values["gain"].count == 3
    shown = table(done)
    rows = {label: (paper, cells) for label, paper, cells in shown.rows}
    at = [model for _, models in shown.groups for model in models].index("models of the paper")
    assert str(rows["ODESteer, T = 1"][1][at]) == "5.7"  # of the abstract: not second-hand
    assert "neither of which model it is" in found.summary()
    assert "RepE" in found.to_html(out / "report.html").read_text()


def test_a_gain_is_the_mean_difference_on_the_same_prompts(truthfulness) -> None:
    found, _ = truthfulness
    lines = {line.label: line for line in found.items[0].found.lines}
    others = [
        line.values["both"].mean
        for label, line in lines.items()
        if "ODESteer" not in label and label != "unsteered"
    ]
    for label, line in lines.items():
        if "ODESteer" in label:
            expected = line.values["both"].mean - max(others)
            assert line.values["gain"].mean == pytest.approx(expected)


def rows(scores: list[tuple[int, int, float]]) -> SimpleNamespace:
    """An evaluation by seed, prompt and score."""
    made = [
        {"seed": seed, "index": index, "id": str(index), "scores": {"s": value}}
        for seed, index, value in scores
    ]
    return SimpleNamespace(rows=made, settings={"seeds": [3, 4]})


@pytest.mark.usefixtures("unchecked")
def test_a_gain_pairs_prompts_and_counts_what_is_less_as_more_where_less_is_better() -> None:
    one = rows([(3, 0, 1.0), (3, 1, 0.0), (4, 0, 1.0)])
    other = rows([(4, 0, 0.0), (3, 1, 1.0), (3, 0, 0.0)])
    for sign in (1.0, -1.0):
        found = gain(one, other, "s", sign)
        assert found.mean == pytest.approx(sign / 3) and found.count == 3
        assert found.by_seed == (0.0, sign)


def test_the_paper_has_its_own_blocks_and_a_new_model_has_none() -> None:
    assert Form.of("meta-llama/Llama-3.1-8B", None) == Form(13, (1.0, 5.0), True)
    assert Form.of("gpt2", (2.0,)) == Form(-1, (2.0,), False)
    labels = [way.label for way in compared(Form.of("tiiuae/falcon-7b", None))]
    assert len(set(labels)) == len(labels) == 7
    forms = [way for way in compared(Form(13, (5.0,), True)) if way.published == "ODESteer"]
    assert [(way.method, way.target) for way in forms] == [(ODESteer(block=13, unit="state"), 5.0)]


def test_an_ablation_changes_one_setting_at_a_time() -> None:
    usual, *others = ways(3)
    assert usual.method == ODESteer(block=3) and usual.target == 1.0
    for way in others:
        changed = {k for k, v in vars(way.method).items() if v != vars(usual.method)[k]}
        assert len(changed - {"C"}) == (way.target == 1.0), way.label
    assert len({way.label for way in others}) == len(others) == 12


def test_its_tables_and_how_it_draws() -> None:
    paper = paper_named("odesteer")
    assert [item.name for item in paper.items] == ["truthfulness", "toxicity", "ablation"]
    abstract = [one for item in paper.items for one in item.published if not one.second_hand]
    assert {one.value for one in abstract} == {5.7, 2.4}
    assert all(isinstance(one, Published) and "abstract" in one.source for one in abstract)
    drawn = chosen(RECIPES, paper.recipes["toxicity"])
    assert (drawn.new_tokens, drawn.decoding.temperature, drawn.decoding.top_p) == (50, 0.7, 0.9)
    assert drawn.decoding.repetition_penalty == 1.1


@pytest.mark.slow
def test_everything_in_the_wind_tunnel(tmp_path) -> None:
    found = sm.reproduce(*load(), "odesteer", out=tmp_path, **TINY, **QUIET)
    assert not found.skipped and not found.failed and len(found.items) == 3
    for done in found.items:
        assert not [line.failed for line in done.found.lines if line.failed]
    assert found.to_html(tmp_path / "report.html").read_text().count("<svg") == 3


@pytest.mark.slow
@pytest.mark.skipif(
    not (SHARED / "models" / "stories260K").exists(), reason="the small real models are not here"
)
def test_everything_on_a_small_real_model(tmp_path) -> None:
    causal = f"causal:{SHARED / 'models' / 'babyllama-tok105-1M'}"
    found = sm.reproduce(
        *load_model(str(SHARED / "models" / "stories260K")),
        "odesteer",
        data={
            "toxicity": SHARED / "data" / "toxicity",
            "truthfulness": SHARED / "data" / "truthfulqa",
        },
        judges={"toxicity": [causal], "truthfulness": [causal]},
        columns={"toxicity": {"comment": "text", "toxic": "toxicity"}},
        out=tmp_path,
        **TINY,
        **QUIET,
    )
    assert not found.failed and not found.skipped
    for done in found.items:
        assert not [line.failed for line in done.found.lines if line.failed], done.item.name
