"""Tables in, the same tables with answers out; what was stopped goes on.

    files ─ rows ─ texts ─ pipeline ─ answers ─ new columns ─ parts ─ the whole file

- `sources`: which files a name stands for, and their rows, in streams.
- `rows`: some rows as they were read, and where each of them stood.
- `columns`, `answering`: what a pipeline answers to rows, as columns.
- `writing`, `unfinished`: parts, the whole, and how a run goes on.
- `annotating`, `annotator`: what people call.
"""

from __future__ import annotations

from minidistil.tables.annotating import Summary as Summary, annotate as annotate
from minidistil.tables.annotator import Annotator as Annotator
