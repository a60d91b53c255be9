"""The lines of the installed source that computed a step: never out of date."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

from minidistil import heads, model, wordpiece
from minidistil.pipelines import FUNCTIONS

# Functions whose body is shown, and for some only the statements with these names.
STEPS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "clean": (wordpiece.clean, ()),
    "split": (wordpiece.split, ()),
    "attempts": (wordpiece.attempts, ()),
    "embeddings": (
        model.Embeddings.forward,
        ("word_embeddings", "position_embeddings", "LayerNorm"),
    ),
    "mask": (model.tokens_to_attend, ("attention_mask", "attend")),
    "block": (model.TransformerBlock.forward, ()),
    "heads": (model.SelfAttention.forward, ("split_heads", "flatten", "out_lin")),
    "attention": (model.eager_attention, ()),
    "ffn": (model.FFN.forward, ()),
    "classifier": (
        heads.DistilBertForSequenceClassification.forward,
        ("cls", "pre_classifier", "classifier"),
    ),
    "softmax": (FUNCTIONS["softmax"], ()),
    "masked_lm": (
        heads.DistilBertForMaskedLM.forward,
        ("vocab_transform", "vocab_projector"),
    ),
}


class Line(NamedTuple):
    """A line of a file, and its number there."""

    number: int
    code: str


class Snippet(NamedTuple):
    """Some lines of a function."""

    file: str
    function: str
    lines: list[Line]


def snippet(function: Callable[..., Any], names: tuple[str, ...]) -> Snippet:
    """The body of a function, or those of its statements that have one of ``names``.

    Raises:
        LookupError: A name is in no statement: the source has changed.
    """
    source, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(source))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    start = tree.body[0].end_lineno if ast.get_docstring(tree) else tree.lineno
    numbers = set(range((start or 0) + 1, len(source) + 1))
    if names:
        if missing := set(names) - {name for each in body for name in _names(each)}:
            raise LookupError(f"{function.__qualname__} has no {', '.join(missing)}")
        numbers = {n for each in body for n in _lines(each, set(names))}
    code = textwrap.dedent("".join(source[n - 1] for n in sorted(numbers)))
    lines = zip(sorted(numbers), code.rstrip().split("\n"), strict=True)
    return Snippet(
        "/".join(function.__module__.split(".")[1:]) + ".py",
        function.__qualname__,
        [Line(first + number - 1, text) for number, text in lines],
    )


def snippets() -> dict[str, Snippet]:
    """The snippet of every step."""
    return {step: snippet(*where) for step, where in STEPS.items()}


def _names(node: ast.AST) -> set[str]:
    """The variables and the attributes that a piece of code mentions."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            found.add(each.id)
        elif isinstance(each, ast.Attribute):
            found.add(each.attr)
    return found


def _lines(node: ast.stmt, names: set[str]) -> set[int]:
    """The lines of a statement that mentions a name; of a compound one, what does."""
    inside = getattr(node, "body", [])
    if not inside:
        whole = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        return set(whole) if names & _names(node) else set()
    found = {line for each in inside for line in _lines(each, names)}
    return found | {node.lineno} if found else set()
