"""pyarrow, which reads and writes tables: imported when needed, asked for by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def arrow(module: str = "") -> Any:
    """Return pyarrow, or one of its modules: ``arrow("csv")``.

    Raises:
        ImportError: if it is not installed; it says how to install it.
    """
    try:
        return import_module(f"pyarrow.{module}" if module else "pyarrow")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "pyarrow":
            raise
        raise ImportError(
            "CSV, TSV, Parquet and .zst files are read and written by pyarrow, which "
            'is not installed: pip install "minidistil[tables]". Lines of text and of '
            "JSON (.txt, .jsonl, also .gz) need nothing."
        ) from None
