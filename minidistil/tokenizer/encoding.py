"""What a tokenizer returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from minidistil.tokenizer.rows import NOTHING, Frame, Row


class CharSpan(NamedTuple):
    """The characters `start:end` of a text."""

    start: int
    end: int


class BatchEncoding(dict[str, Any]):
    """`input_ids`, `attention_mask` and what else was asked for.

    A dictionary, whose values can be read as attributes too. For one text each value
    is a list, for a batch a list of lists; with `return_tensors` it is a tensor of
    shape (batch, tokens). It also knows where each token came from.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        rows: Sequence[Row] = (),
        frame: Frame = NOTHING,
    ) -> None:
        super().__init__(data)
        self._rows = tuple(rows)
        self._frame = frame

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"this encoding has no {name!r}; it has {', '.join(self) or 'nothing'}"
            ) from None

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move the tensors to `device`, in place; the encoding itself is returned."""
        if not any(hasattr(value, "to") for value in self.values()):
            raise TypeError(
                "this encoding holds no torch tensors; make it with return_tensors='pt'"
            )
        for name, value in self.items():
            if hasattr(value, "to"):
                self[name] = value.to(device, non_blocking=non_blocking)
        return self

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row as they are written in the vocabulary."""
        return self._row(batch_index).column("tokens", self._frame)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The number of each token's word in its text; None for special tokens."""
        return self._row(batch_index).column("word_ids", NOTHING)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """0 for tokens of the first text, 1 of the second, None for special tokens."""
        return self._row(batch_index).constant("sequence_ids")

    def token_to_chars(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> CharSpan | None:
        """The characters that a token stands for; None for a special token.

        With one argument it is the token's place in the first row, with two they are
        the row and the place.
        """
        row, index = _row_and_place(batch_or_token_index, token_index)
        span = self._row(row).column("offsets", NOTHING)[index]
        return None if span is None else CharSpan(*span)

    def char_to_token(
        self,
        batch_or_char_index: int,
        char_index: int | None = None,
        sequence_index: int = 0,
    ) -> int | None:
        """The place of the token that a character is in; None if it is in none.

        `sequence_index` says of which text of a pair the character is.
        """
        row, index = _row_and_place(batch_or_char_index, char_index)
        spans = self._row(row).column("offsets", NOTHING)
        for place, (span, sequence) in enumerate(
            zip(spans, self.sequence_ids(row), strict=True)
        ):
            if sequence == sequence_index and span[0] <= index < span[1]:
                return place
        return None

    def _row(self, index: int) -> Row:
        if not self._rows:
            raise ValueError(
                "this encoding was not made from text (or from an empty batch), so it "
                "does not know its tokens"
            )
        return self._rows[index]


def _row_and_place(first: int, second: int | None) -> tuple[int, int]:
    return (0, first) if second is None else (first, second)


def to_tensors(data: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Every value as a tensor of torch ("pt") or an array of numpy ("np").

    Raises:
        ValueError: The rows of a value are not of one length, or hold no numbers.
        ImportError: numpy was asked for and is not installed.
    """
    convert = _torch_tensor if kind == "pt" else _numpy_array
    tensors = {}
    for name, value in data.items():
        lengths = {len(row) for row in value if isinstance(row, Sequence)}
        if len(lengths) > 1:
            raise ValueError(
                f"{name} has rows of {min(lengths)} to {max(lengths)} tokens, expected "
                "one length for a tensor; pass padding=True (and truncation=True to "
                "shorten what is too long)"
            )
        try:
            tensors[name] = convert(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} cannot become a tensor: {error}") from error
    return tensors


def _torch_tensor(value: Any) -> Any:
    import torch

    tensor = torch.tensor(value)
    # Of no numbers, torch knows neither the type nor the second axis.
    return tensor if tensor.numel() else tensor.reshape(len(value), 0).long()


def _numpy_array(value: Any) -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError(
            "return_tensors='np' needs numpy, which is not installed: pip install "
            "numpy, or use return_tensors='pt'"
        ) from error
    array = np.array(value)
    return array if array.size else array.reshape(len(value), 0).astype(np.int64)
