"""The glossary has a term for every field of a trace and of its reasons, no other."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from importlib import import_module

import pytest
import torch

from minidistil import explain
from minidistil.explainer import ablation, attribution, lens, reading, trace
from minidistil.explainer.glossary import Term, glossary

CLASSES = {
    each.__name__: each
    for each in (
        reading.Reading,
        reading.Word,
        reading.Token,
        trace.EmbeddingsTrace,
        trace.BlockTrace,
        trace.ClassifierTrace,
        trace.MaskedLMTrace,
        trace.Record,
        attribution.Attribution,
        lens.Lens,
        ablation.Ablations,
    )
}
GLOSSARY = glossary()
terms = pytest.mark.parametrize(
    "term", GLOSSARY, ids=[f"{term.part}.{term.name}" for term in GLOSSARY]
)


@pytest.mark.parametrize("part", CLASSES)
def test_every_field_has_a_term_in_its_order(part):
    fields = [field.name for field in dataclasses.fields(CLASSES[part])]
    assert [term.name for term in GLOSSARY if term.part == part] == fields


def test_no_term_is_of_anything_else():
    assert {term.part for term in GLOSSARY} == CLASSES.keys()


def test_what_a_trace_is_made_of_is_in_the_glossary():
    made_of = {name for name in vars(trace) if name.endswith("Trace")}
    assert made_of <= CLASSES.keys()


@terms
def test_where_it_is_computed_exists(term):
    parts = term.where.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(["minidistil", *parts[:length]]))
        except ModuleNotFoundError:
            continue
        rest = parts[length:]
        break
    for i, name in enumerate(rest):
        if not hasattr(found, name):
            # A layer: what __init__ sets.
            assert rest[i:] == [name]
            assert name in layers_of(found)
            return
        found = getattr(found, name)


def layers_of(module: type) -> set[str]:
    """The attributes that the constructor of a class sets."""
    source = ast.parse(inspect.getsource(inspect.getmodule(module)))
    (tree,) = (
        node
        for node in source.body
        if isinstance(node, ast.ClassDef) and node.name == module.__name__
    )
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


@terms
def test_a_layers_term_has_the_layers_name(term):
    """``model.SelfAttention.q_lin`` computes q; all others are called as they are."""
    last = term.where.split(".")[-1]
    if term.part in ("Attribution", "Lens", "Ablations"):
        assert last in ("attribute", "lens", "ablations")
        return
    if last.endswith("_lin") and term.name in "qkv":
        assert last == f"{term.name}_lin"
    elif term.shape and last not in ("forward", "eager_attention", "FUNCTIONS"):
        assert term.name in (last, "logits")


@pytest.fixture(scope="module")
def made():
    return explain("Not bad", "tiny")


@pytest.fixture(scope="module")
def reasons(made):
    return {
        "Attribution": made.attribute(max_steps=8),
        "Lens": made.lens(),
        "Ablations": made.ablations(),
    }


@terms
def test_the_shape_is_the_tensors(term, made, reasons):
    config = made.subject.model.config
    sizes = {
        "T": len(made.tokens),
        "D": config.dim,
        "H": config.n_heads,
        "K": config.dim // config.n_heads,
        "F": config.hidden_dim,
        "C": 2,
        "L": config.n_layers,
        "L + 1": config.n_layers + 1,
    }
    owner = {
        "EmbeddingsTrace": made.embeddings,
        "BlockTrace": made.layer[0],
        "ClassifierTrace": made.head,
        "Record": made,
        **reasons,
    }.get(term.part)
    if owner is None:
        assert term.part in ("Reading", "Word", "Token", "MaskedLMTrace")
        return
    value = getattr(owner, term.name)
    if not isinstance(value, torch.Tensor):
        assert not term.shape
        return
    letters = re.findall(r"[A-Z](?: \+ 1)?", term.shape)
    assert tuple(value.shape) == tuple(sizes[letter] for letter in letters)


@terms
def test_what_it_is_is_a_sentence(term: Term):
    assert re.fullmatch(r"[^\s].*\.", term.what)
    assert len(term.what) < 160
