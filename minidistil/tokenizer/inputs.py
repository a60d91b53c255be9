"""Check the arguments of a call, and sort out its texts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from minidistil.messages import as_integer, quote, unknown_keyword
from minidistil.wordpiece import whole_characters

# What people know from elsewhere, and what does it here.
INSTEAD = {
    "text_target": "an encoder has no target texts: tokenize them in a call of its own",
    "text_pair_target": "an encoder has no target texts",
    "vocab_file": "pass the path of vocab.txt as the first argument",
    "tokenizer_file": "use DistilBertTokenizer.from_pretrained(folder)",
    "tokenizer_object": "save it to a folder as tokenizer.json; use from_pretrained",
    "lowercase": "use do_lower_case",
    "force_download": "`hf download REPO --force-download` fetches a repository anew",
    "proxies": "set HTTPS_PROXY in the environment",
    "add_prefix_space": "BERT's tokenizer does the same with and without a space",
    "chat_template": "DistilBERT is an encoder: there is no chat",
    "filename_prefix": "save to a folder of its own",
    "push_to_hub": "call tokenizer.push_to_hub(repository)",
}

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
    text, text_pair = as_list(text), as_list(text_pair)
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
    return not split or (len(text) > 0 and isinstance(as_list(text[0]), (list, tuple)))


def as_list(value: Any) -> Any:
    """A column or an array of texts as a list; anything else as it is.

    The columns of pandas, numpy, pyarrow, polars and datasets are known by what they
    can do: none of these libraries is needed here.
    """
    if isinstance(value, (str, bytes, list, tuple, Mapping)):
        return value
    for name in ("tolist", "to_pylist", "to_list"):
        if callable(getattr(value, name, None)):
            return getattr(value, name)()
    return list(value) if isinstance(value, Sequence) else value


def _read_row(row: Any, name: str, split: bool) -> tuple[Text, Text | None]:
    """A row of a batch is a text, or a pair of texts."""
    row = as_list(row)
    text_kind: type | tuple[type, ...] = (list, tuple) if split else str
    is_pair = isinstance(row, (list, tuple)) and len(row) == 2
    if is_pair and all(isinstance(part, text_kind) for part in row):
        return _read(row[0], f"{name}[0]", split), _read(row[1], f"{name}[1]", split)
    return _read(row, name, split), None


def _read(text: Any, name: str, split: bool) -> Text:
    if not split:
        return read_string(text, name)
    text = as_list(text)
    if not isinstance(text, (list, tuple)):
        raise TypeError(
            f"{name} is {_show(text)}, expected a list of words; for text that is not "
            "split into words leave out is_split_into_words"
        )
    return [read_string(word, f"{name}[{i}]") for i, word in enumerate(text)]


def read_list(texts: Any, name: str) -> list[Any] | tuple[Any, ...]:
    """A batch of texts as a list; raises `TypeError` if it is none."""
    texts = as_list(texts)
    if not isinstance(texts, (list, tuple)):
        raise TypeError(f"{name} is {_show(texts)}, expected a list of texts")
    return texts


def read_string(text: Any, name: str) -> str:
    """A text as it is; raises `TypeError` if it is none, or not whole."""
    if isinstance(text, str):
        return text if text.isascii() else whole_characters(text)
    hint = "many texts come in a list"
    if isinstance(text, Iterator):
        hint = "make a list of what it gives, as in list(texts)"
    if isinstance(text, (list, tuple)):
        hint = "for a text that is split into words pass is_split_into_words=True"
    raise TypeError(f"{name} is {_show(text)}, expected a string; {hint}")


def _show(value: object) -> str:
    return f"{quote(value)} ({type(value).__name__})"


def kind_of_tensors(values: Any) -> str | None:
    """Which tensors rows of ids came as, "pt" or "np"; None for lists."""
    first = values[0] if isinstance(values, (list, tuple)) and values else values
    if not hasattr(first, "tolist") or not getattr(first, "shape", ()):
        return None
    return "pt" if hasattr(first, "numpy") else "np"


def one_of(name: str, value: Any, allowed: Mapping[Any, Any]) -> Any:
    """What `allowed` says for `value`; a `ValueError` if that is not among its keys."""
    for key, meaning in allowed.items():
        if value is key or (isinstance(value, str) and value == key):
            return meaning
    choices = ", ".join(repr(key) for key in allowed)
    raise ValueError(f"{name} is {value!r}, expected one of {choices}")


def integer(name: str, value: Any, minimum: int) -> int:
    """`value`, if it is an integer (or else `TypeError`) of at least `minimum`.

    Those of numpy are integers too, and become Python's own.
    """
    number = as_integer(value)
    if number is None:
        raise TypeError(f"{name} is {_show(value)}, expected an integer")
    if number < minimum:
        raise ValueError(f"{name} is {number}, expected {minimum} or more")
    return number


def check_keywords(
    where: str, given: Iterable[str], *calls: Callable[..., Any]
) -> None:
    """Raise `TypeError` for a keyword that no call takes: what to use, or the nearest.

    Args:
        where: The function, as an error calls it.
        given: The keywords.
        calls: Those that take them.
    """
    for keyword in given:
        if keyword in INSTEAD:
            raise TypeError(f"{where} has no argument {keyword!r}; {INSTEAD[keyword]}")
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
) -> tuple[dict[str, Any], str | None]:
    """Encodings as lists by name, whether they came one by one or together.

    Also "pt" or "np" if the ids came as tensors or arrays.
    """
    if not isinstance(encodings, Mapping):
        names = encodings[0].keys() if encodings else ("input_ids",)
        encodings = {name: [one[name] for one in encodings] for name in names}
    if "input_ids" not in encodings:
        raise ValueError(
            f"the encodings hold {', '.join(encodings) or 'nothing'}, expected "
            "input_ids among them"
        )
    kind = kind_of_tensors(encodings["input_ids"])
    return {name: to_lists(values) for name, values in encodings.items()}, kind
