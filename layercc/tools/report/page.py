"""Puts the page together: one file, with all that it needs in it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ir.dims import DimLike
from ir.graph import Graph
from ir.report import Report
from layercc.tools.report.data import page_data

_HERE = Path(__file__).parent
VENDOR = _HERE / "vendor"
STATIC = _HERE / "static"
#: Scripts of others, then our own, in the order in which they run.
LIBRARIES = ("d3.min.js", "elk-api.js")
#: Started as a worker, so that a layout does not hold up the page.
WORKER = "elk-worker.min.js"
SCRIPTS = (
    "base.js",
    "model.js",
    "layout.js",
    "drawing.js",
    "graph.js",
    "problems.js",
    "panel.js",
    "search.js",
    "table.js",
    "layers.js",
    "flame.js",
    "charts.js",
    "roofline.js",
    "profile.js",
    "main.js",
)


def write_page(
    path: str | os.PathLike[str],
    graph: Graph,
    profile: Mapping[str, Any] | None = None,
    *,
    missing: str = "",
    inputs: Mapping[str, Sequence[DimLike]] | None = None,
) -> Report:
    """Writes the page that shows `graph` to the file `path`, and returns what `ir.check` found.

    `profile`: what `Profile.to_dict` gives; without one, the page shows the reason `missing`.
    `inputs`: dims by input name, as in `ir.check`: sizes are shown for them, rather than for the
    declared ones. Raises OSError where the file cannot be written.
    """
    data, report = page_data(graph, inputs, profile, missing)
    Path(path).write_text(page(data), encoding="utf-8")
    return report


def page(data: Mapping[str, Any]) -> str:
    """The HTML of the page that shows `data` (`layercc.tools.report.data`).

    It asks for nothing, of the network or of the disk, and its policy lets no script run but its
    own, each known by its digest: names in a model may hold anything.
    """
    style = _text(STATIC / "style.css")
    libraries = [_text(VENDOR / name) for name in LIBRARIES]
    own = [_text(STATIC / name) for name in SCRIPTS]
    programs = [*libraries, *own]
    scripts = [
        f'<script type="application/json" id="data">{json_in_html(data)}</script>',
        f'<script type="text/plain" id="elk-worker">{_text(VENDOR / WORKER)}</script>',
        *(f"<script>{program}</script>" for program in programs),
    ]
    digests = " ".join(_digest(program) for program in programs)
    policy = (
        f"default-src 'none'; script-src {digests}; worker-src blob:; "
        f"style-src {_digest(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(_text(STATIC / "page.html")).substitute(
        title=escape(f"{data['name']} – layercc"),
        policy=escape(policy),
        style=style,
        scripts="\n".join(scripts),
    )


def json_in_html(data: Any) -> str:
    """JSON that can stand in a script element: no text in it can end the element, or begin a
    comment. NaN and infinities, which JSON lacks, become null."""
    text = json.dumps(_finite(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(item) for item in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """As policies write it: browsers take the digest of the text in an element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
