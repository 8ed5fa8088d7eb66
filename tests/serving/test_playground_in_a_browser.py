"""The playground as a person sees and uses it, in a real browser."""

import contextlib
import io
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("websockets") is None:
    pytest.skip("websockets is not installed", allow_module_level=True)

import httpx
from browsers import CHROMIUM, Page, browser
from other_engine import FEATURES, WORDS, OtherEngine
from relays import Relay
from running_servers import KEY, Running, Start

if CHROMIUM is None:
    pytest.skip("there is no chromium on this machine", allow_module_level=True)

PROMPT = "in the morning the ship"
SHIFT = 8
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("browser")) as socket:
        yield socket


@pytest.fixture
def visit(chromium: Any) -> Visit:
    """`visit(url)`: a new tab that shows the playground, and knows its steerings."""

    def opened(url: str, known: bool = True) -> Page:
        page = Page(chromium)
        page.look(1280, 900)
        page.open(f"{url}/")
        if known:
            page.wait("document.querySelectorAll('.pick').length > 0")
        return page

    return opened


def choose(page: Page, name: str) -> None:
    boxes = "[...document.querySelectorAll('.pick')]"
    page.run(f"{boxes}.find(e => e.innerText.startsWith('{name}')).querySelector('input').click()")


def written(page: Page, prompt: str = PROMPT) -> None:
    page.focus("#prompt")
    page.run("document.querySelector('#prompt').select()")
    page.type(prompt)
    page.click("#go")
    page.wait("/^Written/.test(document.querySelector('#status').textContent)")


def text_of(page: Page, side: str) -> str:
    return str(page.run(f"document.querySelector('#{side} .text').textContent"))


def answer(server: Running, **fields: Any) -> dict[str, Any]:
    asked = {"model": "tunnel", "prompt": PROMPT, "max_tokens": 60, "temperature": 0.7, "seed": 0}
    found = httpx.post(f"{server.url}/v1/completions", json=asked | fields)
    choice: dict[str, Any] = found.json()["choices"][0]
    return choice


def test_both_texts_are_what_the_server_answers_and_the_colours_its_numbers(
    server: Running, visit: Visit
) -> None:
    page = visit(server.url)
    choose(page, "sea")
    choose(page, "both")
    page.focus("input[type=range][aria-label='Setpoint of sea']")
    page.press("ArrowRight", 4)
    page.press("ArrowLeft")
    written(page)
    steering = {"sea": 1.15, "both": {"sea": 1, "music": 1}}
    whole = {"steering_report": True, "steering_tokens": True}
    steered, bare = answer(server, steering=steering, **whole), answer(server)
    assert text_of(page, "steered") == steered["text"] != bare["text"]
    assert text_of(page, "unsteered") == bare["text"]
    names = ["", "both.sea", "both.music", "sea"]
    assert page.run("[...document.querySelector('#colour').options].map(e => e.value)") == names
    shown = "[...document.querySelectorAll('#steered .token')].map(e => Number(e.dataset.value"
    values = page.run(f"{shown}.replace('\\u2212', '-')))")
    told = [token["features"][0]["reached"] for token in steered["steering_tokens"]]
    assert values == pytest.approx(told, abs=0.005001)
    strengths = page.run(
        "[...document.querySelectorAll('#steered .token')].map(e => e.style.cssText)"
    )
    assert len(set(strengths)) > 3
    figures = page.run(
        "[...document.querySelectorAll('#tracking figure h3')].map(e => e.innerText)"
    )
    assert figures == ["both.sea", "both.music", "sea"]
    for report, rows in zip(steered["steering_report"], tables(page), strict=True):
        expected = [*report["blocks"]["reached"], report["reached"]]
        for value, row in zip(expected, rows, strict=True):
            said = "not known" if value is None else f"{value:.2f}".replace("-", "\u2212")
            assert row[-1] == said or float(row[-1]) == pytest.approx(value, abs=0.0051)
    assert page.run("document.querySelectorAll('#tracking svg[role=img] path.line').length") == 9
    assert not page.complaints()
    assert {re.sub(r"(://[^/]+).*", r"\1", one) for one in page.addresses()} <= {
        server.url,
        "data:,",
    }


def tables(page: Page) -> list[list[list[str]]]:
    """The cells below each figure."""
    cells = "[...r.cells].map(c => c.textContent)"
    rows = f"[...t.tBodies[0].rows].map(r => {cells})"
    found: list[list[list[str]]] = page.run(
        f"[...document.querySelectorAll('#tracking table')].map(t => {rows})"
    )
    return found


def test_a_feedback_law_is_plotted_against_the_same_tokens_unsteered(
    start: Start, visit: Visit
) -> None:
    own = start()
    page = visit(own.url)
    page.run("[...document.querySelectorAll('button')].find(e => /held/.test(e.innerText)).click()")
    page.wait("/held is loaded/.test(document.querySelector('#status').textContent)")
    choose(page, "held")
    written(page)
    report = answer(own, steering={"held": 1.0}, steering_report=True)["steering_report"][0]
    assert "unsteered, the same tokens" in page.text(".series")
    last = tables(page)[0][-1]
    for cell, name in zip(last[1:], ("unsteered", "setpoint", "reached"), strict=True):
        assert float(cell.replace("\u2212", "-")) == pytest.approx(report[name], abs=0.0051)


def test_a_conversation_is_written_too(server: Running, visit: Visit) -> None:
    page = visit(server.url)
    choose(page, "music")
    page.click("#chat")
    written(page, "tell me a story")
    asked = {"model": "tunnel+music", "max_tokens": 60, "temperature": 0.7, "seed": 0}
    asked["messages"] = [{"role": "user", "content": "tell me a story"}]
    found = httpx.post(f"{server.url}/v1/chat/completions", json=asked).json()
    assert text_of(page, "steered") == found["choices"][0]["message"]["content"]


def test_without_a_steering_only_the_unsteered_text_is_written(
    server: Running, visit: Visit
) -> None:
    page = visit(server.url)
    written(page)
    assert text_of(page, "unsteered") == answer(server)["text"]
    assert text_of(page, "steered") == ""
    assert "No steering is chosen" in page.text("#steered")


def test_the_numbers_of_a_token_are_read_by_keys_and_by_pointing(
    server: Running, visit: Visit
) -> None:
    page = visit(server.url)
    choose(page, "music")
    written(page)
    token = answer(server, steering={"music": 1}, steering_tokens=True)["steering_tokens"][2]
    value = f"{token['features'][0]['reached']:.2f}"
    page.focus("#steered .text")
    page.press("ArrowRight", 3)
    assert page.text("#steered .readout").startswith("Token 3 of ")
    assert f"music {value}" in page.text("#steered .readout")
    page.press("End")
    assert re.match(r"Token (\d+) of \1,", page.text("#steered .readout"))
    page.press("Tab")
    assert page.text("#steered .readout") == ""
    page.point("#steered .token:nth-child(3)")
    page.wait("/^Token 3/.test(document.querySelector('#steered .readout').textContent)")
    assert page.run("getComputedStyle(document.querySelector('.token'), '::after').content") in (
        "none",
        "normal",
    )
    page.click("#show-values")
    after = "getComputedStyle(document.querySelectorAll('#steered .token')[2], '::after').content"
    assert value in page.run(after)


def test_what_is_copied_gives_the_same_text_elsewhere(server: Running, visit: Visit) -> None:
    prompt = 'the captain\'s "ship" said\n<b>$HOME `x` \\n'
    page = visit(server.url)
    page.allow_copying()
    choose(page, "both")
    choose(page, "sea")
    written(page, prompt)
    expected = text_of(page, "steered")
    page.click("#copy-curl")
    page.wait("/Copied/.test(document.querySelector('#status').textContent)")
    command = page.run("navigator.clipboard.readText()")
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60)
    assert json.loads(done.stdout)["choices"][0]["text"] == expected, (command, done)
    page.run("document.querySelector('#status').textContent = ''")
    page.click("#copy-python")
    page.wait("/Copied/.test(document.querySelector('#status').textContent)")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(page.run("navigator.clipboard.readText()"), {})
    assert said.getvalue() == f"{expected}\n"


REACHABLE = """
[...document.querySelectorAll('input, textarea, select, button, summary, [tabindex="0"]')].filter(
  e => !e.disabled && e.checkVisibility() && !(e.type === 'radio' && !e.checked))
"""
CALLED = "(e => `${e.tagName} ${e.id || e.ariaLabel || e.textContent.slice(0, 40)}`)"


def test_tab_reaches_everything_in_the_order_in_which_it_is_read(
    server: Running, visit: Visit
) -> None:
    page = visit(server.url)
    choose(page, "both")
    written(page)
    expected = page.run(f"{REACHABLE}.map({CALLED})")
    assert len(expected) > 20
    page.run("document.activeElement.blur(); getSelection().removeAllRanges()")
    page.run("document.querySelector('h1').tabIndex = -1; document.querySelector('h1').focus()")
    found = []
    for _ in expected:
        page.press("Tab")
        found.append(page.run(f"{CALLED}(document.activeElement)"))
        outline = page.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", found[-1]
    assert found == expected
    page.press("Tab", 1, SHIFT)
    assert page.run(f"{CALLED}(document.activeElement)") == expected[-2]


def test_everything_that_is_operated_has_a_name(server: Running, visit: Visit) -> None:
    page = visit(server.url)
    choose(page, "both")
    page.ask("Accessibility.enable")
    nodes = page.ask("Accessibility.getFullAXTree")["nodes"]
    roles = ("textbox", "checkbox", "radio", "slider", "spinbutton", "button", "combobox")
    operated = [one for one in nodes if one.get("role", {}).get("value") in roles]
    assert len(operated) > 15
    for one in operated:
        assert one["name"]["value"].strip(), one
    live = page.run("[...document.querySelectorAll('[role=status], [role=alert]')].length")
    assert live >= 4


LUMINANCE = """
(selector => {
  const parts = text => {
    const numbers = text.match(/[-\\d.e]+/g).map(Number);
    const scale = text.startsWith('color(') ? 1 : 255;
    return [...numbers.slice(0, 3).map(v => v / scale), numbers[3] ?? 1];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r*a + R*(1-a), g*a + G*(1-a), b*a + B*(1-a)];
  const ground = e => e ? over(parts(getComputedStyle(e).backgroundColor), ground(e.parentElement))
                        : [1, 1, 1];
  const light = c => c.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  return [...document.querySelectorAll(selector)].map(e => {
    const back = ground(e), front = over(parts(getComputedStyle(e).color), back);
    const [low, high] = [light(back), light(front)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  });
})
"""
"""The contrast of every element that is found, as the accessibility guidelines define it."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_readable_by_day_and_by_night(
    server: Running, visit: Visit, scheme: str
) -> None:
    page = visit(server.url)
    choose(page, "sea")
    written(page)
    page.look(1280, 900, scheme)
    page.run("document.querySelector('#steered .token').style.setProperty('--strength', '100%')")
    dark = sum(
        map(int, re.findall(r"\d+", page.run("getComputedStyle(document.body).background"))[:3])
    )
    assert (dark < 150) == (scheme == "dark")
    page.run("document.querySelector('#error').textContent = 'wrong'")
    parts = "h1, h2, h3, p, label, .token, .method, summary, button:enabled, pre, li, .mark, .error"
    contrasts = page.run(f"{LUMINANCE}({json.dumps(parts)})")
    assert len(contrasts) > 60 and min(contrasts) >= 4.5


def test_it_fits_a_narrow_window(server: Running, visit: Visit) -> None:
    page = visit(server.url)
    page.look(400, 800)
    choose(page, "both")
    written(page)
    page.wait("document.querySelectorAll('#tracking svg').length > 0")
    assert page.run("document.documentElement.scrollWidth") <= 400
    widths = page.run("[...document.querySelectorAll('.canvas svg')].map(e => e.clientWidth)")
    assert widths and all(260 <= width <= 400 for width in widths)
    sizes = page.run(
        "[...document.querySelectorAll('p, label, svg text')].map(e => "
        "parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12


def test_nothing_moves_for_whom_movement_is_too_much(server: Running, visit: Visit) -> None:
    page = visit(server.url)
    reduced = {"name": "prefers-reduced-motion", "value": "reduce"}
    page.ask("Emulation.setEmulatedMedia", features=[reduced])
    moving = (
        "[...document.querySelectorAll('*')].map(e => getComputedStyle(e)).filter(s => "
        "s.animationName !== 'none' || parseFloat(s.transitionDuration) > 0).length"
    )
    assert page.run(moving) == 0


def test_a_wrong_key_is_told_and_a_right_one_is_kept_nowhere(start: Start, visit: Visit) -> None:
    locked = start(key=KEY)
    page = visit(locked.url, known=False)
    page.wait("/API key/.test(document.querySelector('#error').textContent)")
    for key, told in (("wrong", "API key"), ("\u2603", "no request can carry")):
        page.focus("#key")
        page.run("document.querySelector('#key').select()")
        page.type(key)
        page.press("Enter")
        page.wait(f"document.querySelector('#error').textContent.includes('{told}')")
    page.run("document.querySelector('#key').select()")
    page.type(KEY)
    page.press("Tab")
    page.wait("document.querySelectorAll('.pick').length > 0")
    assert page.text("#error") == ""
    choose(page, "sea")
    written(page)
    assert text_of(page, "steered")
    assert "$STEERSMAN_API_KEY" in page.text("#curl")
    kept = (
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
    )
    assert KEY not in page.run(kept)
    assert KEY not in page.text("body")


def test_a_server_that_goes_mid_stream_is_told_and_the_page_lives_on(
    start: Start, visit: Visit
) -> None:
    cable = Relay(start(engine=OtherEngine(pause=0.02)).url)
    page = visit(cable.url)
    choose(page, "sea")
    page.run("document.querySelector('#tokens').value = 5000")
    page.focus("#prompt")
    page.type("a b")
    page.press("Enter", 1, 2)
    page.wait("document.querySelectorAll('#steered .token').length > 5")
    assert page.run("document.querySelector('#status').textContent") == "Writing."
    cable.cut()
    for side in ("unsteered", "steered"):
        page.wait(f"/broke off/.test(document.querySelector('#{side} .error').textContent)")
        assert text_of(page, side)
    page.wait("document.querySelector('#stop').disabled")
    page.click("#go")
    page.wait("/cannot be reached/.test(document.querySelector('#steered .error').textContent)")
    cable.restore()
    page.run("document.querySelector('#tokens').value = 5")
    written(page, "a b")
    assert page.text("#steered .error") == ""
    cable.cut()


def test_a_text_can_be_stopped(start: Start, visit: Visit) -> None:
    own = start(engine=OtherEngine(pause=0.02))
    page = visit(own.url)
    page.run("document.querySelector('#tokens').value = 5000")
    page.focus("#prompt")
    page.type("a b")
    page.press("Enter", 1, 2)
    page.wait("document.querySelectorAll('#unsteered .token').length > 3")
    page.click("#stop")
    page.wait("/Stopped/.test(document.querySelector('#status').textContent)")
    count = page.run("document.querySelectorAll('#unsteered .token').length")
    assert text_of(page, "unsteered") and page.text("#unsteered .error") == ""
    page.run("new Promise(done => setTimeout(done, 200))")
    assert page.run("document.querySelectorAll('#unsteered .token').length") == count


@pytest.mark.parametrize("needs_all", [False, True])
def test_what_others_say_is_text_and_what_an_engine_cannot_tell_is_said(
    start: Start, visit: Visit, needs_all: bool
) -> None:
    engine = OtherEngine(needs_all=needs_all)
    own = start(engine=engine, name="<script>document.title='hit'</script>")
    page = visit(own.url)
    assert page.run("document.querySelector('#chat').disabled")
    choose(page, "both")
    page.run("document.querySelector('#tokens').value = 8")
    written(page, "<img src=x onerror=alert(3)>")
    for side in ("unsteered", "steered"):
        assert all(word in text_of(page, side) for word in WORDS)
    assert "<script>" in page.text("#model")
    assert "<i>other</i>" in page.text("#steerings")
    labels = page.run("[...document.querySelectorAll('input[type=range]')].map(e => e.ariaLabel)")
    assert labels == [f"Setpoint of both.{name}" for name in FEATURES]
    assert page.run("document.title") == "Steersman playground"
    assert page.run("document.querySelectorAll('img, b, i, main script').length") == 0
    assert "does not tell features" in page.text("#steered .note")
    assert "does not report" in page.text("#tracking")
    bare, steered = sorted(
        engine.submitted, key=lambda one: sum(one.steering.get("both", {}).values())
    )
    assert steered.steering == {"both": dict.fromkeys(FEATURES, 1.0)}
    # Where 0 is a value like any other, the unsteered side is not even read.
    assert bare.steering == ({} if needs_all else {"both": dict.fromkeys(FEATURES, 0.0)})
    assert not page.complaints()


def test_a_request_that_is_refused_says_why_beside_its_text(server: Running, visit: Visit) -> None:
    page = visit(server.url)
    choose(page, "sea")
    page.run("document.querySelector('#tokens').value = 100000")
    page.focus("#prompt")
    page.type(PROMPT)
    page.click("#go")
    page.wait(
        "/do not fit the context/.test(document.querySelector('#steered .error').textContent)"
    )
    page.run("document.querySelector('#tokens').value = 5")
    written(page)
    assert page.text("#steered .error") == ""
