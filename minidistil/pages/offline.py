"""One HTML file that asks for nothing: its frame, its policy, and data that is safe."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

_HERE = "minidistil.pages"


def offline_page(room: str, name: str, data: Mapping[str, Any]) -> str:
    """Make a page.

    Args:
        room: The dotted name of a package, whose folder ``assets`` has what is the
            page's own.
        name: Of three files there: ``.html`` is the body, ``.css`` comes after the
            shared style, ``.js`` after the shared tools, in one function with them.
        data: What the script finds in ``DATA``; JSON, in which NaN is not allowed.
    """
    style = _asset(_HERE, "base.css") + _asset(room, f"{name}.css")
    tools, own = _asset(_HERE, "base.js"), _asset(room, f"{name}.js")
    script = f'"use strict";\n(() => {{\n{tools}\n{own}}})();\n'
    page = _asset(_HERE, "frame.html").replace("{{body}}", _asset(room, f"{name}.html"))
    page = page.replace("{{policy}}", _policy(style, script))
    page = page.replace("{{style}}", style).replace("{{script}}", script)
    # Last, so that a marker in a text stays text.
    return page.replace("{{data}}", _json(data))


def _asset(room: str, name: str) -> str:
    return (files(room) / "assets" / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = sha256(content.encode("utf-8")).digest()
    return f"'sha256-{b64encode(digest).decode('ascii')}'"


def _json(data: Mapping[str, Any]) -> str:
    """Write JSON in ASCII without a character that HTML or JavaScript reads as more."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
