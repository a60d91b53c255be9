"""What a tokenizer returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidistil.tokenizer.inputs import one_of
from minidistil.tokenizer.row_encoding import CharSpan, Encoding, TokenSpan
from minidistil.tokenizer.tensors import TENSORS, to_tensors


class BatchEncoding(dict[Any, Any]):
    """`input_ids`, `attention_mask` and what else was asked for.

    A dictionary, whose values can be read as attributes too. For one text each value
    is a list, for a batch a list of lists; with `return_tensors` it is a tensor of
    shape (batch, tokens). It also knows where each token came from: ``encoding[0]`` is
    the first row.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Any = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        """Make one of values by name.

        Args:
            data: The values.
            encoding: For each row an `Encoding` (or one of `tokenizers`), or one alone.
            tensor_type: See `convert_to_tensors`, and so for what follows.
            prepend_batch_axis: Whether the values are those of one row.
            n_sequences: 1 for texts, 2 for pairs; by default what the first row says.
        """
        super().__init__(data or {})
        if encoding is not None and not isinstance(encoding, (list, tuple)):
            encoding = [encoding]
        self._encodings: list[Encoding] | None = (
            None if encoding is None else [*encoding]
        )
        if n_sequences is None and self._encodings:
            n_sequences = self._encodings[0].n_sequences
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"this encoding has no {name!r}; it has {', '.join(self) or 'nothing'}"
            ) from None

    def __getitem__(self, key: Any) -> Any:
        """A value by its name, the row of a number, or the rows of a slice."""
        if isinstance(key, str):
            return super().__getitem__(key)
        if self._encodings is not None:
            return self._encodings[key]
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.items()}
        raise KeyError(
            f"this encoding was not made from text and has no row {key!r}; it has "
            f"{', '.join(self) or 'nothing'}"
        )

    def copy(self) -> BatchEncoding:
        """Another with the same values."""
        return BatchEncoding(self, self._encodings, n_sequences=self._n_sequences)

    @property
    def data(self) -> dict[str, Any]:
        """The dictionary of the values, which this is."""
        return self

    @property
    def encodings(self) -> list[Encoding] | None:
        """One for each row; None if it was not made from text."""
        return self._encodings

    @property
    def is_fast(self) -> bool:
        """Whether it knows where its tokens came from."""
        return self._encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """1 for texts, 2 for pairs, None if that is not known."""
        return self._n_sequences

    def convert_to_tensors(
        self, tensor_type: str | None = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Make the values tensors, in place; the encoding itself is returned.

        Args:
            tensor_type: "pt" for torch, "np" for numpy; None does nothing.
            prepend_batch_axis: Whether the values are those of one row: (tokens,)
                becomes (1, tokens).

        Raises:
            ValueError: There is no such type, or rows differ in length.
        """
        if tensor_type is None:
            return self
        values = {
            name: [value] if prepend_batch_axis else value
            for name, value in self.items()
        }
        kind = one_of("tensor_type", tensor_type, TENSORS)
        self.update(to_tensors(values, kind))
        return self

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

    # Where tokens came from. With one number these are of the first row, with two the
    # first number is the row's.

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row as they are written in the vocabulary."""
        return self._row(batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The number of each token's word in its text; None for special tokens."""
        return self._row(batch_index).word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """0 for tokens of the first text, 1 of the second, None for special tokens."""
        return self._row(batch_index).sequence_ids

    def token_to_sequence(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """0 for a token of the first text, 1 of the second; None for a special one."""
        row, token = _row_and_place(batch_or_token_index, token_index)
        return self._row(row).token_to_sequence(self._token(row, token))

    def token_to_word(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """The number of a token's word in its text; None for a special token."""
        row, token = _row_and_place(batch_or_token_index, token_index)
        return self._row(row).token_to_word(self._token(row, token))

    def token_to_chars(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> CharSpan | None:
        """The characters that a token stands for; None for a special token."""
        row, token = _row_and_place(batch_or_token_index, token_index)
        span = self._row(row).token_to_chars(self._token(row, token))
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self,
        batch_or_word_index: int,
        word_index: int | None = None,
        sequence_index: int = 0,
    ) -> TokenSpan | None:
        """The tokens of a word of a text; None if there is no such word."""
        row, word = _row_and_place(batch_or_word_index, word_index)
        span = self._row(row).word_to_tokens(word, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self,
        batch_or_word_index: int,
        word_index: int | None = None,
        sequence_index: int = 0,
    ) -> CharSpan | None:
        """The characters of a word in its text; None if there is no such word."""
        row, word = _row_and_place(batch_or_word_index, word_index)
        span = self._row(row).word_to_chars(word, sequence_index)
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
        row, char = _row_and_place(batch_or_char_index, char_index)
        return self._row(row).char_to_token(char, sequence_index)

    def char_to_word(
        self,
        batch_or_char_index: int,
        char_index: int | None = None,
        sequence_index: int = 0,
    ) -> int | None:
        """The number of the word that a character is in; None if it is in none."""
        row, char = _row_and_place(batch_or_char_index, char_index)
        return self._row(row).char_to_word(char, sequence_index)

    def _row(self, index: int) -> Encoding:
        if not self._encodings:
            raise ValueError(
                "this encoding was not made from text (or from an empty batch), so it "
                "does not know its tokens"
            )
        return self._encodings[index]

    def _token(self, row: int, token: int) -> int:
        """The place of a token; a negative one counts from the end, as in lists."""
        return token if token >= 0 else len(self._row(row)) + token


def _row_and_place(first: int, second: int | None) -> tuple[int, int]:
    return (0, first) if second is None else (first, second)
