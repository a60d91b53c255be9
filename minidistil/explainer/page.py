"""The page: traces as one HTML file that needs no network, no build and no library."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files

from minidistil.explainer.glossary import glossary
from minidistil.explainer.packing import Packed, pack
from minidistil.explainer.reasons import reasons
from minidistil.explainer.source import snippets
from minidistil.explainer.trace import Record


def html(traces: Sequence[Record], *, patient: bool, progress: bool) -> str:
    """Make the page of one trace, or of several side by side: see `Shown.to_html`."""
    if not traces:
        raise ValueError("there is no trace, expected one or more")
    style, script = _asset("page.css"), _asset("page.js")
    page = _asset("page.html")
    page = page.replace("{{policy}}", _policy(style, script))
    page = page.replace("{{style}}", style).replace("{{script}}", script)
    data = {
        "source": {step: shown._asdict() for step, shown in snippets().items()},
        "glossary": [term._asdict() for term in glossary()],
        "traces": [
            pack(trace) | reasons(trace, len(traces), patient, progress)
            for trace in traces
        ],
    }
    # Last, so that a marker in a text stays text.
    return page.replace("{{data}}", _json(data))


def _asset(name: str) -> str:
    return (files("minidistil.explainer") / "assets" / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = sha256(content.encode("utf-8")).digest()
    return f"'sha256-{b64encode(digest).decode('ascii')}'"


def _json(data: Packed) -> str:
    """Write JSON in ASCII without a character that HTML or JavaScript reads as more."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
