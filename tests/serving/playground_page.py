"""What a person does on the playground's page, and what is then to be seen."""

from collections.abc import Callable
from typing import Any

import httpx
from running_servers import Running

PROMPT = "in the morning the ship"
Visit = Callable[..., Any]
"""`visit(url)`: a new tab of a browser that shows the playground."""


def choose(page: Any, name: str) -> None:
    """Tick a steering."""
    boxes = "[...document.querySelectorAll('.pick')]"
    page.run(f"{boxes}.find(e => e.innerText.startsWith('{name}')).querySelector('input').click()")


def written(page: Any, prompt: str = PROMPT) -> None:
    """Type a prompt, press the button, and wait for both texts."""
    page.focus("#prompt")
    page.run("document.querySelector('#prompt').select()")
    page.type(prompt)
    page.click("#go")
    page.wait("/^Written/.test(document.querySelector('#status').textContent)")


def text_of(page: Any, side: str) -> str:
    """All of one text."""
    return str(page.run(f"document.querySelector('#{side} .text').textContent"))


def answer(server: Running, **fields: Any) -> dict[str, Any]:
    """What the server answers to the page's request as it is at first, but for some fields."""
    asked = {"model": "tunnel", "prompt": PROMPT, "max_tokens": 60, "temperature": 0.7, "seed": 0}
    found = httpx.post(f"{server.url}/v1/completions", json=asked | fields)
    choice: dict[str, Any] = found.json()["choices"][0]
    return choice
