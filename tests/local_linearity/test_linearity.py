"""The whole measurement: what comes out, what is refused, what is saved and shown."""

import copy
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_domains import DOMAINS
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import steersman as sm
from steersman.errors import ArtifactError, AttachedError, InputError, MismatchError
from steersman.local_linearity import LinearityReport, linearity
from steersman.plant import locate
from steersman.plant.hooks import hooked

PAIRS = sm.ContrastivePairs(
    desired=["the cat is good", "a dog is happy", "the bird is warm", "one tree is good"],
    undesired=["the cat is bad", "a dog is sad", "the bird is cold", "one tree is bad"],
)
Measure = Callable[..., LinearityReport]


@pytest.fixture(scope="module")
def measure(smooth: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast) -> Measure:
    def run(prompts: Any = DOMAINS, model: Any = smooth, **settings: Any) -> LinearityReport:
        chosen = {"scales": (0.01, 0.1, 1.0), "draws": 8, "progress": False} | settings
        return linearity(model, tiny_tokenizer, prompts, **chosen)

    return run


@pytest.fixture(scope="module")
def report(measure: Measure) -> LinearityReport:
    with pytest.warns(UserWarning):
        return measure(feature=PAIRS, rank=3)


def leaves(value: Any) -> list[Any]:
    """All fields of a dataclass and those inside it."""
    found: list[Any] = []
    for field in fields(value):
        inner = getattr(value, field.name)
        found += leaves(inner) if is_dataclass(inner) else [inner]
    return found


def test_every_kind_of_step_is_measured_at_every_prompt_block_and_scale(
    report: LinearityReport,
) -> None:
    assert report.remainders.kinds == ("random", "feature", "between prompts")
    assert report.remainders.own.shape == (3, 6, 3, 3)
    assert report.jacobian.similarity.shape == (3, 6, 6)
    assert (report.blocks, report.n, report.jacobian.rank) == (3, 32, 3)
    assert report.last == ("mat", "sat", "ran", "warm", "tree", "mat")
    assert all(x.dtype == torch.float64 for x in leaves(report) if isinstance(x, Tensor))


@pytest.mark.filterwarnings("ignore")
def test_a_feature_is_pairs_or_a_steering_or_a_direction(
    measure: Measure, report: LinearityReport, smooth: Any, tiny_tokenizer: Any
) -> None:
    steering = sm.fit(smooth, tiny_tokenizer, PAIRS, method="activation-addition", progress=False)
    for feature in (steering, steering.direction):
        found = measure(feature=feature, rank=3)
        torch.testing.assert_close(
            found.remainders.own, report.remainders.own, equal_nan=True, rtol=1e-4, atol=1e-9
        )


def test_without_a_feature_there_is_no_step_along_it(measure: Measure) -> None:
    found = measure(["the cat sat", "a dog ran"])
    assert found.remainders.kinds == ("random", "between prompts")
    assert found.domains == ("prompts", "prompts")


def test_pairs_are_grouped_by_domain_and_last_token(report: LinearityReport) -> None:
    groups = report.groups()
    assert "same domain, same last token" not in groups
    assert int(groups["other domain, same last token"].sum()) == 2
    assert int(groups["same domain, other last token"].sum()) == 12
    found = report.similarity(report.jacobian)["other domain, same last token"]
    torch.testing.assert_close(found.mean, report.jacobian.similarity[:, 0, 5])


def test_the_same_seed_gives_the_same_numbers(measure: Measure) -> None:
    first, second, other = (measure(seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.jacobian.chance, second.jacobian.chance)
    assert torch.equal(first.remainders.own[0], second.remainders.own[0])
    assert not torch.equal(first.remainders.own[0], other.remainders.own[0])


def test_the_means_leave_the_first_block_out(report: LinearityReport) -> None:
    values = report.remainders.own[..., 1]
    found = report.later(values)
    expected = values[0, :, 1:].mean(dim=1)
    assert found.mean[0] == pytest.approx(float(expected.mean()))
    assert found.se[0] == pytest.approx(float(expected.std() / 6**0.5))


def test_the_summary_says_the_numbers(report: LinearityReport) -> None:
    summary = report.summary()
    own = float(report.later(report.remainders.own[..., 1]).mean[0])
    line = next(line for line in summary.splitlines() if line.strip().startswith("random"))
    assert float(line.split()[1]) == pytest.approx(own, abs=0.01)
    assert "6 prompts of 2 domains, ending in 5 different tokens" in summary
    assert "step |d| = 0.1 |x|, blocks 1 to 2" in summary
    assert "by chance" in summary


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": ["the cat"]}, "two at least"),
        ({"prompts": []}, "holds no list"),
        ({"scales": ()}, "scales are"),
        ({"scales": (0.1, -0.2)}, "finite and above zero"),
        ({"scales": (0.1, float("nan"))}, "finite and above zero"),
        ({"scales": (0.1, float("inf"))}, "finite and above zero"),
        ({"scales": (0.2, 0.1)}, "rising order"),
        ({"rank": 0}, "between 1 and n = 32"),
        ({"rank": 33}, "between 1 and n = 32"),
        ({"draws": 0}, "draws"),
        ({"chunk": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    settings: dict[str, Any], message: str, measure: Measure
) -> None:
    with pytest.raises(InputError, match=message):
        measure(**settings)


def test_a_model_in_training_mode_is_refused(measure: Measure, smooth: Any) -> None:
    with pytest.raises(InputError, match="training mode"):
        measure(model=copy.deepcopy(smooth).train())


@pytest.mark.filterwarnings("ignore")
def test_a_steered_model_is_refused_and_left_as_it_was(
    measure: Measure, smooth: Any, tiny_tokenizer: Any
) -> None:
    model = copy.deepcopy(smooth)
    steering = sm.fit(model, tiny_tokenizer, PAIRS, method="activation-addition", progress=False)
    with steering.attach(model), pytest.raises(AttachedError, match="detach it first"):
        measure(model=model, feature=steering)
    assert not any(hooked(module) for module in locate(model).modules)


@pytest.mark.filterwarnings("ignore")
def test_a_steering_of_another_model_is_refused(
    measure: Measure, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    other = tiny_model("llama")
    steering = sm.fit(other, tiny_tokenizer, PAIRS, method="activation-addition", progress=False)
    with pytest.raises(MismatchError):
        measure(feature=steering)


def test_half_precision_is_doubted(measure: Measure, smooth: Any) -> None:
    with pytest.warns(UserWarning, match="rounding makes up about 78%"):
        measure(["the cat sat", "a dog ran"], model=copy.deepcopy(smooth).bfloat16())


def test_the_time_is_told_beforehand(measure: Measure, capsys: pytest.CaptureFixture[str]) -> None:
    measure(["the cat sat", "a dog ran"], progress=True)
    told = capsys.readouterr().err
    assert "measuring local linearity: 2 prompts x 3 blocks of n = 32: about" in told


def test_what_is_saved_comes_back_as_it_was(report: LinearityReport, tmp_path: Path) -> None:
    path = report.to_json(tmp_path / "new" / "linearity.json")
    found = LinearityReport.from_json(path)
    for one, other in zip(leaves(found), leaves(report), strict=True):
        if isinstance(other, Tensor):
            assert torch.equal(one.nan_to_num(-7), other.nan_to_num(-7))
        else:
            assert one == other
    assert found.summary() == report.summary()
    assert [entry.name for entry in path.parent.iterdir()] == ["linearity.json"]


def test_what_is_not_known_is_null_in_json(report: LinearityReport, tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = report.to_json(tmp_path / "linearity.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert found["remainders"]["by_token"][0][1][0] == [None] * 3


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"kind": "steersman linearity"}'])
def test_a_file_of_something_else_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ArtifactError):
        LinearityReport.from_json(path)
    with pytest.raises(ArtifactError):
        LinearityReport.from_json(tmp_path / "missing.json")


def test_a_file_with_a_part_missing_is_refused(report: LinearityReport, tmp_path: Path) -> None:
    path = report.to_json(tmp_path / "linearity.json")
    content = json.loads(path.read_text())
    del content["jacobian"]["chance"]
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="chance"):
        LinearityReport.from_json(path)


def test_a_file_that_cannot_be_written_leaves_nothing(
    report: LinearityReport, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        report.to_json(tmp_path / "taken")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_the_page_shows_every_figure_and_block_and_escapes_names(
    report: LinearityReport, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    named = replace(report, domains=("<b>pets</b>",) * 3 + ("$homes$",) * 3)
    page = named.to_html(tmp_path / "page.html").read_text()
    assert page.count("<svg") == 5
    assert page.count('<th scope="row">') == 3
    assert "along the feature" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<b>pets" not in page
    assert "&lt;b&gt;pets" in page
    assert "$homes$" in page


def test_every_public_name_is_at_the_top() -> None:
    assert sm.linearity is linearity
    assert sm.LinearityReport is LinearityReport
