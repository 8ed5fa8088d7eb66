"""The playground: one page, whose files travel with the package and refer to nothing outside it.

The page is sent to whoever asks, as it holds nothing of the server; what it then asks for needs
the server's key. Its policy lets it load its own files and talk to its own server, and no more, and
lets no script turn text into markup.
"""

from collections.abc import Mapping
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from steersman.pages import THEME
from steersman.serving.errors import NotThereError

PAGE = "/playground"
_FILES = files("steersman.serving") / "static"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def _found() -> dict[str, tuple[bytes, str]]:
    """What is sent at each path, and its type."""
    sent = {}
    for entry in _FILES.iterdir():
        name, dot, ending = entry.name.partition(".")
        content = entry.read_bytes()
        if dot + ending == ".css":
            content = THEME.encode() + content
        path = PAGE if name == "index" else f"{PAGE}/{entry.name}"
        sent[path] = (content, _TYPES[dot + ending])
    return sent


_SENT: Mapping[str, tuple[bytes, str]] = _found()
PATHS = frozenset({"/", *_SENT})
"""What the page consists of; it may be asked for without a key."""


def playground_router() -> APIRouter:
    """The routes of the page, which are no part of the interface for programs."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def home() -> Response:
        """Lead to the page, wherever a proxy has put the server."""
        return RedirectResponse(PAGE.removeprefix("/"), headers=_HEADERS)

    @router.get(PAGE)
    async def page() -> Response:
        """The page."""
        return _sent(PAGE)

    @router.get(f"{PAGE}/{{name}}")
    async def part(name: str) -> Response:
        """A file that it needs."""
        return _sent(f"{PAGE}/{name}")

    return router


def _sent(path: str) -> Response:
    if path not in _SENT:
        raise NotThereError(f"there is no {path} here.")
    content, kind = _SENT[path]
    return Response(content, media_type=kind, headers=_HEADERS)
