import inspect
import json

import pytest

import steersman as sm
from steersman.cli.fit import fit as fit_command
from steersman.steering import Steering


def test_a_fitted_steering_can_be_loaded(saved_steering):
    steering = Steering.from_pretrained(saved_steering)
    assert steering.method.name == "a-lqr"
    assert steering.provenance.jacobian_prompts == 2
    assert steering.provenance.pairs == {"feature": (9, 9)}


def test_settings_reach_the_method(saved_model, pairs_file, tmp_path, steersman):
    result = steersman(
        *("fit", saved_model, pairs_file, "-o", tmp_path / "calm", "--method", "a-lqr+"),
        *("--q", 0.5, "--r", 2, "--qf", 3, "--jacobian-prompts", 1, "--positions", "all"),
    )
    assert result.exit_code == 0, result.output
    steering = Steering.from_pretrained(tmp_path / "calm")
    assert steering.method.hyperparameters() == {"q": 0.5, "r": 2.0, "qf": 3.0}
    assert steering.provenance.positions == "all"
    assert "a-lqr+" in result.stdout
    assert "identifying the plant" in result.stderr


def test_an_observer_reaches_the_fit_and_is_remembered(
    saved_model, pairs_file, tmp_path, steersman
):
    words = ("fit", saved_model, pairs_file, "-o", tmp_path / "calm", "--quiet")
    result = steersman(*words, "--observer", "whitened:0.5", "--method", "s-pid")
    assert result.exit_code == 0, result.output
    steering = Steering.from_pretrained(tmp_path / "calm")
    assert steering.provenance.observer == "whitened:0.5"
    assert "observed by `whitened:0.5`" in (tmp_path / "calm" / "README.md").read_text()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_file_with_continuations_is_fitted_as_aligned_pairs(saved_model, tmp_path, steersman):
    rows = [
        {"desired": f"the {good}", "undesired": f"the {bad}", "continuation": f"{end} is here"}
        for good, bad in (("good cat", "bad cat"), ("warm dog", "cold dog"))
        for end in ("one tree", "a bird", "two house", "the sun", "a dog", "one cat")
    ]
    path = tmp_path / "aligned.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    words = ("fit", saved_model, path, "-o", tmp_path / "calm", "--method", "counterfactual")
    result = steersman(*words, "--quiet")
    assert result.exit_code == 0, result.output
    assert "12 aligned pairs: 6 continuations, 2 pairs of contexts" in result.stderr
    assert "% of the shift at block" in result.stdout
    steering = Steering.from_pretrained(tmp_path / "calm")
    assert steering.provenance.positions == "response"
    (found,) = steering.diagnostics
    assert "## Shift explained out of sample" in (tmp_path / "calm" / "README.md").read_text()
    assert found.columns[:3] == ("block", "by the state", "by the mean shift")


def test_a_fit_may_replace_an_earlier_steering(saved_model, pairs_file, tmp_path, steersman):
    words = ("fit", saved_model, pairs_file, "-o", tmp_path / "calm", "--quiet")
    for method in ("activation-addition", "a-lqr"):
        assert steersman(*words, "--method", method, "--jacobian-prompts", 1).exit_code == 0
    assert Steering.from_pretrained(tmp_path / "calm").method.name == "a-lqr"


def test_a_folder_with_other_things_is_refused_before_anything_is_loaded(
    pairs_file, tmp_path, steersman
):
    (tmp_path / "thesis.tex").write_text("years of work")
    result = steersman("fit", "no/such-model", pairs_file, "--out", tmp_path)
    assert result.exit_code == 1
    assert "thesis.tex" in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--method", "magic", "a-lqr"),
        ("--positions", "middle", "last"),
        ("--observer", "median", "whitened"),
        ("--dtype", "int3", "bfloat16"),
        ("--q", "-1", "above zero"),
    ],
)
def test_a_wrong_choice_says_what_there_is(
    option, value, said, saved_model, pairs_file, tmp_path, steersman
):
    result = steersman("fit", saved_model, pairs_file, "-o", tmp_path / "calm", option, value)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "calm").exists()


def test_pairs_that_are_not_there_are_named(saved_model, tmp_path, steersman):
    result = steersman("fit", saved_model, tmp_path / "none.csv", "-o", tmp_path / "calm")
    assert result.exit_code == 1
    assert "none.csv" in result.stderr


def test_a_model_that_is_not_there_is_named(pairs_file, tmp_path, steersman):
    result = steersman("fit", tmp_path / "no-model", pairs_file, "-o", tmp_path / "calm")
    assert result.exit_code == 1
    assert "no-model" in result.stderr
    assert "Hugging Face hub" in result.stderr


def test_a_checkpoint_is_written_and_taken_up(saved_model, pairs_file, tmp_path, steersman):
    words = ("fit", saved_model, pairs_file, "-o", tmp_path / "calm", "--jacobian-prompts", 2)
    checkpoint = ("--checkpoint", tmp_path / "plant")
    assert steersman(*words, *checkpoint).exit_code == 0
    first = json.loads((tmp_path / "calm" / "steering.json").read_text())
    assert steersman(*words, *checkpoint).exit_code == 0
    assert json.loads((tmp_path / "calm" / "steering.json").read_text()) == first
    assert any(entry.name.startswith("plant") for entry in tmp_path.iterdir())


def test_the_settings_that_nobody_gives_are_those_of_the_library():
    given = inspect.signature(fit_command).parameters
    known = inspect.signature(sm.fit).parameters
    shared = given.keys() & known.keys() & {"q", "r", "qf", "positions", "batch_size", "chunk"}
    assert {"chunk", "q", "positions"} <= shared
    assert all(given[name].default == known[name].default for name in shared)


@pytest.fixture
def two_files(tmp_path):
    """Pairs of two features that differ in different words."""
    sides = {"tone": ("good", "bad"), "heat": ("warm", "cold")}
    for name, (desired, undesired) in sides.items():
        openings = ("the cat said the dog is", "a bird sat and the house is", "one tree is")
        rows = [{"desired": f"{o} {desired}", "undesired": f"{o} {undesired}"} for o in openings]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    return [f"{name}={tmp_path / name}.json" for name in sides]


def test_several_features_are_fitted_together_and_their_coupling_is_told(
    saved_model, two_files, tmp_path, steersman
):
    words = ("fit", saved_model, "--method", "feature-lqr", "--jacobian-prompts", 2, "--quiet")
    features = [word for one in two_files for word in ("--feature", one)]
    result = steersman(*words, *features, "-o", tmp_path / "both")
    assert result.exit_code == 0, result.output
    steering = Steering.from_pretrained(tmp_path / "both")
    assert steering.features.names == ("tone", "heat")
    assert steering.provenance.jacobian_prompts == 2
    assert "moves tone" in result.stdout and "others held" in result.stdout
    prompt = ("generate", saved_model, "the cat said", "-s", tmp_path / "both")
    result = steersman(*prompt, "-t", "tone=1", "-t", "heat=-0.5", "--max-new-tokens", 3)
    assert result.exit_code == 0, result.output
    result = steersman(*prompt, "--target", 1)
    assert result.exit_code == 1
    assert "'tone' and 'heat'" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give PAIRS for one feature, or --feature NAME=PAIRS"),
        (("pairs.csv", "--feature", "tone=tone.csv"), "give PAIRS for one feature"),
        (("--feature", "tone.csv"), "--feature tone.csv: expected NAME=PAIRS"),
        (("--feature", "=tone.csv"), "expected NAME=PAIRS"),
        (("--feature", "tone=a.csv", "--feature", "tone=b.csv"), "names 'tone' twice"),
        (("--feature", "tone=no-such-file.csv"), "no-such-file.csv"),
    ],
)
def test_pairs_that_are_not_given_in_one_way_are_refused(words, said, tmp_path, steersman):
    result = steersman("fit", "no/such-model", *words, "--out", tmp_path / "s")
    assert result.exit_code == 1
    assert said in result.stderr
    assert not (tmp_path / "s").exists()


def test_a_rule_for_tokens_is_part_of_what_is_saved(saved_model, pairs_file, tmp_path, steersman):
    out = tmp_path / "calm"
    words = ("fit", saved_model, pairs_file, "--out", out, "--jacobian-prompts", 2, "--quiet")
    result = steersman(*words, "--tokens", "generated")
    assert result.exit_code == 0, result.output
    assert "acts at tokens 'generated'" in result.stdout
    assert sm.Steering.from_pretrained(out).gate.tokens == "generated"
