"""A call of the library written out, such that a reader can repeat it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from minidistil.training.recipe import Recipe

# What a call need not say.
_USUAL = {"device": "cpu"}


def call(name: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> str:
    """Write a call of ``minidistil.NAME`` as Python.

    Options that are None, empty or as usual are left out. Rows, which can be anything,
    are written as ``rows``.
    """
    said = [_written(each) for each in arguments]
    for option, value in options.items():
        if value is not None and value != {} and value != _USUAL.get(option):
            said.append(f"{option}={_written(value)}")
    return f"minidistil.{name}({', '.join(said)})"


def _written(value: Any) -> str:
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, Recipe):
        usual, own = dataclasses.asdict(Recipe()), dataclasses.asdict(value)
        others = [f"{name}={own[name]!r}" for name in own if own[name] != usual[name]]
        return f"minidistil.Recipe({', '.join(others)})"
    if value is None or isinstance(value, str | int | float | tuple):
        return repr(value)
    if isinstance(value, Mapping):
        return repr(dict(value))
    return "rows"
