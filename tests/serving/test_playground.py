"""The playground's files: sent to everybody, under a strict policy, with nothing from elsewhere."""

import re
from pathlib import Path

import httpx
import pytest
from running_servers import KEY, Running, Start

import steersman.serving

FILES = Path(steersman.serving.__file__).parent / "static"
NAMESPACE = "http://www.w3.org/2000/svg"
"""What every SVG element is called by; nobody asks for it."""


def test_the_root_leads_to_the_page_and_the_page_to_its_files(server: Running) -> None:
    home = httpx.get(server.url)
    assert home.status_code == 307
    page = httpx.get(server.url, follow_redirects=True)
    assert page.url == f"{server.url}/playground"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert {"playground/style.css", "playground/main.js"} <= set(named)
    for name in {*named, *(f"playground/{one.name}" for one in FILES.glob("*.js"))} - {"data:,"}:
        found = httpx.get(f"{server.url}/{name}")
        assert found.status_code == 200, name
        kind = "css" if name.endswith("css") else "javascript"
        assert found.headers["content-type"] == f"text/{kind}; charset=utf-8"


def test_every_file_of_the_page_has_the_same_strict_policy(server: Running) -> None:
    for path in ("/", "/playground", "/playground/style.css", "/playground/main.js"):
        headers = httpx.get(server.url + path).headers
        policy = dict(
            part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", sorted(one.name for one in FILES.iterdir()))
def test_no_file_refers_to_another_host_or_makes_markup_of_text(name: str) -> None:
    text = (FILES / name).read_text(encoding="utf-8").replace(NAMESPACE, "")
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|\burl\(", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    assert not re.search(r"<[^>]+\s(?:style|on[a-z]+)=", text)


def test_the_page_is_open_and_what_it_asks_for_is_not(start: Start) -> None:
    locked = start(key=KEY)
    for path in ("/", "/playground", "/playground/main.js"):
        found = httpx.get(locked.url + path)
        assert found.status_code in (200, 307) and KEY not in found.text
    for path in ("/playground/nothing.js", "/playground/..%2fv1%2fmodels", "/v1/steerings"):
        assert httpx.get(locked.url + path).status_code == 401
    assert httpx.post(f"{locked.url}/playground").status_code == 405


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e%2fapp.py", "index.html"])
def test_there_is_nothing_else(server: Running, name: str) -> None:
    found = httpx.get(f"{server.url}/playground/{name}")
    assert found.status_code == 404 and found.json()["error"]["code"] == "not_found"
