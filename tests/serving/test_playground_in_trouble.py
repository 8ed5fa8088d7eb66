"""The playground where something goes wrong, or somebody means harm."""

import pytest
from other_engine import FEATURES, WORDS, OtherEngine
from playground_page import PROMPT, Visit, choose, text_of, written
from relays import Relay
from running_servers import KEY, Running, Start

CONTROL = 2


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
    page.press("Enter", 1, CONTROL)
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
    page.press("Enter", 1, CONTROL)
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
