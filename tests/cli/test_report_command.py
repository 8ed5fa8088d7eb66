from dataclasses import replace

import pytest

import steersman as sm
from steersman.diagnostics import Diagnostic
from steersman.methods import FeatureLQR

pytest.importorskip("matplotlib")
PROMPT = "the cat said the dog is"


def test_a_report_shows_texts_traces_and_separation(
    saved_model, saved_steering, tmp_path, steersman
):
    page = tmp_path / "pages" / "report.html"
    words = ("report", saved_model, "-s", saved_steering, "--max-new-tokens", 6, "--out", page)
    prompts = ("--prompt", PROMPT, "--prompt", "one <bird> & two")
    result = steersman(*words, *prompts, "--target", 2)
    assert result.exit_code == 0, result.output
    html = page.read_text()
    assert PROMPT in html
    assert "one &lt;bird&gt; &amp; two" in html
    assert "target 2" in html
    assert html.count("<svg") == 3
    assert "natural units" in html


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("method", ["angular", "tracking", "pid-steering"])
def test_a_report_of_a_method_without_a_plan_or_without_feedback(
    method, saved_model, pairs_file, tmp_path, steersman
):
    folder, page = tmp_path / "s", tmp_path / "report.html"
    fitted = ("fit", saved_model, pairs_file, "--out", folder, "--method", method, "--quiet")
    assert steersman(*fitted, "--jacobian-prompts", 1).exit_code == 0
    words = ("report", saved_model, "-s", folder, "--max-new-tokens", 2, "-p", PROMPT)
    result = steersman(*words, "-o", page)
    assert result.exit_code == 0, result.output
    assert method in page.read_text()


def test_a_report_may_replace_a_report_and_nothing_else(
    saved_model, saved_steering, tmp_path, steersman
):
    page = tmp_path / "report.html"
    words = ("report", saved_model, "-s", saved_steering, "--max-new-tokens", 2, "-p", PROMPT)
    assert steersman(*words, "-o", page).exit_code == 0
    assert steersman(*words, "-o", page).exit_code == 0
    page.write_text("<html>my own page</html>")
    result = steersman(*words, "-o", page)
    assert result.exit_code == 1
    assert page.read_text() == "<html>my own page</html>"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_report_of_several_features_has_a_section_for_each_and_their_coupling(
    saved_model, tmp_path, tiny_model, tiny_tokenizer, steersman
):
    pairs = {
        name: sm.ContrastivePairs(
            desired=[f"{opening} {good}" for opening in ("the cat is", "a bird is", "one dog is")],
            undesired=[f"{opening} {bad}" for opening in ("the cat is", "a bird is", "one dog is")],
        )
        for name, good, bad in (("tone", "good", "bad"), ("he<b>at", "warm", "cold"))
    }
    method = FeatureLQR(q=0.1, weights={"tone": 2.0})
    steering = sm.fit(tiny_model("llama"), tiny_tokenizer, pairs, method=method, progress=False)
    folder, page = steering.save_pretrained(tmp_path / "both"), tmp_path / "report.html"
    words = ("report", saved_model, "-s", folder, "--max-new-tokens", 3, "--out", page)
    result = steersman(*words, "-p", PROMPT, "-t", "tone=1")
    assert result.exit_code == 0, result.output
    html = page.read_text()
    assert html.count('class="behaviour"') == 2
    assert html.count("<svg") == 4
    assert "target tone 1" in html
    assert "moves he&lt;b&gt;at" in html and "<b>" not in html
    assert "others held" in html


def test_what_a_method_found_out_is_on_the_page(saved_model, saved_steering, tmp_path, steersman):
    found = Diagnostic("Shares", "half <of> it", ("block", "share"), ((1, 0.5),))
    steering = replace(sm.Steering.from_pretrained(saved_steering), diagnostics=(found,))
    folder, page = steering.save_pretrained(tmp_path / "s"), tmp_path / "report.html"
    words = ("report", saved_model, "-s", folder, "--max-new-tokens", 2, "--out", page)
    result = steersman(*words, "-p", PROMPT)
    assert result.exit_code == 0, result.output
    assert "Shares: half &lt;of&gt; it." in page.read_text()
    assert "observer" in page.read_text()
