"""Figures say what they were given, leave nothing global behind, and go into a page as they are."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from steersman.errors import InputError, ShapeError, SteersmanError
from steersman.plots import (
    authority_figure,
    before_after_figure,
    bound_figure,
    calibration_figure,
    figure_page,
    figure_svg,
    separation_figure,
    strength_figure,
    trace_figure,
)

NAN = float("nan")
ROWS = [("style", 0.54, 0.02, 0.97, 0.01), ("toxicity", 0.31, 0.01, 0.04, NAN)]


def steered_run(blocks: int = 5, tokens: int = 7) -> list[torch.Tensor]:
    """Feature, setpoint, effort and gate of a run whose first two tokens were left alone."""
    steered = torch.arange(tokens) >= 2
    feature = torch.linspace(0, 1, blocks)[:, None].expand(blocks, tokens).clone()
    setpoint = torch.where(steered, 1.0, NAN).expand(blocks, tokens).clone()
    effort = torch.where(steered, 0.5, 0.0).expand(blocks, tokens).clone()
    effort[3, 4] = 2.0
    return [feature, setpoint, effort, steered]


def titles(figure: Figure) -> list[str]:
    """The heading of every panel that has one."""
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def image_of(figure: Figure, title: str) -> np.ndarray:
    """The values of the map under that heading, NaN where masked."""
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == title)
    return np.ma.filled(axes.images[0].get_array(), np.nan)


def test_a_trace_maps_error_and_effort_by_block_and_token() -> None:
    feature, setpoint, effort, steered = steered_run()
    figure = trace_figure(feature, setpoint, effort, steered)
    assert titles(figure) == ["Feature by block", "Error: setpoint minus feature", "Effort |u|"]
    np.testing.assert_allclose(image_of(figure, titles(figure)[1]), (setpoint - feature).numpy())
    np.testing.assert_allclose(image_of(figure, titles(figure)[2]), effort.numpy())


def test_a_trace_without_a_setpoint_maps_the_feature() -> None:
    feature, setpoint, effort, steered = steered_run()
    figure = trace_figure(feature, torch.full_like(setpoint, NAN), effort, steered)
    assert titles(figure)[1] == "Feature"
    np.testing.assert_allclose(image_of(figure, "Feature"), feature.numpy())
    assert "setpoint" not in figure.get_label()


def test_a_trace_takes_its_medians_over_the_steered_tokens() -> None:
    feature, setpoint, effort, steered = steered_run()
    feature[:, :2] = 50.0
    figure = trace_figure(feature, setpoint, effort, steered)
    drawn = figure.axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, np.linspace(0, 1, 5), atol=1e-6)


def test_a_trace_says_in_words_what_it_shows() -> None:
    assert trace_figure(*steered_run()).get_label() == (
        "5 blocks and 7 tokens, 5 of them steered. Median feature at block 4: 1.00 natural units, "
        "setpoint 1.00. Largest effort: 2 at block 3."
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (40, 90)])
def test_traces_of_every_size_are_drawn(shape: tuple[int, int]) -> None:
    blocks, tokens = shape
    values = torch.randn(blocks, tokens, dtype=torch.float64)
    figure = trace_figure(values, values + 1, values.abs(), torch.ones(tokens, dtype=torch.bool))
    assert figure_svg(figure).startswith("<svg")


def test_a_trace_with_nothing_but_padding_is_drawn() -> None:
    nothing = torch.full((3, 4), NAN)
    figure = trace_figure(nothing, nothing, nothing, torch.zeros(4, dtype=torch.bool))
    assert figure_svg(figure).startswith("<svg")


def test_infinite_values_are_left_out_like_unknown_ones() -> None:
    feature, setpoint, effort, steered = steered_run()
    feature[1, 3] = float("inf")
    figure = trace_figure(feature, setpoint, effort, steered)
    assert np.isnan(image_of(figure, "Error: setpoint minus feature")[1, 3])


def test_a_trace_takes_numpy_arrays_as_well_as_tensors() -> None:
    tensors = steered_run()
    from_arrays = trace_figure(*(values.numpy() for values in tensors))
    assert figure_svg(from_arrays) == figure_svg(trace_figure(*tensors))


def test_a_trace_needs_a_token() -> None:
    empty = torch.zeros(3, 0)
    with pytest.raises(InputError, match="at least one of each"):
        trace_figure(empty, empty, empty, torch.zeros(0, dtype=torch.bool))


def test_before_and_after_are_drawn_where_they_are() -> None:
    figure = before_after_figure(ROWS, "share")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["style", "toxicity"]
    points = {tuple(line.get_xdata()) for line in axes.lines}
    assert {(0.54,), (0.97,), (0.31,), (0.04,)} <= points
    assert [text.get_text() for text in axes.texts] == ["0.54", "0.97", "0.31", "0.04"]
    assert figure.get_label() == (
        "share without and with steering: style 0.54 to 0.97; toxicity 0.31 to 0.04."
    )


def test_values_stand_on_the_outer_sides_of_a_pair() -> None:
    axes = before_after_figure(ROWS).axes[0]
    assert [text.get_ha() for text in axes.texts] == ["right", "left", "left", "right"]


def test_an_unknown_score_is_not_drawn() -> None:
    figure = before_after_figure([("style", 0.5, NAN, NAN, NAN)])
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.50"]
    assert "0.50 to not known" in figure.get_label()


def test_scores_outside_zero_to_one_are_all_in_view() -> None:
    axes = before_after_figure([("perplexity", 12.0, 0.5, 19.0, 0.5)]).axes[0]
    low, high = axes.get_xlim()
    assert low < 11.5 and high > 19.5


def test_strength_has_one_panel_a_behaviour_sorted_by_target() -> None:
    scores = {"style": ([0.9, 0.5], [0.01, 0.02]), "topic": ([0.8, NAN], [0.01, 0.01])}
    figure = strength_figure([1.0, 0.0], scores, "share", base={"style": 0.54})
    assert titles(figure) == ["style", "topic"]
    curve = figure.axes[0].containers[0].lines[0]
    assert curve.get_xydata().tolist() == [[0.0, 0.5], [1.0, 0.9]]
    assert [len(axes.texts) for axes in figure.axes] == [1, 0]
    assert "style from 0.50 to 0.90; topic from not known to 0.80" in figure.get_label()


@pytest.mark.parametrize("behaviours", [1, 4, 5])
def test_strength_has_no_empty_panels(behaviours: int) -> None:
    scores = {f"b{i}": ([0.1, 0.2], [0.0, 0.0]) for i in range(behaviours)}
    figure = strength_figure(torch.tensor([0.0, 1.0]), scores, "share", base=0.1)
    assert len(figure.axes) == behaviours
    assert sum(axes.get_xlabel() != "" for axes in figure.axes) == {1: 1, 4: 2, 5: 3}[behaviours]


def test_strength_refuses_scores_that_do_not_go_with_the_targets() -> None:
    with pytest.raises(ShapeError, match=r"scores of 'style' has shape \(3,\).* needs \(2,\)"):
        strength_figure([0.0, 1.0], {"style": ([0.1, 0.2, 0.3], [0.0, 0.0])}, "share")


def test_separation_names_the_best_state() -> None:
    figure = separation_figure(torch.tensor([0.2, NAN, 2.21, 1.0]), [0.1, 0.1, 0.12, 0.1])
    assert figure.axes[0].texts[0].get_text() == "d′ = 2.21 ± 0.12 at state 2"
    assert "4 states" in figure.get_label()


def test_separation_that_is_nowhere_known_is_drawn_without_a_best_state() -> None:
    figure = separation_figure([NAN, NAN], [NAN, NAN])
    assert not figure.axes[0].texts
    assert figure_svg(figure).startswith("<svg")


@pytest.mark.parametrize(
    "draw",
    [
        lambda: before_after_figure([]),
        lambda: strength_figure([], {"style": ([], [])}, "share"),
        lambda: strength_figure([1.0], {}, "share"),
        lambda: separation_figure([], []),
    ],
)
def test_nothing_to_draw_is_an_input_error(draw: object) -> None:
    with pytest.raises(InputError):
        draw()  # type: ignore[operator]


def test_an_svg_is_xml_with_real_text_and_a_text_alternative() -> None:
    svg = figure_svg(before_after_figure(ROWS))
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label", "").startswith("score without and with steering: style 0.54")
    texts = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"style", "toxicity", "unsteered", "steered", "0.97"} <= texts


def test_an_svg_is_the_same_bytes_each_time_and_bears_no_date() -> None:
    first, second = (figure_svg(before_after_figure(ROWS)) for _ in range(2))
    assert first == second == figure_svg(before_after_figure(ROWS))
    assert "metadata" not in first and "<style" not in first


def test_ids_are_unique_in_a_page_and_every_reference_finds_its_own() -> None:
    figures = [trace_figure(*steered_run()), separation_figure([1.0, 2.0], [0.1, 0.1])]
    found = [figure_svg(figure) for figure in figures]
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in found]
    assert all(not a & b for a, b in pairwise(ids))
    for svg, own in zip(found, ids, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', svg)) <= own
        assert svg.count(' id="') == len(own)


def test_labels_are_taken_literally() -> None:
    name = "costs $5 & <b>$6</b> \x00"
    root = ElementTree.fromstring(figure_svg(before_after_figure([(name, *ROWS[0][1:])])))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "costs $5 & <b>$6</b> \ufffd" in texts


def test_letters_that_the_drawing_font_lacks_stay_text(recwarn: pytest.WarningsRecorder) -> None:
    assert "礼貌" in figure_svg(before_after_figure([("礼貌", *ROWS[0][1:])]))
    assert not recwarn.list


def test_the_users_own_style_neither_shows_nor_is_lost() -> None:
    figures = [lambda: before_after_figure(ROWS), lambda: trace_figure(*steered_run())]
    plain = [figure_svg(draw()) for draw in figures]
    with matplotlib.rc_context({"font.size": 40, "text.color": "red", "axes.facecolor": "black"}):
        before = dict(matplotlib.rcParams)
        assert [figure_svg(draw()) for draw in figures] == plain
        assert dict(matplotlib.rcParams) == before


def test_a_page_is_self_contained_and_escaped(tmp_path: Path) -> None:
    figure = before_after_figure([("<i>polite</i>", *ROWS[0][1:])])
    path = figure_page(figure, tmp_path / "new" / "page.html", "A <script> & more")
    page = path.read_text(encoding="utf-8")
    assert "<title>A &lt;script&gt; &amp; more</title>" in page
    assert "<script" not in page and "<i>" not in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert "@import" not in page and "url(http" not in page


def test_a_page_that_cannot_be_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    path.write_text("earlier")

    def full(_: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device"):
        figure_page(before_after_figure(ROWS), path, "title")
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_place_of_the_page_is_an_input_error_without_leftovers(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(SteersmanError, match=r"cannot write the page .*page\.html"):
        figure_page(before_after_figure(ROWS), tmp_path / "page.html", "title")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_without_matplotlib_the_error_is_the_command_that_installs_it() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.modules['matplotlib'] = None\n"
        "try:\n    import steersman.plots\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "MissingExtraError Drawing figures needs the package 'matplotlib', which is not installed. "
        "Run: pip install 'steersman[plots]'"
    )


def test_figures_never_touch_pyplot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would now fail
    for figure in (trace_figure(*steered_run()), before_after_figure(ROWS)):
        assert figure_svg(figure).startswith("<svg")


def test_a_calibration_shows_its_points_the_level_and_the_choice() -> None:
    figure = calibration_figure(
        [0.0, 2.0, 1.0], [0.0, 0.3, 0.1], [0.0, NAN, 0.01], level=0.2, chosen=1.0, ylabel="KL"
    )
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(lines[0].get_xdata(), [0.0, 1.0, 2.0])
    np.testing.assert_allclose(lines[0].get_ydata(), [0.0, 0.1, 0.3])
    assert {text.get_text() for text in figure.axes[0].texts} == {"strength 1", "asked for: 0.2"}
    assert figure.get_label() == (
        "KL against strength, 3 strengths from 0 to 2: 0.1 at the chosen strength 1, 0.2 was asked "
        "for."
    )


def test_a_calibration_needs_a_choice_among_its_points() -> None:
    with pytest.raises(InputError, match="none of the 2 tried"):
        calibration_figure([0.0, 1.0], [0.0, 1.0], [0.0, 0.0], level=1.0, chosen=0.5, ylabel="KL")
    with pytest.raises(ShapeError, match="values"):
        calibration_figure([0.0, 1.0], [0.0], [0.0], level=1.0, chosen=0.0, ylabel="KL")


def test_bounds_are_drawn_above_the_errors_that_they_bound() -> None:
    errors = torch.tensor([[0.01, 0.02], [0.03, 0.01], [0.02, 0.04]])
    radii = {"tight": [0.03, 0.04], "safe": torch.tensor([0.3, 0.4])}
    figure = bound_figure([5, 6], radii, errors)
    axes = figure.axes[0]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert drawn["error of 3 prompts"] == pytest.approx([0.02, 0.02])
    assert drawn["safe"] == pytest.approx([0.3, 0.4])
    assert axes.get_yscale() == "log"
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["safe", "tight", "error of 3 prompts"]
    assert figure.get_label() == (
        "Error of the predicted feature over 3 prompts; at state 6 its median is 0.02 natural "
        "units, and the bounds are tight 0.04; safe 0.4."
    )


@pytest.mark.parametrize("value", [0.0, NAN, float("inf")])
def test_bounds_and_errors_that_a_logarithm_has_not_are_left_out(value: float) -> None:
    errors = torch.tensor([[value, 0.02]])
    figure = bound_figure([1, 2], {"norm": [value, 0.1]}, errors)
    assert np.isnan(figure.axes[0].lines[1].get_ydata()[0])
    assert figure_svg(figure).startswith("<svg")
    assert figure_svg(bound_figure([6], {"norm": [0.1]}, errors[:, 1:])).startswith("<svg")


def test_bounds_of_other_states_are_refused() -> None:
    errors = torch.ones(3, 2)
    with pytest.raises(ShapeError, match=r"the radius of 'norm' has shape \(3,\)"):
        bound_figure([1, 2], {"norm": [1.0, 1.0, 1.0]}, errors)
    with pytest.raises(ShapeError, match="errors has shape"):
        bound_figure([1], {"norm": [1.0]}, errors)
    with pytest.raises(InputError, match="nothing to draw"):
        bound_figure([], {}, torch.ones(0, 0))


def test_authority_names_the_block_of_least_effort() -> None:
    figure = authority_figure([0.9, float("inf"), 0.5], [NAN, 1.02, 0.8, 1.0])
    assert titles(figure) == [
        "Effort at one block for one unit",
        "What is left of one unit at the end",
    ]
    assert [bar.get_height() for bar in figure.axes[0].patches][::2] == [0.9, 0.5]
    assert "block 2 moves the final feature by one unit at the least effort, 0.5; of one unit" in (
        figure.get_label()
    )
    assert "None of 2 blocks" in authority_figure([NAN, NAN], [1.0, 1.0, 1.0]).get_label()
    with pytest.raises(ShapeError, match="survives has shape"):
        authority_figure([1.0], [1.0])
    with pytest.raises(InputError, match="nothing to draw"):
        authority_figure([], [1.0])
