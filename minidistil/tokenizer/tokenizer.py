"""`DistilBertTokenizer`: the call people know, on either backend."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from minidistil.tokenizer.backends import TextTokens
from minidistil.tokenizer.encoding import BatchEncoding
from minidistil.tokenizer.framing import Framing
from minidistil.tokenizer.inputs import (
    Texts,
    check_keywords,
    collate,
    integer,
    one_of,
    read_list,
    read_string,
    read_texts,
)
from minidistil.tokenizer.row_encoding import Encoding
from minidistil.tokenizer.rows import (
    CONSTANT,
    NO_TRUNCATION,
    OFFSETS,
    Padding,
    Truncation,
)
from minidistil.tokenizer.state import State
from minidistil.tokenizer.tensors import TENSORS, to_tensors
from minidistil.tokenizer.words import SIDES

PADDINGS = {
    False: None,
    True: "longest",
    "longest": "longest",
    "max_length": "max_length",
    "do_not_pad": None,
}
TRUNCATIONS = {
    None: None,
    False: None,
    True: "longest_first",
    "longest_first": "longest_first",
    "only_first": "only_first",
    "only_second": "only_second",
    "do_not_truncate": None,
}
# The lists that `pad` fills up beside `input_ids`.
PADDED = ("attention_mask", "token_type_ids", "special_tokens_mask")


class DistilBertTokenizer(Framing):
    """Turns text into token ids and back.

    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sun", "##ny", "day"]
    >>> tokenizer = DistilBertTokenizer({word: id for id, word in enumerate(words)})
    >>> tokenizer("Sunny day")
    {'input_ids': [2, 5, 6, 7, 3], 'attention_mask': [1, 1, 1, 1, 1]}
    >>> tokenizer.decode([2, 5, 6, 7, 3], skip_special_tokens=True)
    'sunny day'

    No call changes it, so threads can share it. `add_tokens` and the like do, all at
    once: a call that goes on meanwhile uses the words of before or of after.
    """

    def __repr__(self) -> str:
        return (
            f"DistilBertTokenizer(vocab_size={self.vocab_size}, "
            f"do_lower_case={self.do_lower_case}, "
            f"model_max_length={self.model_max_length}, backend={self.backend!r})"
        )

    # Text to ids

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        truncation_side: str | None = None,
        split_special_tokens: bool | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **unknown: Any,
    ) -> BatchEncoding:
        """Encode a text, a pair of texts, or a batch of either.

        Args:
            text: A string, or a list of strings; with `is_split_into_words` a list of
                words, or a list of those. A row of a batch may be a pair of texts. A
                column of pandas, numpy, pyarrow or datasets is a list, too.
            text_pair: The second text or texts, where there are two.
            add_special_tokens: Whether to put [CLS] and [SEP] around texts.
            padding: True or "longest" pads to the longest row, "max_length" to
                `max_length` or else to `model_max_length`.
            truncation: True or "longest_first" shortens the longer text of a row
                first, "only_first" and "only_second" just that one. None is False,
                unless a `max_length` without padding asks for truncation.
            max_length: The most tokens in a row, special ones included; by default
                `model_max_length`.
            stride: How many tokens two windows share (`return_overflowing_tokens`).
            is_split_into_words: Whether texts come as lists of words.
            pad_to_multiple_of: Round the padded length up to a multiple of this.
            padding_side: "right" or "left"; by default the tokenizer's.
            truncation_side: Which end of a text is removed, "right" or "left"; by
                default the tokenizer's.
            split_special_tokens: Whether a text that spells "[SEP]" is just text; by
                default the tokenizer's.
            return_tensors: "pt" for torch, "np" for numpy, None for lists.
            return_token_type_ids: Also give 0 for the first text and 1 for the second.
                None: if it is among `model_input_names`, and so for the next.
            return_attention_mask: Give 1 for tokens and 0 for padding.
            return_overflowing_tokens: Give what truncation removes as further rows,
                and `overflow_to_sample_mapping`, the number of each row's text.
            return_special_tokens_mask: Also give 1 for the tokens that were put there.
            return_offsets_mapping: Also give the characters of each token in its text.
            return_length: Also give the number of tokens in each row.
            verbose: Whether to warn.
            unknown: Anything else is a mistake.

        Returns:
            Lists of numbers: (tokens,) for one text; (batch, tokens) for a batch, and
            for one text with tensors or overflowing tokens.

        Raises:
            TypeError: The text is no text, or the argument does not exist.
            ValueError: An argument has no such value, or they do not fit together.

        Warns:
            UserWarning: A row is longer than the model takes, and is not truncated.
        """
        check_keywords("the tokenizer", unknown, self.__call__)
        state = self._state
        kind = one_of("return_tensors", return_tensors, TENSORS)
        pad = self._padding(padding, max_length, pad_to_multiple_of, padding_side)
        if truncation is None and padding is False and max_length is not None:
            truncation = True
        strategy = one_of("truncation", truncation, TRUNCATIONS)
        shorten = NO_TRUNCATION
        if strategy is not None:
            stride = integer("stride", stride, 0)
            limit = self._max_length(max_length)
            side = one_of(
                "truncation_side", truncation_side or self.truncation_side, SIDES
            )
            shorten = Truncation(
                strategy, limit, stride, return_overflowing_tokens, side
            )
            pad.check(shorten)
        elif max_length is not None and pad.strategy == "longest" and verbose:
            warnings.warn(
                f"max_length={max_length} changes nothing here: pass truncation=True "
                "to shorten texts to it, or padding='max_length' to pad to it",
                stacklevel=2,
            )

        texts = read_texts(text, text_pair, is_split_into_words)
        tokens = _encode(
            state,
            texts,
            split_special_tokens,
            split=is_split_into_words,
            offsets=return_offsets_mapping,
        )
        samples = [
            shorten.rows(first, second, add_special_tokens) for first, second in tokens
        ]
        rows = [row for sample in samples for row in sample]
        most = self.model_max_length
        if verbose and any(row.size > most for row in rows):
            warnings.warn(
                f"a row is longer than the {most} tokens that the "
                "model takes; pass truncation=True to shorten it",
                stacklevel=2,
            )
        rows = pad.rows(rows)

        data: dict[str, Any] = {
            "input_ids": [row.column("ids", state.id_frame) for row in rows]
        }
        for name, wanted in {
            "token_type_ids": return_token_type_ids,
            "attention_mask": return_attention_mask,
            "special_tokens_mask": return_special_tokens_mask,
        }.items():
            if name in self.model_input_names if wanted is None else wanted:
                data[name] = [row.constant(name) for row in rows]
        if return_offsets_mapping:
            data["offset_mapping"] = [row.column("offsets", OFFSETS) for row in rows]
        if return_length:
            data["length"] = [row.size + row.padding for row in rows]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = [
                number for number, sample in enumerate(samples) for _ in sample
            ]
        if kind is not None:
            data = to_tensors(data, kind)
        elif texts.single and not return_overflowing_tokens:
            # `length` stays a list, as in transformers.
            data = {
                name: value[0] if isinstance(value[0], list) else value
                for name, value in data.items()
            }
        frames = state.token_frame, state.id_frame
        return BatchEncoding(data, [Encoding(row, *frames) for row in rows])

    def ids_of_texts(self, texts: Sequence[str]) -> list[array[int]]:
        """The ids of each text alone: no special tokens, no truncation, no warning.

        Much quicker than a call: nothing is made but an array of 32-bit numbers for
        each text.

        Raises:
            TypeError: It is no list of texts.
        """
        texts = read_list(texts, "texts")
        try:
            return self._state.backend.ids(texts)
        except TypeError:
            for number, text in enumerate(texts):
                read_string(text, f"texts[{number}]")
            raise

    def encode(
        self, text: Any, text_pair: Any = None, **options: Any
    ) -> list[int] | list[list[int]] | Any:
        """Only the `input_ids` of a call with the same arguments."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(
        self,
        text: Any,
        pair: Any = None,
        add_special_tokens: bool = False,
        **options: Any,
    ) -> list[str]:
        """The pieces of a text (and of a second one) as the vocabulary writes them."""
        options["add_special_tokens"] = add_special_tokens
        return self(text, pair, **options).tokens()

    def encode_plus(
        self, text: Any, text_pair: Any = None, **options: Any
    ) -> BatchEncoding:
        """The same as a call."""
        return self(text, text_pair, **options)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Any, **options: Any
    ) -> BatchEncoding:
        """The same as a call with a batch."""
        return self(batch_text_or_text_pairs, **options)

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
        **unknown: Any,
    ) -> BatchEncoding:
        """Pad encodings to one length, as a data collator does.

        Args:
            encoded_inputs: One encoding, a batch of them, or a list of encodings, with
                `input_ids`. `attention_mask`, `token_type_ids` and
                `special_tokens_mask` are padded along, and for tensors also
                `offset_mapping`; other values stay as they are.
            padding: As in a call, and so is what follows.
            max_length: The length that "max_length" pads to.
            pad_to_multiple_of: Round the length up to a multiple of this.
            padding_side: "right" or "left"; by default the tokenizer's.
            return_attention_mask: Make an `attention_mask` if there is none.
            return_tensors: "pt" for torch, "np" for numpy; None for what the ids are.
            verbose: Taken for transformers' sake.
            unknown: Anything else is a mistake.

        Raises:
            ValueError: There are no `input_ids`, or tensors are asked for and the rows
                differ in length.
        """
        check_keywords("pad()", unknown, self.pad)
        kind = one_of("return_tensors", return_tensors, TENSORS)
        pad = self._padding(padding, max_length, pad_to_multiple_of, padding_side)
        data, given = collate(encoded_inputs)
        kind = kind or given
        single = any(isinstance(id, int) for id in data["input_ids"])
        if single:
            data = {name: [value] for name, value in data.items()}
        sizes = [len(row) for row in data["input_ids"]]
        for name in {*PADDED} & data.keys():
            if [len(row) for row in data[name]] != sizes:
                raise ValueError(
                    f"{name} has rows of {[len(row) for row in data[name]]} values, "
                    f"expected {sizes} as in input_ids"
                )
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names
        if return_attention_mask and "attention_mask" not in data:
            data["attention_mask"] = [[1] * size for size in sizes]
        width = pad.width(sizes)
        fillers = {name: CONSTANT[name][2].pad for name in PADDED}
        for name, filler in {"input_ids": self.pad_token_id, **fillers}.items():
            if name in data:
                data[name] = [pad.fill(row, filler, width) for row in data[name]]
        if kind is not None:
            if "offset_mapping" in data:  # as masking whole words needs it
                rows = data["offset_mapping"]
                data["offset_mapping"] = [pad.fill(row, (0, 0), width) for row in rows]
            data = to_tensors(data, kind)
        elif single:
            data = {name: value[0] for name, value in data.items()}
        return BatchEncoding(data)

    def _max_length(self, max_length: int | None) -> int:
        if max_length is None:
            return self.model_max_length
        return integer("max_length", max_length, 0)

    def _padding(
        self, padding: Any, max_length: Any, multiple: Any, side: Any
    ) -> Padding:
        return Padding(
            one_of("padding", padding, PADDINGS),
            self._max_length(max_length),
            1 if multiple is None else integer("pad_to_multiple_of", multiple, 1),
            one_of("padding_side", side or self.padding_side, SIDES),
        )


def _encode(
    state: State,
    texts: Texts,
    split_special_tokens: bool | None,
    *,
    split: bool,
    offsets: bool,
) -> list[tuple[TextTokens, TextTokens | None]]:
    """The tokens of the two texts of each row; one batch keeps all cores busy."""
    backend = state.backend
    if split_special_tokens not in (None, state.recipe.split_special_tokens):
        backend = state.other_backend
    every = texts.firsts + [text for text in texts.seconds if text is not None]
    if split or offsets:
        found = backend.encode(every, split)
    else:
        found = backend.encode_later(every)
    of_seconds = iter(found[len(texts.firsts) :])
    return [
        (first, None if second is None else next(of_seconds))
        for first, second in zip(found, texts.seconds, strict=False)
    ]
