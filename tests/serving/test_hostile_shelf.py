"""A folder of steerings that somebody means ill with: refused, and the server goes on.

`steersman serve` runs in a process of its own; its memory and what it says are looked at too.
"""

import hashlib
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from real_server import RealServer, serving
from running_servers import Start

import steersman as sm

SECRET = "what nobody is to read"
TENSORS, MANIFEST, CARD = "steering.safetensors", "steering.json", "README.md"


def vouched(folder: Path, data: bytes) -> None:
    """Put other tensors there, which the manifest says are as they should be."""
    (folder / TENSORS).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["tensors"]["bytes"] = len(data)
    manifest["tensors"]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def with_header(length: int, header: bytes) -> Callable[[Path], None]:
    return lambda folder: vouched(folder, length.to_bytes(8, "little") + header)


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: void((folder / name).write_bytes(content))


def linked(name: str, to: str) -> Callable[[Path], None]:
    def link(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(to)

    return link


def special(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return put


def void(_: object) -> None:
    """Nothing."""


def endless(path: Path) -> None:
    """Two tebibytes that take no room."""
    with path.open("wb") as file:
        file.truncate(2**41)


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.trace),))


def bomb(folder: Path) -> None:
    vouched(folder, pickle.dumps(Bomb(folder.parent.parent / "executed")))


def bombs_beside(folder: Path) -> None:
    (folder / TENSORS).unlink()
    for name in ("steering.pkl", "pytorch_model.bin", "model.pt"):
        (folder / name).write_bytes(pickle.dumps(Bomb(folder.parent.parent / "executed")))


def edited(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        found = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps({**found, **changes}))

    return edit


def halved(folder: Path) -> None:
    data = (folder / TENSORS).read_bytes()
    vouched(folder, data[: len(data) // 2])


WIDE = json.dumps({"G": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 4]}}).encode()
# What is done to a sound steering, by the name of its folder; each has to be refused with a 400.
HOSTILE: dict[str, Callable[[Path], None]] = {
    "pickle": bomb,
    "pickles": bombs_beside,
    "truncated": halved,
    "cut": lambda folder: os.truncate(folder / TENSORS, 5),
    "empty": replaced(TENSORS, b""),
    "header-of-exbibytes": with_header(2**63 - 1, b"{}"),
    "header-over-the-end": with_header(10**8, b"{}"),
    "header-of-lists": with_header(10**6, b"[" * 10**6),
    "header-of-wide-tensors": with_header(len(WIDE), WIDE + b"1234"),
    "header-large": with_header(2 * 10**7, b"{" + b" " * (2 * 10**7 - 2) + b"}"),
    "tensors-elsewhere": linked(TENSORS, "../../secret"),
    "tensors-absolute": linked(TENSORS, "/etc/passwd"),
    "tensors-endless": linked(TENSORS, "/dev/zero"),
    "tensors-of-itself": linked(TENSORS, TENSORS),
    "tensors-fifo": special(TENSORS, os.mkfifo),
    "tensors-folder": special(TENSORS, os.mkdir),
    "tensors-huge": special(TENSORS, endless),
    "card-fifo": special(CARD, os.mkfifo),
    "card-elsewhere": linked(CARD, "../../secret"),
    "card-huge": special(CARD, endless),
    "manifest-elsewhere": linked(MANIFEST, "../../secret"),
    "manifest-huge": special(MANIFEST, endless),
    "manifest-deep": replaced(MANIFEST, b'{"a":' * 200000),
    "manifest-digits": replaced(MANIFEST, b'{"format_version": ' + b"9" * 10**6 + b"}"),
    "manifest-text": replaced(MANIFEST, SECRET.encode()),
    "manifest-bytes": replaced(MANIFEST, bytes(range(256)) * 100),
    "manifest-long": edited(method="a" * 10**6),
    "method-path": edited(method="../../secret"),
    "method-python": edited(method="os.system"),
    "features-many": edited(features=["f"] * 10**5),
    "features-none": edited(features=[]),
    "provenance-gone": edited(provenance=None),
}
# Folders whose names, or what they are, are no steering at all: not there, a 404.
NAMES = (".hidden", "-dash", "a b", "a;b", "a%2fb", "ü", "a\nb", "a" * 65, "a.b", "a+b", "a:b")


@pytest.fixture(scope="module")
def place(steerings: dict[str, sm.Steering], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hostile")
    steerings["sea"].save_pretrained(place / "outside")
    shelf = place / "shelf"
    for name in ("good", *HOSTILE, *NAMES):
        steerings["sea"].save_pretrained(shelf / name)
    (place / "secret").write_text(json.dumps({"format_version": SECRET}))
    for name, spoil in HOSTILE.items():
        spoil(shelf / name)
    (shelf / "link").symlink_to(place / "outside", target_is_directory=True)
    (shelf / "loop").symlink_to("loop")
    (shelf / "file").write_text(SECRET)
    (shelf / "bare").mkdir()
    return place


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[RealServer]:
    options = ["--steering", f"sea={place / 'outside'}", "--steerings", place / "shelf"]
    with serving(place / "log", *options) as started:
        yield started


def load(server: RealServer, name: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/steerings", json={"name": name}, timeout=60)


def good(server: RealServer, steering: str) -> str:
    asked = {"model": f"windtunnel+{steering}", "prompt": "the", "max_tokens": 6, "temperature": 0}
    found = httpx.post(f"{server.url}/v1/completions", json=asked, timeout=60)
    assert found.status_code == 200, found.text
    return str(found.json()["choices"][0]["text"])


def require_told_nothing(found: httpx.Response, place: Path) -> None:
    error = found.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) <= 2000
    for secret in (SECRET, str(place), "root:", "Traceback", ".py"):
        assert secret not in found.text, secret


def test_every_hostile_folder_is_refused_and_the_server_goes_on(
    server: RealServer, place: Path
) -> None:
    answer, memory = good(server, "sea"), server.memory()
    for name in HOSTILE:
        found = load(server, name)
        assert found.status_code == 400, (name, found.text)
        require_told_nothing(found, place)
        assert load(server, "good").status_code == 200
    assert good(server, "good") == good(server, "sea") == answer
    assert not (place / "executed").exists()
    assert server.memory() < memory + 300
    assert "Traceback" not in server.log.read_text()


def test_what_lies_there_and_is_no_steering_is_not_there(server: RealServer, place: Path) -> None:
    listed = {one["id"] for one in httpx.get(f"{server.url}/v1/steerings").json()["data"]}
    assert {"good", "sea"} <= listed <= {"good", "sea", *HOSTILE}
    wrong = ("link", "loop", "file", "bare", ".", "..", "", "../outside", "good/", "./good")
    for name in (*NAMES, *wrong, str(place / "outside"), "good\x00", "/", "~", "good/../good"):
        found = load(server, name)
        assert found.status_code == 404, (name, found.text)
        assert SECRET not in found.text


def test_a_shelf_that_is_gone_holds_nothing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    own = start(place=tmp_path / "shelf")
    (tmp_path / "shelf").rmdir()
    listed = httpx.get(f"{own.url}/v1/steerings").json()["data"]
    assert {one["id"] for one in listed} == {"both", "music", "sea"}
    assert httpx.post(f"{own.url}/v1/steerings", json={"name": "held"}).status_code == 404


def test_links_that_stay_in_the_folder_are_followed(
    start: Start, steerings: dict[str, sm.Steering], tmp_path: Path
) -> None:
    folder = tmp_path / "shelf" / "calm"
    steerings["sea"].save_pretrained(folder)
    (folder / "..data").mkdir()
    for name in (TENSORS, MANIFEST, CARD):
        (folder / name).rename(folder / "..data" / name)
        (folder / name).symlink_to(Path("..data") / name)
    own = start(place=tmp_path / "shelf")
    assert httpx.post(f"{own.url}/v1/steerings", json={"name": "calm"}).status_code == 200


_seen: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is not None and event in ("open", "os.listdir", "os.scandir"):
        _seen.append(str(arguments[0]))


def test_nothing_that_a_request_says_leads_to_a_file(start: Start, shelf: Path) -> None:
    global _seen
    own = start()
    sys.addaudithook(_watch)  # cannot be taken off again, so it is told when to look
    names = ["../shelf/held", str(shelf / "held"), "held/.", "/etc/passwd", "~root", "a\x00b"]
    with httpx.Client(base_url=own.url) as http:
        http.get("/health")
        _seen = []
        for name in names:
            strengths = {"steering": {name: 1.0}}
            asked = [{"model": f"tunnel+{name}"}, {"model": "tunnel", **strengths}, {"model": name}]
            for one in asked:
                found = http.post("/v1/completions", json={"prompt": "a", "max_tokens": 1, **one})
                assert found.status_code in (400, 404)
            assert http.post("/v1/steerings", json={"name": name}).status_code == 404
        seen, _seen = _seen, None
    # An error that is raised may be told with its line of code.
    assert {one for one in seen if not one.endswith(".py")} == {str(shelf)}
