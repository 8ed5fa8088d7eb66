import pytest

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
