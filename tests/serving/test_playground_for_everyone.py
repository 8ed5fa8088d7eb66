"""The playground by keys alone, for screen readers, by day and night, and in a narrow window."""

import json
import re

import pytest
from playground_page import Visit, choose, written
from running_servers import Running

SHIFT = 8


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
    page.wait("document.querySelectorAll('.canvas svg').length > 0")
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
