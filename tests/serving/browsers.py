"""A real browser, driven by the protocol that its own developer tools speak."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
KEYS = {
    "Backspace": (8, ""),
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "End": (35, ""),
    "Home": (36, ""),
    "ArrowLeft": (37, ""),
    "ArrowRight": (39, ""),
}
"""Of each key its number, and the text that it types."""
_IDS = itertools.count()


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = _IDS
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        where = {"url": "about:blank", "browserContextId": context}
        target = self.ask("Target.createTarget", **where)["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for part in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{part}.enable")
        self.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        self._context = context

    def ask(self, method: str, **params: Any) -> Any:
        """Send a command; what it answers."""
        message = {"id": next(self._ids), "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            found = json.loads(self._socket.recv(timeout=60))
            # A tab that was closed may still be answered.
            mine = found.get("sessionId") == message.get("sessionId")
            if mine and found.get("id") == message["id"]:
                assert "error" not in found, (method, found)
                return found["result"]
            self.events.append(found)

    def open(self, url: str) -> None:
        """Load a page and let its first requests end."""
        self.ask("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of an expression, once it is there."""
        found = self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 30.0) -> None:
        """Wait until an expression holds."""
        until = time.monotonic() + seconds
        while not self.run(expression):
            assert time.monotonic() < until, f"never so: {expression}\n{self.text('body')}"
            time.sleep(0.03)

    def text(self, selector: str) -> str:
        """What a person can read there."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def focus(self, selector: str) -> None:
        """Put the focus there, as clicking would."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")

    def press(self, key: str, times: int = 1, modifiers: int = 0) -> None:
        """Press a key."""
        code, text = KEYS[key]
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        for _ in range(times):
            down = {**about, "text": text} if text else about
            self.ask("Input.dispatchKeyEvent", type="keyDown", **down)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.ask("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Press the mouse there."""
        x, y = self.point(selector)
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self.ask("Input.dispatchMouseEvent", type=kind, **where)

    def point(self, selector: str) -> tuple[float, float]:
        """Move the mouse there."""
        find = (
            "(e => { e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2] })"
        )
        x, y = self.run(f"{find}(document.querySelector({json.dumps(selector)}))")
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        return x, y

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the window's size and whether the person likes it dark."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", features=[feature])

    def allow_copying(self) -> None:
        """Let the page write to the clipboard, and the test read it."""
        names = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        session, self._session = self._session, None
        self.ask("Browser.grantPermissions", permissions=names, browserContextId=self._context)
        self._session = session

    def close(self) -> None:
        """Close the tab; one that is left open goes on drawing."""
        self._session = None
        self.ask("Target.disposeBrowserContext", browserContextId=self._context)

    def picture(self, path: Path, whole: bool = True) -> None:
        """Save what is seen as a PNG."""
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[str]:
        """What the browser has to say against the page: exceptions and broken policies."""
        self.run("0")
        found = [one for one in self.events if one["method"] == "Runtime.exceptionThrown"]
        logged = [one for one in self.events if one["method"] == "Log.entryAdded"]
        entries = [one["params"]["entry"] for one in logged]
        wrong = [one for one in entries if one["source"] in ("security", "javascript")]
        return [json.dumps(one) for one in (*found, *wrong)]

    def addresses(self) -> set[str]:
        """Whatever was asked for over the network."""
        self.run("0")
        sent = [one for one in self.events if one["method"] == "Network.requestWillBeSent"]
        return {one["params"]["request"]["url"] for one in sent}


@contextmanager
def browser(folder: Path) -> Iterator[ClientConnection]:
    """A headless browser without a past; ends with the block."""
    options = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
    )
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = subprocess.Popen([str(CHROMIUM), *options], **silent)
    try:
        port, path = _address(folder / "DevToolsActivePort", started)
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
            yield socket
    finally:
        started.kill()
        started.wait(timeout=30)


def _address(file: Path, started: subprocess.Popen[bytes], seconds: float = 60.0) -> list[str]:
    """The port and path that a browser writes down once it listens."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert started.poll() is None, "the browser did not start"
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return lines
        time.sleep(0.05)
    raise AssertionError("the browser does not listen")
