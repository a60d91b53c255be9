"""The columns that answers become: their names, their types, and how they are filled.

They depend on the task and its options alone, never on the answers: every part of a
table, also one of nulls alone, has the same types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from minidistil.pipelines import Pipeline
from minidistil.tables.arrow import arrow

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Vector:
    """So many numbers, float32: a tensor (width,)."""

    width: int


# "string", "double" or "int64"; a list [kind]; a struct {name: kind}; or a vector.
Kind: TypeAlias = str | Vector | list[Any] | dict[str, Any]
# The new columns of some rows: name → kind and values, None for null. A vector is a
# tensor (width,), a list of vectors a tensor (n, width).
New: TypeAlias = dict[str, tuple[Kind, list[Any]]]


@dataclass(frozen=True)
class Column:
    """A column of answers.

    Attributes:
        name: Its name, with the prefix.
        kind: What its values are.
        take: Makes a value of what the pipeline answers to one row.
    """

    name: str
    kind: Kind
    take: Callable[[Any], Any]


def columns_for(
    pipe: Pipeline[Any], options: Mapping[str, Any], prefix: str = ""
) -> list[Column]:
    """The columns that a pipeline's answers become; their names begin with a prefix.

    Raises:
        TypeError, ValueError: for options that a call of the pipeline would refuse.
    """
    columns = _OF_TASK[pipe.task](pipe, pipe.settings(options))
    return [replace(column, name=f"{prefix}{column.name}") for column in columns]


# One function a task


def _classification(pipe: Pipeline[Any], settings: Any) -> list[Column]:
    if settings.top_k in ("best", 1):
        return [
            Column("label", "string", lambda answer: _alone(answer)["label"]),
            Column("score", "double", lambda answer: _alone(answer)["score"]),
        ]
    return [
        Column("labels", ["string"], lambda answer: [one["label"] for one in answer]),
        Column("scores", ["double"], lambda answer: [one["score"] for one in answer]),
    ]


def _alone(answer: Any) -> Any:
    """The one label, which with ``top_k=1`` stands in a list."""
    return answer[0] if isinstance(answer, list) else answer


def _tokens(pipe: Pipeline[Any], settings: Any) -> list[Column]:
    if settings.strategy == "none":
        kind = {"entity": "string", "score": "double", "index": "int64"}
    else:
        kind = {"entity_group": "string", "score": "double"}
    kind |= {"word": "string", "start": "int64", "end": "int64"}
    return [_structs("entities", kind)]


def _question(pipe: Pipeline[Any], settings: Any) -> list[Column]:
    kind = {"answer": "string", "score": "double", "start": "int64", "end": "int64"}
    if settings.top_k == 1:
        return [Column("answer", {**kind}, struct_of(kind))]
    return [_structs("answers", kind)]


def _masks(pipe: Pipeline[Any], settings: Any) -> list[Column]:
    kind = {"score": "double", "token": "int64"}
    kind |= {"token_str": "string", "sequence": "string"}
    of_word = struct_of(kind)

    def take(answer: list[Any]) -> list[Any]:
        # The words of one mask alone are not in a list of masks.
        masks = answer if isinstance(answer[0], list) else [answer]
        return [[*map(of_word, words)] for words in masks]

    return [Column("masks", [[kind]], take)]


def _zero_shot(pipe: Pipeline[Any], settings: Any) -> list[Column]:
    return [
        Column("labels", ["string"], itemgetter("labels")),
        Column("scores", ["double"], itemgetter("scores")),
    ]


def _choices(pipe: Pipeline[Any], settings: Any) -> list[Column]:
    return [
        _structs("answers", {"choice": "string", "index": "int64", "score": "double"})
    ]


def _sentence(pipe: Pipeline[Any], settings: Any) -> list[Column]:
    return [Column("vector", Vector(pipe.config.dim), lambda vector: vector)]


def _features(pipe: Pipeline[Any], settings: Any) -> list[Column]:
    # The answer is (1, T, D), a tensor: `Answering` asks for one.
    return [Column("vectors", [Vector(pipe.config.dim)], itemgetter(0))]


_OF_TASK: dict[str, Callable[[Pipeline[Any], Any], list[Column]]] = {
    "text-classification": _classification,
    "token-classification": _tokens,
    "question-answering": _question,
    "fill-mask": _masks,
    "zero-shot-classification": _zero_shot,
    "multiple-choice": _choices,
    "sentence-embeddings": _sentence,
    "feature-extraction": _features,
}


def struct_of(kind: Mapping[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """What makes a struct of a mapping: its keys alone, in order; None if one lacks."""
    names = [*kind]
    return lambda answer: {name: answer.get(name) for name in names}


def _structs(name: str, kind: dict[str, str]) -> Column:
    of_one = struct_of(kind)
    return Column(name, [kind], lambda answer: [*map(of_one, answer)])


# Arrow


def arrow_type(kind: Kind) -> pa.DataType:
    """The Arrow type of a kind; a vector is a list of a fixed size."""
    pa = arrow()
    if isinstance(kind, Vector):
        return pa.list_(pa.float32(), kind.width)
    if isinstance(kind, list):
        return pa.list_(arrow_type(kind[0]))
    if isinstance(kind, dict):
        return pa.struct([(name, arrow_type(of)) for name, of in kind.items()])
    return {"string": pa.string(), "double": pa.float64(), "int64": pa.int64()}[kind]


def arrow_array(kind: Kind, values: Sequence[Any]) -> pa.Array:
    """Values of a kind as an Arrow array; None is null.

    Vectors go there as they are, without a Python number for each of theirs.
    """
    pa = arrow()
    empty = pa.array([value is None for value in values], pa.bool_())
    if isinstance(kind, Vector):
        none = torch.zeros(kind.width)
        filled = [none if value is None else value for value in values]
        return _vectors(kind, filled, mask=empty)
    if not (isinstance(kind, list) and isinstance(kind[0], Vector)):
        return pa.array(values, type=arrow_type(kind))
    counts = [0 if value is None else len(value) for value in values]
    return pa.ListArray.from_arrays(
        pa.array([*accumulate(counts, initial=0)], pa.int32()),
        _vectors(kind[0], [value for value in values if value is not None]),
        type=arrow_type(kind),
        mask=empty,
    )


def _vectors(kind: Vector, tensors: list[Tensor], mask: Any = None) -> pa.Array:
    """Tensors, each of one vector or of several, as lists of one size."""
    pa = arrow()
    flat = [torch.empty(0), *(each.reshape(-1) for each in tensors)]
    return pa.FixedSizeListArray.from_arrays(
        pa.array(torch.cat(flat).float().numpy()), type=arrow_type(kind), mask=mask
    )
