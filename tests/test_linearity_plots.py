"""Figures of remainders, spectra and similarity show what they are given."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from steersman.errors import InputError, ShapeError
from steersman.plots import (
    figure_svg,
    pairs_figure,
    plants_figure,
    remainder_figure,
    similarity_figure,
    spectra_figure,
)
from steersman.plots.remainders import short

NAN = float("nan")
SCALES = [0.01, 0.1, 1.0]
MAP = torch.tensor([[0.01, 0.3, 1.2], [NAN, 0.2, 0.6]])
ROWS = {"whole": {"random": MAP, "feature": MAP}, "added": {"random": MAP, "feature": MAP}}
CURVES = {
    "random": {
        "own": ([0.01, 0.1, 0.5], [0.001, 0.01, 0.1]),
        "identity": ([0.3, 0.3, 0.6], [0.01, 0.01, NAN]),
    }
}
VALUES = torch.tensor([[4.0, 2.0, 1e-9], [3.0, 1.0, 0.5]])
GROUPS = {"same": ([0.8, 0.7], [0.1, NAN]), "other": ([0.4, 0.3], [0.02, 0.02])}


def maps(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(a.images[0].get_array()) for a in figure.axes if a.images]


def test_every_kind_and_row_has_its_map() -> None:
    figure = remainder_figure(SCALES, ROWS, {})
    assert len(maps(figure)) == 4
    np.testing.assert_allclose(maps(figure)[0], MAP.numpy())
    assert [a.get_title(loc="left") for a in figure.axes if a.images] == ["random", "feature"] * 2


def test_cells_say_their_number_where_there_is_room() -> None:
    axes = remainder_figure(SCALES, {"whole": {"random": MAP}}, {}).axes[0]
    assert [text.get_text() for text in axes.texts] == [".01", ".30", "1.2", ".20", ".60"]
    crowded = remainder_figure(SCALES, {"whole": {"random": torch.rand(40, 3)}}, {})
    assert not crowded.axes[0].texts


def test_a_natural_step_is_marked_where_it_is_and_an_arrow_where_it_is_beyond() -> None:
    reach = {"random": [10**-1.5, 3.0]}
    axes = remainder_figure(SCALES, {"whole": {"random": MAP}}, reach).axes[0]
    stroke, arrow = axes.lines
    assert stroke.get_xdata()[0] == pytest.approx(0.5)
    assert arrow.get_xydata().tolist() == [[2.5, 1.0]]


def test_a_step_shorter_than_all_is_not_marked() -> None:
    reach = {"random": [0.0, NAN]}
    assert not remainder_figure(SCALES, {"whole": {"random": MAP}}, reach).axes[0].lines


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, ".00"), (0.002, ".002"), (0.034, ".03"), (0.5, ".50"), (0.999, "1.0"), (2.34, "2.3")],
)
def test_shares_are_short(share: float, shown: str) -> None:
    assert short(share) == shown


def test_every_plant_has_a_curve_and_both_axes_are_logarithmic() -> None:
    axes = plants_figure(SCALES, CURVES, "missed").axes[0]
    assert [line.get_label() for line in axes.lines] == ["own", "identity"]
    assert axes.lines[0].get_ydata().tolist() == [0.01, 0.1, 0.5]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_spectra_have_a_line_a_block_down_to_rounding() -> None:
    values = torch.cat([VALUES, torch.tensor([[90.0, 1.0, 1.0]])])
    axes = spectra_figure({"A": (values, 0.1 * values)}).axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [
        [4.0, 2.0],
        [3.0, 1.0, 0.5],
        [90.0, 1.0, 1.0],
    ]
    assert axes.get_yscale() == "log"


def test_spectra_of_one_size_are_drawn_on_a_plain_axis() -> None:
    values = torch.tensor([[1.4, 1.1, 0.8]])
    assert spectra_figure({"A": (values, 0 * values)}).axes[0].get_yscale() == "linear"


def test_similarity_has_a_line_a_group_and_one_of_chance() -> None:
    axes = similarity_figure({"A": (GROUPS, [0.2, 0.2])}).axes[0]
    assert [line.get_label() for line in axes.lines] == ["same", "other", "chance"]


def test_pairs_are_divided_by_domain() -> None:
    similarity = torch.rand(4, 4)
    figure = pairs_figure({"block 1": similarity}, ["a", "a", "a", "b"])
    np.testing.assert_allclose(maps(figure)[0], similarity.numpy())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]
    assert figure.axes[0].get_yticks().tolist() == [1.0, 3.0]
    assert figure.axes[0].lines[0].get_ydata()[0] == 2.5


FIGURES: list[Callable[[], Figure]] = [
    lambda: remainder_figure(SCALES, ROWS, {"feature": [0.5, 2.0]}),
    lambda: remainder_figure(
        [0.1], {"whole": {"random": MAP[:1, :1].expand(80, 1)}}, {"random": [1.0]}
    ),
    lambda: remainder_figure(SCALES, {"whole": {"random": torch.full((2, 3), NAN)}}, {}),
    lambda: plants_figure(SCALES, CURVES, "missed"),
    lambda: plants_figure([0.1], {"random": {"own": ([NAN], [NAN])}}, "missed"),
    lambda: spectra_figure({"A": (VALUES, VALUES), "B": (VALUES[:1], VALUES[:1])}, first=1),
    lambda: spectra_figure({"A": (torch.zeros(2, 3), torch.zeros(2, 3))}),
    lambda: similarity_figure({"A": (GROUPS, [0.2, 0.2]), "B": (GROUPS, [NAN, NAN])}),
    lambda: pairs_figure({"block 0": torch.full((2, 2), NAN)}, ["a", "a"]),
]


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.filterwarnings("error")
def test_every_figure_is_drawn_and_says_what_it_shows(draw: Callable[[], Figure]) -> None:
    figure = draw()
    assert figure.get_label().endswith(".")
    assert figure_svg(figure) == figure_svg(draw())


@pytest.mark.parametrize(
    "draw",
    [
        lambda: remainder_figure([], {"whole": {"random": MAP[:, :0]}}, {}),
        lambda: remainder_figure(SCALES, {}, {}),
        lambda: remainder_figure(SCALES, {"whole": {}}, {}),
        lambda: plants_figure(SCALES, {}, "missed"),
        lambda: plants_figure(SCALES, {"random": {}}, "missed"),
        lambda: plants_figure(
            SCALES, {"random": {str(i): (SCALES, SCALES) for i in range(5)}}, "missed"
        ),
        lambda: spectra_figure({}),
        lambda: similarity_figure({}),
        lambda: similarity_figure({"A": ({str(i): GROUPS["same"] for i in range(5)}, [0.1, 0.1])}),
        lambda: pairs_figure({}, ["a"]),
    ],
)
def test_nothing_to_draw_or_too_much_is_an_input_error(draw: Callable[[], Figure]) -> None:
    with pytest.raises(InputError):
        draw()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: remainder_figure(SCALES, {"whole": {"random": MAP[:, :2]}}, {}),
        lambda: plants_figure(SCALES, {"random": {"own": ([0.1], [0.1])}}, "missed"),
        lambda: similarity_figure({"A": (GROUPS, [0.2])}),
        lambda: pairs_figure({"block 0": torch.rand(3, 3)}, ["a", "b"]),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(draw: Callable[[], Figure]) -> None:
    with pytest.raises(ShapeError):
        draw()
