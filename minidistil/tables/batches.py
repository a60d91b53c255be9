"""Batches of rows as other libraries hand them over, and what they get back.

    columns by name, lists       lists; a vector is a numpy array (D,), null is None
    columns by name, numpy       numpy arrays; vectors are (B, D), float32; a null is
                                 None where the values are objects, else NaN
    a pyarrow Table, RecordBatch the same, with columns of the types of the answers
    a pandas DataFrame           the same, with the columns that pandas makes of lists

Nothing that was given is changed.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minidistil.messages import with_library
from minidistil.pipelines.reading import as_list, is_many
from minidistil.tables.columns import Kind, New, Vector, arrow_array


@dataclass(frozen=True)
class BatchRows:
    """The rows of a batch: those of its columns that are read."""

    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        """How many there are."""
        return min((len(values) for values in self.columns.values()), default=0)

    def where(self, place: int) -> str:
        """What an error calls the row at a place, from 0: rows are counted from 1."""
        return f"row {place + 1} of the batch"

    def values(self, name: str) -> list[Any]:
        """A column."""
        return self.columns[name]


def is_of(value: object, library: str, *names: str) -> bool:
    """Whether it is of a class of a library, which is not imported for this."""
    module = sys.modules.get(library)
    return module is not None and isinstance(
        value, tuple(getattr(module, name) for name in names)
    )


def names_of(batch: Any) -> list[str]:
    """The names of a batch's columns.

    Raises:
        TypeError: for what is no batch.
    """
    if is_of(batch, "pyarrow", "Table", "RecordBatch"):
        return [*batch.schema.names]
    if isinstance(batch, Mapping) or is_of(batch, "pandas", "DataFrame"):
        return [*batch]
    raise TypeError(
        f"got {with_library(batch)}, expected a batch of rows: columns by name in a "
        f"dict, a pyarrow Table or RecordBatch, or a pandas DataFrame; of a data "
        f"set of datasets or Ray, give this to its map(…, batched=True) or map_batches"
    )


def rows_of(batch: Any, needed: Sequence[str]) -> BatchRows:
    """Read the columns of a batch that are needed.

    Raises:
        TypeError: for a column that is no list of values.
        ValueError: if they are not of one length.
    """
    columns: dict[str, list[Any]] = {}
    for name in needed:
        values = batch[name]
        if not is_many(values):
            raise TypeError(
                f"column {name!r} of the batch is {with_library(values)}, expected a "
                f"list of values: of single rows, make a batch (in datasets, "
                f"map(…, batched=True))"
            )
        columns[name] = as_list(values)
    lengths = {name: len(values) for name, values in columns.items()}
    if len({*lengths.values()}) > 1:
        raise ValueError(f"the columns of the batch have different lengths: {lengths}")
    return BatchRows(columns)


def with_columns(batch: Any, new: New, like: str) -> Any:
    """A batch with new columns behind its own, which are as the column ``like`` is."""
    if is_of(batch, "pyarrow", "Table", "RecordBatch"):
        arrays, schema = [*batch.columns], batch.schema
        for name, (kind, values) in new.items():
            arrays.append(arrow_array(kind, values))
            field = sys.modules["pyarrow"].field(name, arrays[-1].type)
            schema = schema.append(field)
        return type(batch).from_arrays(arrays, schema=schema)
    if is_of(batch, "pandas", "DataFrame"):
        pandas = sys.modules["pandas"]
        frame = batch.copy(deep=False)
        for name, (kind, values) in new.items():
            dtype: Any = {"double": "float64"}.get(str(kind), object)
            if kind == "string":
                dtype = pandas.Series([""]).dtype  # which depends on its version
            # One by one: pandas would make a table of vectors.
            column = pandas.Series(_objects(values), batch.index, dtype=dtype)
            frame[name] = column.array
        return frame
    # A copy of what can be changed, which may be more than a dict: a batch of datasets
    # reads its other columns when they are asked for.
    filled = copy.copy(batch) if isinstance(batch, MutableMapping) else {**batch}
    numpy = is_of(batch[like], "numpy", "ndarray")
    for name, (kind, values) in new.items():
        filled[name] = _numpy(kind, values) if numpy else [*map(_plain, values)]
    return filled


def _plain(value: Any) -> Any:
    """A vector as a numpy array; anything else as it is."""
    return value.numpy() if isinstance(value, Tensor) else value


def _numpy(kind: Kind, values: list[Any]) -> Any:
    """A column as a numpy array."""
    import numpy as np

    if kind == "double":
        return np.array(values, dtype=np.float64)  # of None, NaN
    if not isinstance(kind, Vector):
        return _objects(values)
    null = torch.full((kind.width,), torch.nan)
    rows = [null if value is None else value for value in values]
    return torch.cat([torch.empty(0), *rows]).view(-1, kind.width).numpy()


def _objects(values: list[Any]) -> Any:
    """A numpy array (B,) of objects, whatever these are."""
    import numpy as np

    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        array[place] = _plain(value)
    return array
