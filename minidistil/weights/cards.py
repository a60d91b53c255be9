"""Model cards in the hub's form: facts about a checkpoint first, and then Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from minidistil.messages import shorten

CARD = "README.md"


def with_facts(text: str, **facts: Any) -> str:
    """Put the facts that the hub reads before the Markdown of a card.

    Args:
        text: The Markdown.
        facts: The arguments of huggingface_hub's `ModelCardData`.
    """
    from huggingface_hub import ModelCard, ModelCardData

    front = ModelCardData(tags=["distilbert"], **facts)
    return str(ModelCard(f"---\n{front}\n---\n\n{text}"))


def pairs(head: str, rows: Mapping[Any, str]) -> str:
    """A table of two columns below a head, which may be more than one line."""
    return table(head, ((str(left), right) for left, right in rows.items()))


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    """A table below its head, in whose last line are the names of the columns."""
    columns = head.splitlines()[-1].count("|") - 1
    lines = ["| " + " | ".join(map(cell, row)) + " |\n" for row in rows]
    return f"{head}\n|{'---|' * columns}\n{''.join(lines)}\n"


def cell(text: str) -> str:
    """Text that stays in its place, whatever it is: a label comes from a file."""
    return re.sub(r"([\\`*_{}\[\]<>|#!])", r"\\\1", " ".join(shorten(text).split()))
