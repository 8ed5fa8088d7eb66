"""The playground as a person sees and uses it, in a real browser."""

import contextlib
import io
import json
import re
import subprocess
from typing import Any

import httpx
import pytest
from playground_page import Visit, answer, choose, text_of, written
from running_servers import Running, Start


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
    page.wait("document.querySelectorAll('#tracking svg[role=img] path.line').length === 9")
    assert not page.complaints()
    assert {re.sub(r"(://[^/]+).*", r"\1", one) for one in page.addresses()} <= {
        server.url,
        "data:,",
    }


def tables(page: Any) -> list[list[list[str]]]:
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
    assert page.run("document.activeElement.closest('.steering').innerText").startswith("held")
    choose(page, "held")
    written(page)
    report = answer(own, steering={"held": 1.0}, steering_report=True)["steering_report"][0]
    assert "unsteered, the same tokens" in page.text(".series")
    last = tables(page)[0][-1]
    for cell, name in zip(last[1:], ("unsteered", "setpoint", "reached"), strict=True):
        assert float(cell.replace("\u2212", "-")) == pytest.approx(report[name], abs=0.0051)


SERIES = """
(async () => {
  const { figureOf, seriesOf } = await import('/playground/plot.js');
  const series = seriesOf(%s, %s, %s);
  document.body.append(figureOf({ feature: 'f', tokens: 3 }, series));
  return series;
})()
"""


def test_a_plot_shows_what_is_known_and_leaves_gaps_where_nothing_is(
    server: Running, visit: Visit
) -> None:
    page = visit(server.url)
    report = {
        "strength": 1.0,
        "setpoint": 1.5,
        "reached": 1.4,
        "unsteered": 0.5,
        "blocks": {"setpoint": [None, 0.2, 0.8], "reached": [0.1, None, 0.7], "unsteered": [0] * 3},
    }
    plan = report | {"setpoint": None, "unsteered": None}
    plan["blocks"] = report["blocks"] | {"setpoint": [None] * 3, "unsteered": [None] * 3}
    beside = {"reached": 0.25, "blocks": {"reached": [0.2, 0.2, 0.2]}}
    relative, held = {"in_units": True, "needs_all": False}, {"in_units": True, "needs_all": True}

    def shown(*parts: Any) -> dict[str, list[float | None]]:
        found = page.run(SERIES % tuple(map(json.dumps, parts)))
        return {one["kind"]: one["values"] for one in found}

    assert shown(report, beside, relative) == {
        "unsteered": [0, 0, 0, 0.5],
        "asked": [None, 0.2, 0.8, 1.5],
        "reached": [0.1, None, 0.7, 1.4],
    }
    drawn = "[...document.querySelectorAll('body > figure .canvas path.line')]"
    page.wait(f"{drawn}.length === 3")
    unsteered, reached, asked = page.run(f"{drawn}.map(e => e.getAttribute('d'))")
    steps = [re.sub(r"[^ML]", "", line) for line in (unsteered, reached, asked)]
    assert steps == ["MLLL", "MML", "MLL"]
    heights = [float(y) for y in re.findall(r" (-?[\d.]+)", unsteered)]
    assert len(set(heights[:3])) == 1 and heights[3] < heights[0]
    assert shown(plan, beside, relative)["asked"] == [None, None, None, 1.25]
    assert shown(plan, beside, relative)["unsteered"] == [0.2, 0.2, 0.2, 0.25]
    assert set(shown(plan, beside, held)) == {"unsteered", "reached"}
    assert set(shown(plan, None, relative)) == {"reached"}


def test_a_setpoint_is_dragged_typed_and_kept_within_what_the_server_takes(
    server: Running, visit: Visit
) -> None:
    page = visit(server.url)
    choose(page, "sea")
    slider, exact = "input[type=range]", ".feature input[type=number]"
    x, y = page.point(slider)
    page.ask("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
    for right in (10, 60, 1000):
        where = {"x": x + right, "y": y, "button": "left"}
        page.ask("Input.dispatchMouseEvent", type="mouseMoved", **where)
    page.ask("Input.dispatchMouseEvent", type="mouseReleased", **where, clickCount=1)
    assert page.run(f"document.querySelector('{exact}').value") == "2"
    assert '"sea": 2' in page.text("#curl")
    for typed, taken in (("3.25", "3.25"), ("9", "3.25"), ("", "3.25"), ("-0.5", "-0.5")):
        page.run(f"document.querySelector('{exact}').select()")
        if typed:
            page.type(typed)
        else:
            page.press("Backspace")
        assert f'"sea": {taken}' in page.text("#curl")
        assert page.run(f"document.querySelector('{slider}').value") == taken
    page.focus(slider)
    page.press("Home")
    words = f"document.querySelector('{slider}').getAttribute('aria-valuetext')"
    assert page.run(words) == "\u22122.00"
    page.press("ArrowRight", 40)
    assert page.run(words) == "0.00, as unsteered"


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
