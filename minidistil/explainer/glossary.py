"""The page's glossary: each field of a trace and its reasons, from the docstrings.

The docstrings are read from the source, as Python may have been started without them.
A line of them is ``name: What it is, (T, D). From `model.Embeddings.forward`.``, where
the shape and the origin are optional.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from minidistil.explainer import ablation, attribution, lens, reading, trace

# The classes whose fields have a term, in the order of the page; and what computes a
# field that does not say where it comes from.
PARTS: dict[str, tuple[ModuleType, str]] = {
    "Reading": (reading, ""),
    "Word": (reading, ""),
    "Token": (reading, ""),
    "EmbeddingsTrace": (trace, ""),
    "BlockTrace": (trace, ""),
    "ClassifierTrace": (trace, ""),
    "MaskedLMTrace": (trace, ""),
    "Record": (trace, ""),
    "Attribution": (attribution, "explainer.attribution.attribute"),
    "Lens": (lens, "explainer.lens.lens"),
    "Ablations": (ablation, "explainer.ablation.ablations"),
}
FIELD = re.compile(r"^    (\w+): (.*(?:\n     .*)*)", re.M)
MEANING = re.compile(
    r"(?P<what>.*?)(?:, (?P<shape>\([^()]*\)))?\.(?: From `(?P<where>[^`]+)`\.)?"
)


class Term(NamedTuple):
    """One field of a trace, or of a part of it, or of the reasons for its answer.

    Attributes:
        part: The dataclass whose field it is.
        name: The field.
        where: What computes it, below ``minidistil``.
        shape: Its shape, in the letters of `minidistil.model`; empty if not a tensor.
        what: One sentence.
    """

    part: str
    name: str
    where: str
    shape: str
    what: str


def glossary() -> list[Term]:
    """The terms of all `PARTS`."""
    modules = dict.fromkeys(module for module, _ in PARTS.values())
    docstrings = {
        node.name: ast.get_docstring(node) or ""
        for module in modules
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef)
    }
    return [
        term
        for part, (_, where) in PARTS.items()
        for term in _terms(part, docstrings[part], where)
    ]


def _terms(part: str, docstring: str, origin: str) -> Iterator[Term]:
    _, fields = docstring.split("Attributes:\n")
    for name, text in FIELD.findall(fields):
        found = MEANING.fullmatch(" ".join(text.replace("``", "").split()))
        if not found:
            raise ValueError(f"{part}.{name} is not described by a sentence: {text}")
        what, shape, where = found["what"], found["shape"], found["where"]
        yield Term(part, name, where or origin, shape or "", f"{what}.")
