"""Tables in, the same tables with answers out; what was stopped goes on.

    files ─ rows ─ texts ─ pipeline ─ answers ─ new columns ─ parts ─ the whole file

- `sources`: which files a name stands for, and their rows, in streams.
- `rows`: some rows as they were read, and where each of them stood.
- `columns`, `answering`: what a pipeline answers to rows, as columns.
- `writing`, `unfinished`: parts, the whole, and how a run goes on.
- `annotating`, `annotator`: what people call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidistil.tables.annotating import Summary as Summary, annotate as annotate
    from minidistil.tables.annotator import Annotator as Annotator
    from minidistil.tables.sources import open_source as open_source

# Where each name comes from. To read a table, no pipeline is needed, and so no torch.
_MODULES = {
    "Annotator": "annotator",
    "Summary": "annotating",
    "annotate": "annotating",
    "open_source": "sources",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'minidistil.tables' has no attribute {name!r}")
    return getattr(import_module(f"minidistil.tables.{_MODULES[name]}"), name)
