"""Check the arguments of a call, and sort out its texts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from minidistil.messages import quote, unknown_keyword
from minidistil.wordpiece import whole_characters

Text: TypeAlias = "str | list[str]"  # a text, or its words


class Texts(NamedTuple):
    """A batch: the first and (or None) the second text of each row."""

    firsts: list[Any]
    seconds: list[Any]
    single: bool  # one text was given, not a batch


def read_texts(text: Any, text_pair: Any, split: bool) -> Texts:
    """Sort out what was given as `text` and `text_pair`.

    As in transformers, an empty `text_pair` beside one text is no text at all, while
    in a batch it is an empty one.
    """
    if not _is_batch(text, split):
        pair = None if text_pair is None else _read(text_pair, "text_pair", split)
        return Texts([_read(text, "text", split)], [pair or None], single=True)
    if text_pair is None:
        rows = [_read_row(row, f"text[{i}]", split) for i, row in enumerate(text)]
        return Texts([row[0] for row in rows], [row[1] for row in rows], single=False)
    if not isinstance(text_pair, (list, tuple)):
        raise TypeError(
            f"text is a batch of {len(text)} but text_pair is {_show(text_pair)}, "
            "expected a list of as many texts"
        )
    if len(text_pair) != len(text):
        raise ValueError(
            f"text holds {len(text)} texts and text_pair {len(text_pair)}, expected "
            "one text_pair for each text"
        )
    return Texts(
        [_read(one, f"text[{i}]", split) for i, one in enumerate(text)],
        [_read(one, f"text_pair[{i}]", split) for i, one in enumerate(text_pair)],
        single=False,
    )


def _is_batch(text: Any, split: bool) -> bool:
    if not isinstance(text, (list, tuple)):
        return False
    return not split or (len(text) > 0 and isinstance(text[0], (list, tuple)))


def _read_row(row: Any, name: str, split: bool) -> tuple[Text, Text | None]:
    """A row of a batch is a text, or a pair of texts."""
    text_kind: type | tuple[type, ...] = (list, tuple) if split else str
    is_pair = isinstance(row, (list, tuple)) and len(row) == 2
    if is_pair and all(isinstance(part, text_kind) for part in row):
        return _read(row[0], f"{name}[0]", split), _read(row[1], f"{name}[1]", split)
    return _read(row, name, split), None


def _read(text: Any, name: str, split: bool) -> Text:
    if not split:
        return _read_string(text, name)
    if not isinstance(text, (list, tuple)):
        raise TypeError(
            f"{name} is {_show(text)}, expected a list of words; for text that is not "
            "split into words leave out is_split_into_words"
        )
    return [_read_string(word, f"{name}[{i}]") for i, word in enumerate(text)]


def _read_string(text: Any, name: str) -> str:
    if isinstance(text, str):
        return whole_characters(text)
    hint = "many texts come in a list"
    if isinstance(text, (list, tuple)):
        hint = "for a text that is split into words pass is_split_into_words=True"
    raise TypeError(f"{name} is {_show(text)}, expected a string; {hint}")


def _show(value: object) -> str:
    return f"{quote(value)} ({type(value).__name__})"


def one_of(name: str, value: Any, allowed: Mapping[Any, Any]) -> Any:
    """What `allowed` says for `value`; a `ValueError` if that is not among its keys."""
    for key, meaning in allowed.items():
        if value is key or (isinstance(value, str) and value == key):
            return meaning
    choices = ", ".join(repr(key) for key in allowed)
    raise ValueError(f"{name} is {value!r}, expected one of {choices}")


def integer(name: str, value: Any, minimum: int) -> int:
    """`value`, if it is an integer (or else `TypeError`) of at least `minimum`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {_show(value)}, expected an integer")
    if value < minimum:
        raise ValueError(f"{name} is {value}, expected {minimum} or more")
    return value


def check_keywords(
    where: str, given: Iterable[str], *calls: Callable[..., Any]
) -> None:
    """Raise `TypeError` for a keyword that no call takes, with the nearest they do."""
    for keyword in given:
        known = [
            parameter.name
            for call in calls
            for parameter in inspect.signature(call).parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        if keyword not in known:
            raise unknown_keyword([keyword], known, where)


def to_lists(values: Any) -> Any:
    """Tensors and arrays, also within lists, as lists of numbers."""
    if hasattr(values, "tolist"):
        return values.tolist()
    if isinstance(values, (list, tuple)):
        return [to_lists(one) for one in values]
    return values


def collate(
    encodings: Mapping[str, Any] | Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Encodings as lists by name, whether they came one by one or together."""
    if not isinstance(encodings, Mapping):
        names = encodings[0].keys() if encodings else ("input_ids",)
        encodings = {name: [one[name] for one in encodings] for name in names}
    if "input_ids" not in encodings:
        raise ValueError(
            f"the encodings hold {', '.join(encodings) or 'nothing'}, expected "
            "input_ids among them"
        )
    return {name: to_lists(values) for name, values in encodings.items()}
