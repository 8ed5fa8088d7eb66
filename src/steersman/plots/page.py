"""Figures as SVG, and as pages that need nothing else."""

import hashlib
import html
import io
from pathlib import Path
from xml.dom import minidom

from matplotlib import rc_context
from matplotlib.figure import Figure

from steersman.pages import THEME, writable, write_page
from steersman.plots.style import INK, quiet_fonts

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{theme}main {{ max-width: 51rem; margin: 0 auto; padding: 3rem 1.5rem; }}
h1 {{ font-size: 1.5rem; line-height: 1.25; margin: 0 0 1.5rem; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<figure>
{figure}
<figcaption>{caption}</figcaption>
</figure>
</main>
</body>
</html>
"""
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_FONTS = "var(--sans, system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif)"


def figure_svg(figure: Figure) -> str:
    """A figure as one `<svg>` element; the figures of this package give the same bytes each time.

    It can be put into a page as it is: text stays text, ids do not clash with those of other
    figures, and the ink is the page's `--figure-ink` where it sets one. The figure's label is its
    text alternative.

    Args:
        figure: any matplotlib figure.
    """
    text = io.StringIO()
    fixed = rc_context({"svg.hashsalt": "steersman", "svg.fonttype": "none"})
    with fixed, quiet_fonts():
        figure.savefig(text, format="svg", metadata=_NO_METADATA, transparent=True, dpi=144)
    drawn = writable(text.getvalue())
    root = minidom.parseString(drawn).documentElement
    assert root is not None
    prefix = "f" + hashlib.sha256(drawn.encode()).hexdigest()[:8]
    for element in root.getElementsByTagName("*"):
        _make_inlinable(element, prefix)
    root.setAttribute("role", "img")
    root.setAttribute("aria-label", str(figure.get_label()) or "Figure")
    root.setAttribute("style", "stroke-linejoin: round; stroke-linecap: butt")
    return writable(root.toxml())


def figure_page(figure: Figure, path: str | Path, title: str) -> Path:
    """Write a figure as one self-contained HTML page.

    Args:
        figure: any matplotlib figure; its label becomes the caption.
        path: where to; folders that do not exist are made.
        title: the heading.

    Returns:
        The path of the page.

    Raises:
        InputError: it cannot be written there; what was there before is untouched.
    """
    page = _PAGE.format(
        title=html.escape(title),
        theme=THEME,
        figure=figure_svg(figure),
        caption=html.escape(str(figure.get_label())),
    )
    return write_page(page, path)


def _make_inlinable(element: minidom.Element, prefix: str) -> None:
    """Scope what an SVG of matplotlib would impose on the page around it."""
    if element.tagName == "style":  # a rule for every element; the root's attribute replaces it
        element.parentNode.removeChild(element)  # type: ignore[union-attr]
        return
    if element.tagName == "g" and element.hasAttribute("id"):
        element.removeAttribute("id")
    if element.hasAttribute("id"):
        element.setAttribute("id", f"{prefix}-{element.getAttribute('id')}")
    link = element.getAttribute("xlink:href")
    if link.startswith("#"):
        element.setAttribute("xlink:href", f"#{prefix}-{link[1:]}")
    clip = element.getAttribute("clip-path")
    if clip:
        element.setAttribute("clip-path", clip.replace("url(#", f"url(#{prefix}-"))
    look = element.getAttribute("style")
    if look:
        element.setAttribute("style", _restyled(look))


def _restyled(look: str) -> str:
    rules = [rule.strip() for rule in look.split(";")]
    kept = [f"font-family: {_FONTS}" if r.startswith("font-family") else r for r in rules]
    return "; ".join(kept).replace(INK, f"var(--figure-ink, {INK})")
