"""Figures as inline SVG that follows the page's colours, and arrays as PNG inside the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from ..analysis import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_COLOURS = {
    style.INK: "ink",
    style.MUTED: "muted",
    style.RULE: "rule",
    style.SURFACE: "card",
    style.ACCENT: "accent",
    style.ARM_COLOURS["pretrained"]: "arm-pretrained",
    style.ARM_COLOURS["joint"]: "arm-joint",
    style.ARM_COLOURS["routed"]: "arm-routed",
    style.ARM_COLOURS["uniform"]: "arm-uniform",
}
"""Colours of the figures that the page's stylesheet restates, by the variable that holds them."""


def svg(name: str, alt: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> Markup:
    """Draws a figure as an ``<svg>`` element; the same figure always gives the same bytes.

    Text stays text, in the page's own font; the colours of :data:`PAGE_COLOURS` become the page's
    variables, so that a dark page has dark figures.

    Args:
        name: unique on the page: the elements' ids begin with it.
        alt: what a reader who cannot see it is told.
        size: width and height in inches.
        draw: draws on the figure that it is given.
    """
    import matplotlib
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False}
    ):
        figure = Figure(size, layout="constrained")
        draw(figure)
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    return Markup(_for_the_page(buffer.getvalue(), name, alt))


def _for_the_page(text: str, name: str, alt: str) -> str:
    """From an SVG document to an element that disturbs nothing else on the page."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;?", "", text)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in PAGE_COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r'<svg([^>]*?) width="[^"]*" height="[^"]*"', r"<svg\1", text, count=1)
    label = f'<svg role="img" aria-label="{escape(alt)}"'
    return re.sub(r"\s*\n\s*", "\n", text.replace("<svg", label, 1)).strip()


def png(pixels: NDArray[np.uint8]) -> str:
    """A ``data:`` address of a PNG; pixels are uint8 ``(H, W, 4)``."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
