"""In what a run differs from the one whose parts are there: in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from minidistil.messages import quote

# What a model computes for one sentence differs a little from one machine, one number
# type and one batch to the next; between two models it differs by far more.
SAME_ANSWERS = 1e-2
_ABSENT = object()
# A run may go on with more patience than it began with: what is done stays right.
_RELAXED = {"on_error": ("stop", "null"), "strict": (True, False)}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not as it was: one line for each difference that matters.

    Args:
        then: The settings of the run that began; a JSON object.
        now: Those of the run that is to go on. ``input`` is a list of an object a file,
            each with its ``name``; ``model.answers`` a list of numbers.
    """
    found = [*_of_input(then.get("input", []), now.get("input", []))]
    before, after = dict(_leaves(then)), dict(_leaves(now))
    for name in [*before, *(name for name in after if name not in before)]:
        pair = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if name == "model.answers":
            if not _close(*pair):
                found.append("the model answers a sentence with other numbers")
        elif pair[0] != pair[1] and _RELAXED.get(name.rpartition(".")[2]) != pair:
            found.append(_sentence(name, *pair))
    return found


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting and its value; those within others have names with dots."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{name}.")
        elif name != "input":
            yield name, value


def _sentence(name: str, then: Any, now: Any) -> str:
    if then is _ABSENT:
        return f"{name} was not given, and is {quote(now)} now"
    if now is _ABSENT:
        return f"{name} was {quote(then)}, and is not given now"
    return f"{name} was {quote(then)}, and is {quote(now)} now"


def _of_input(then: list[Any], now: list[Any]) -> Iterator[str]:
    before = {file["name"]: file for file in then}
    after = {file["name"]: file for file in now}
    for name, file in after.items():
        if name not in before:
            yield f"the input {name} was not there"
        elif file != before[name]:
            yield f"the input {name} was another: {_changes(before[name], file)}"
    yield from (f"the input {name} is missing" for name in before if name not in after)
    if then != now and before == after:
        yield "the files of the input are in another order, or some came twice"


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if then.get("quotes") != now.get("quotes"):
        return f"read with{'' if then.get('quotes') is None else 'out'} quotes then"
    # A digest says nothing to who reads it.
    if then.get("size") != now.get("size"):
        return f"{then.get('size')} bytes then, {now.get('size')} now"
    return "as large, with other contents"


def _close(then: Any, now: Any) -> bool:
    return (
        isinstance(then, list)
        and isinstance(now, list)
        and len(then) == len(now)
        and all(
            math.isclose(a, b, rel_tol=SAME_ANSWERS, abs_tol=SAME_ANSWERS)
            for a, b in zip(then, now, strict=True)
        )
    )
