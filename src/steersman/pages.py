"""What all pages share: their colours, and that they are written whole or not at all."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup

from steersman.files import write_whole

THEME = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f6f8fa; --line: #d8dee4; --ink: #1f2328; --quiet: #59636e;
  --accent: #1669a8; --figure-ink: #57606a;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f141a; --panel: #171d25; --line: #2c343d; --ink: #e4e9ee; --quiet: #9aa5b1;
    --accent: #5cb0ea; --figure-ink: #a3adb8;
  }
}
@media print {
  :root {
    color-scheme: light;
    --page: #ffffff; --panel: #f6f8fa; --line: #d8dee4; --ink: #1f2328; --quiet: #59636e;
    --accent: #1669a8; --figure-ink: #57606a;
  }
}
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.6 var(--sans); }
figure { margin: 0; }
figure svg { display: block; max-width: 100%; height: auto; }
figcaption { color: var(--quiet); font-size: 0.875rem; margin-top: 0.6rem; }
"""
"""Colours and first rules of every page, for light, dark and paper."""

Filters = Mapping[str, Callable[..., str]]
"""Functions of one value that a template may call, by name."""

_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def page_template(name: str, filters: Filters | None = None) -> jinja2.Template:
    """A page of the package to be filled in: all that goes into it is escaped, nothing may lack.

    Args:
        name: of the template, which is given `theme` besides what it is rendered with.
        filters: what it may call.
    """
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("steersman"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= filters or {}
    return pages.get_template(name, globals={"theme": Markup(THEME)})


def write_page(page: str, path: str | Path) -> Path:
    """Write a page whole or not at all.

    Args:
        page: the HTML.
        path: where to; folders that do not exist are made.

    Returns:
        The path.

    Raises:
        InputError: it cannot be written there; what was there before is untouched.
    """
    return write_whole(writable(page), Path(path), "the page")


def writable(text: str) -> str:
    """What a model may say but neither HTML nor UTF-8 can becomes the replacement character."""
    return _UNWRITABLE.sub("\ufffd", text)
