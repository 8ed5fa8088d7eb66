"""The report is one page that shows everything it was given, as text, and needs nothing else."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from steersman.errors import InputError
from steersman.plots import before_after_figure, separation_figure
from steersman.report import BehaviourReport, Report, write_report

NAN = float("nan")
VOID = {"meta", "link", "br", "img", "hr", "input"}
STYLE = BehaviourReport(
    name="Archaic style",
    description="Thee and thou.",
    method="A-LQR, target 1.",
    score_name="share of archaic texts",
    before=0.54,
    before_se=0.02,
    after=0.97,
    after_se=0.01,
    grammaticality=(0.995, 0.993),
    samples=(("The captain said", "you have a boat", "thou hast\n\na boat"),),
    figures=(("Where it is read.", separation_figure([0.5, 2.0], [0.1, 0.1])),),
)
MOOD = BehaviourReport("Mood", "Glad or sad.", "A-LQR.", "share of glad texts", -0.2, NAN, NAN, NAN)
REPORT = Report(
    title="Two behaviours",
    subtitle="One small model.",
    behaviours=(STYLE, MOOD),
    figures=(("All scores.", before_after_figure([("Archaic style", 0.54, 0.02, 0.97, 0.01)])),),
    facts=(("Model", "a/small-one"), ("Blocks", "6")),
)


class Page(HTMLParser):
    """Checks that elements nest, and keeps what a reader and a screen reader get."""

    def __init__(self, page: str) -> None:
        """Read the whole page."""
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element."""
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element without content."""
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Every end belongs to the element opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Remember text, but no style sheet."""
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report as written."""
    path = write_report(REPORT, tmp_path_factory.mktemp("report") / "report.html")
    return path.read_text(encoding="utf-8")


def test_the_page_nests_and_shows_everything(page: str) -> None:
    text = Page(page).text
    for shown in (
        "Two behaviours",
        "One small model.",
        "Archaic style",
        "Thee and thou.",
        "A-LQR, target 1.",
        "share of archaic texts",
        "0.54 ± 0.02",
        "0.97 ± 0.01",
        "99.5 % → 99.3 %",
        "The captain said",
        "you have a boat",
        "thou hast a boat",
        "Where it is read.",
        "All scores.",
        "a/small-one",
    ):
        assert shown in text


def test_what_was_not_measured_is_said_or_left_out(page: str) -> None:
    text = Page(page).text
    assert "not measured" in text  # grammaticality of the second behaviour
    assert "Facts recalled" not in text  # measured for neither
    assert "\u22120.20" in text and "\u22120.20 ±" not in text
    assert "not known" in text and "nan" not in text.lower()


def test_the_page_needs_nothing_else(page: str) -> None:
    elements = Page(page).seen
    assert not {"script", "link", "iframe", "object", "img"} & {tag for tag, _ in elements}
    links = [a[k] for _, a in elements for k in ("href", "src", "xlink:href") if a.get(k)]
    assert all(link.startswith(("#", "data:")) for link in links if link)
    assert "@import" not in page and not re.search(r"url\((?!#)", page)


def test_every_link_on_the_page_leads_somewhere(page: str) -> None:
    elements = Page(page).seen
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for tag, attrs in elements if tag == "a"]
    assert links == ["#behaviour-1", "#behaviour-2"]
    assert {link[1:] for link in links if link} <= set(ids)


def test_the_page_is_accessible_prints_and_goes_dark(page: str) -> None:
    elements = Page(page).seen
    drawings = [attrs for tag, attrs in elements if tag == "svg"]
    assert len(drawings) == 2
    assert all(a["role"] == "img" and a["aria-label"] != "Figure" for a in drawings)
    assert len([tag for tag, _ in elements if tag == "figcaption"]) == 2
    assert all("scope" in attrs for tag, attrs in elements if tag == "th")
    assert ("html", {"lang": "en"}) in elements
    assert "@media print" in page and "prefers-color-scheme: dark" in page


def test_all_text_is_escaped(tmp_path: Path) -> None:
    nasty = "</div><script>alert('x')</script> & \"quoted\""
    sample = (nasty, nasty, nasty)
    behaviour = BehaviourReport(
        nasty,
        nasty,
        nasty,
        nasty,
        0.1,
        0.1,
        0.2,
        0.1,
        samples=(sample,),
        figures=((nasty, before_after_figure([(nasty, 0.1, 0.1, 0.2, 0.1)])),),
    )
    report = Report(nasty, nasty, (behaviour,), ((nasty, STYLE.figures[0][1]),), ((nasty, nasty),))
    page = write_report(report, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert Page(page).text.count("alert('x')") >= 12


def test_text_that_no_file_can_hold_is_replaced(tmp_path: Path) -> None:
    behaviour = replace(MOOD, samples=(("a", "half \ud83d pair", "bell \x07 and \x00"),))
    report = replace(REPORT, behaviours=(behaviour,))
    page = write_report(report, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "half \ufffd pair" in page and "bell \ufffd and \ufffd" in page


def test_line_breaks_and_spaces_of_a_text_are_kept(page: str) -> None:
    assert "thou hast\n\na boat</div>" in page
    assert "white-space: pre-wrap" in page


def test_the_same_report_is_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_report(REPORT, tmp_path / name) for name in ("a.html", "b.html"))
    assert first.read_bytes() == second.read_bytes()


def test_a_report_of_nothing_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="behaviours is empty"):
        write_report(replace(REPORT, behaviours=()), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_a_failing_report_leaves_the_earlier_one(tmp_path: Path) -> None:
    path = write_report(REPORT, tmp_path / "page.html")
    earlier = path.read_bytes()
    figure = separation_figure([1.0, 2.0], [0.1, 0.1])
    figure.savefig = None  # type: ignore[method-assign,assignment]
    broken = replace(STYLE, figures=(("It cannot be drawn.", figure),))
    with pytest.raises(TypeError):
        write_report(replace(REPORT, behaviours=(broken,)), path)
    assert path.read_bytes() == earlier
    assert list(tmp_path.iterdir()) == [path]
