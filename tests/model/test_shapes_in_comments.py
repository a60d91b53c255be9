"""Every shape that the model's comments and docstrings state is the shape at run time.

A copy of the source is run in which a check follows each statement that bears a shape,
``x = …  # (B, T, D)``: its first target must have it. Likewise the arguments of a
docstring's ``Args:`` (``q: What each token looks for, (B, H, T, K).``) and prose (``x
(B, T, D)``), and what goes in and comes out of a ``(B, T, D) -> (B, H, T, K)``.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from copies import copied_package, source
from reference import (
    ATTENTIONS,
    CHOICE,
    CHOICES,
    NAMES,
    QUESTION,
    ids_for,
    library,
    right_padded,
    zero_labels,
)

from minidistil.config import DistilBertConfig

STATED_ROOMS = ("model", "heads")
# All different, so that no letter can stand for another; nor can B * C.
SIZES = {"B": 5, "T": 7, "D": 24, "H": 4, "K": 6, "F": 44, "V": 53, "L": 2}
SHAPE = r"\([A-Z0-9][A-Z0-9, *]*\)"
COMMENT = re.compile(rf"# ({SHAPE})$")
ARGUMENT = re.compile(rf"^\s+(\w+): .*?, ({SHAPE})[.;]", re.MULTILINE)
PROSE = re.compile(rf"(\w+)(?:``)? ({SHAPE})")
MAPPING = re.compile(rf"({SHAPE}) -> ({SHAPE})")


def shape_comments(text: str) -> dict[int, str]:
    """Return the shapes in comments, by their lines."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    found = {
        token.start[0]: COMMENT.search(token.string)
        for token in tokens
        if token.type == tokenize.COMMENT
    }
    return {line: match[1] for line, match in found.items() if match}


class Instrument(ast.NodeTransformer):
    """Put a check after each statement, and into each function, that states a shape."""

    def __init__(self, room: str, text: str) -> None:
        self.room = room
        self.comments = shape_comments(text)
        self.stated: list[tuple[str, str]] = []

    def check(self, name: str, value: ast.expr, shape: str) -> ast.expr:
        """Return a call that notes the value's shape and returns the value."""
        name = f"{self.room}, {name}"
        self.stated.append((name, shape))
        where = [ast.Constant(name), ast.Constant(shape)]
        return ast.Call(ast.Name("note_shape", ast.Load()), [*where, value], [])

    def visit_Assign(self, node: ast.Assign) -> list[ast.stmt]:
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        found = [self.comments.pop(line) for line in lines if line in self.comments]
        target = node.targets[0]
        if isinstance(target, ast.Tuple):
            target = target.elts[0]
        if not found or not isinstance(target, ast.Name):
            return [node]
        [shape] = found
        value = ast.Name(target.id, ast.Load())
        name = f"{target.id}, line {node.lineno}"
        return [node, ast.Expr(self.check(name, value, shape))]

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        """A returned expression may bear a shape as well."""
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        found = [self.comments.pop(line) for line in lines if line in self.comments]
        for shape in [*found, *filter(None, [self.returned])]:
            assert node.value is not None
            name = f"returned, line {node.lineno}"
            node.value = self.check(name, node.value, shape)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        docstring = ast.get_docstring(node) or ""
        arguments = {arg.arg for arg in [*node.args.args, *node.args.kwonlyargs]}
        found = PROSE.findall(docstring) + ARGUMENT.findall(docstring)
        stated = {name: shape for name, shape in found if name in arguments}
        self.returned = None
        if mapping := MAPPING.search(docstring):
            first = next(arg.arg for arg in node.args.args if arg.arg != "self")
            stated[first], self.returned = mapping.groups()
        self.generic_visit(node)
        self.returned = None
        node.body[1:1] = [
            ast.Expr(
                self.check(
                    f"{name} of {node.name}, line {node.lineno}",
                    ast.Name(name, ast.Load()),
                    shape,
                )
            )
            for name, shape in stated.items()
        ]
        return node


def run_everything(rooms: SimpleNamespace) -> None:
    """Take every class through a forward pass, by both attentions."""
    config = {
        "vocab_size": SIZES["V"],
        "max_position_embeddings": 40,
        "dim": SIZES["D"],
        "n_heads": SIZES["H"],
        "hidden_dim": SIZES["F"],
        "n_layers": SIZES["L"],
    }
    for name in NAMES:
        for attention in ATTENTIONS:
            classes = 9 if name not in (QUESTION, CHOICE) else 2
            ours = getattr(rooms, name)(
                DistilBertConfig(**config, num_labels=classes),
                attn_implementation=attention,
            )
            rooms.sizes["heads"]["C"] = CHOICES if name == CHOICE else classes
            # To the encoder, every choice is a text of its own.
            texts = SIZES["B"] * (CHOICES if name == CHOICE else 1)
            rooms.sizes["model"]["B"] = texts
            ids = ids_for(name, SIZES["B"], SIZES["T"], SIZES["V"])
            labels = zero_labels(name, SIZES["B"], SIZES["T"])
            ours(ids, right_padded(ids), **labels)
    rooms.sizes["model"]["B"] = SIZES["B"]
    vectors = torch.zeros(SIZES["B"], SIZES["T"], SIZES["D"])
    places = torch.zeros(SIZES["B"], SIZES["T"], dtype=torch.long)
    rooms.DistilBertModel(DistilBertConfig(**config))(
        inputs_embeds=vectors, position_ids=places
    )


def wrong_shapes(replace: tuple[str, str, str] = ("", "", "")) -> list[str]:
    """Run an instrumented copy and list what is not as stated, or was never run."""
    where, old, new = replace
    sizes: dict[str, dict[str, int]] = {room: dict(SIZES) for room in STATED_ROOMS}
    noted: dict[tuple[str, str], set] = defaultdict(set)
    stated, wrong = [], []

    def note_shape(name, shape, value):
        tensor = value[0] if isinstance(value, tuple) else value
        if tensor is not None:
            noted[name, shape].add(tuple(tensor.shape))
            if tuple(tensor.shape) != eval(shape, dict(sizes[name.split(",")[0]])):
                wrong.append(f"{name}: {tuple(tensor.shape)}, stated {shape}")
        return value

    def instrument(room, text):
        if room not in STATED_ROOMS:
            return text
        if room == where:
            assert old in text
            text = text.replace(old, new, 1)
        transformer = Instrument(room, text)
        tree = transformer.visit(ast.parse(text))
        lines = transformer.comments
        wrong.extend(f"{room}, line {n}: {lines[n]} of what?" for n in lines)
        stated.extend(transformer.stated)
        return ast.fix_missing_locations(tree)

    with copied_package(instrument) as rooms:
        for room in STATED_ROOMS:
            vars(rooms[room])["note_shape"] = note_shape
        classes = library(rooms["model"], rooms["heads"])
        classes.sizes = sizes
        run_everything(classes)
    wrong.extend(
        f"{name}: {shape} was never seen"
        for name, shape in stated
        if (name, shape) not in noted
    )
    return wrong


def test_every_stated_shape_is_the_shape():
    assert wrong_shapes() == []


def test_there_are_shapes_to_check():
    comments = {room: shape_comments(source(room)) for room in STATED_ROOMS}
    assert len(comments["model"]) >= 10
    assert len(comments["heads"]) >= 8
    # As many as the eye finds: none escapes by its spelling.
    for room in STATED_ROOMS:
        lines = source(room).splitlines()
        seen = {i for i, line in enumerate(lines, 1) if re.search(r"\S.* # \(", line)}
        assert seen == set(comments[room])


@pytest.mark.parametrize(
    "wrong",
    [
        ("model", "self.split_heads(self.q_lin(x))  # (B, H, T, K)", "(B, T, H, K)"),
        ("model", "merged = mixed.transpose(1, 2).flatten(2)  # (B, T, D)", "(B, D)"),
        ("model", "x = self.activation(self.lin1(x))  # (B, T, F)", "(B, T, D)"),
        ("model", "device=device)[None]  # (1, T)", "(B, T)"),
        ("model", "tokens_to_attend(attention_mask)  # (B, 1, 1, T)", "(B, T)"),
        ("model", "(B, T, D) -> (B, H, T, K)", "(B, T, D) -> (B, T, H, K)"),
        ("model", "q: What each token looks for, (B, H, T, K)", "(B, T, H, K)"),
        ("model", "Mix x (B, T, D)", "(B, T, F)"),
        ("heads", "Classify each of (B, T) ids; in ``labels`` (B, T)", "(B, C)"),
        ("heads", "cls = out.last_hidden_state[:, 0]  # (B, D)", "(B, T)"),
        ("heads", "cls = out.last_hidden_state[:, 0]  # (B * C, D)", "(B, D)"),
        ("heads", "self.classifier(x).view(batch, choices)  # (B, C)", "(C, B)"),
        ("heads", "logits.unbind(-1)  # (B, T)", "(B, T, 2)"),
    ],
    ids=lambda wrong: wrong[1],
)
def test_a_wrong_shape_is_found(wrong):
    room, text, shape = wrong
    stated = re.compile(r"\([A-Z0-9, *]+\)( -> \([A-Z, ]+\))?$")
    assert source(room).count(text) == 1
    assert wrong_shapes((room, text, stated.sub(shape, text))) != []


def test_a_shape_of_nothing_is_found():
    line = "return x, *weights"
    assert wrong_shapes(("model", f"{line}\n", f"{line}  # (B)\n"))
    line = "        hidden_states, attentions = [x], []\n"
    assert wrong_shapes(("model", line, f"        # (B, T)\n{line}"))
