"""The page: traces as one HTML file that needs no network, no build and no library."""

from __future__ import annotations

from collections.abc import Sequence

from minidistil.explainer.glossary import glossary
from minidistil.explainer.packing import pack
from minidistil.explainer.reasons import reasons
from minidistil.explainer.source import snippets
from minidistil.explainer.trace import Record
from minidistil.pages import offline_page


def html(traces: Sequence[Record], *, patient: bool, progress: bool) -> str:
    """Make the page of one trace, or of several side by side: see `Shown.to_html`."""
    if not traces:
        raise ValueError("there is no trace, expected one or more")
    data = {
        "source": {step: shown._asdict() for step, shown in snippets().items()},
        "glossary": [term._asdict() for term in glossary()],
        "traces": [
            pack(trace) | reasons(trace, len(traces), patient, progress)
            for trace in traces
        ],
    }
    return offline_page("minidistil.explainer", "page", data)
