"""`DistilBertTokenizer`: the call people know, on either backend."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from minidistil.files import write_file
from minidistil.hub import open_checkpoint
from minidistil.hub.upload import PushToHub
from minidistil.tokenizer.backends import (
    Encoding,
    PythonBackend,
    RustBackend,
    build_python,
    tokenizer_json,
)
from minidistil.tokenizer.decoding import close_up, join
from minidistil.tokenizer.encoding import BatchEncoding, to_tensors
from minidistil.tokenizer.inputs import (
    Texts,
    check_keywords,
    collate,
    integer,
    one_of,
    read_texts,
    to_lists,
)
from minidistil.tokenizer.rows import (
    CONSTANT,
    NO_TRUNCATION,
    OFFSETS,
    Frame,
    Padding,
    Truncation,
    count_specials,
)
from minidistil.tokenizer.vocabulary import (
    KINDS,
    POSITIONS,
    AddedToken,
    Recipe,
    read_checkpoint,
    read_vocab_txt,
    vocab_txt,
    with_specials,
)
from minidistil.wordpiece import WordPiece

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
TENSORS = {None: None, "pt": "pt", "np": "np"}
SIDES = {"right": "right", "left": "left"}
BACKENDS = {"rust": RustBackend, "python": PythonBackend}
# The lists that `pad` fills up beside `input_ids`.
PADDED = ("attention_mask", "token_type_ids", "special_tokens_mask")


class DistilBertTokenizer(PushToHub):
    """Turns text into token ids and back.

    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sun", "##ny", "day"]
    >>> tokenizer = DistilBertTokenizer({word: id for id, word in enumerate(words)})
    >>> tokenizer("Sunny day")
    {'input_ids': [2, 5, 6, 7, 3], 'attention_mask': [1, 1, 1, 1, 1]}
    >>> tokenizer.decode([2, 5, 6, 7, 3], skip_special_tokens=True)
    'sunny day'

    It never changes after it is made, so threads can share it. To have other settings
    make another one.
    """

    _own_files = re.compile(
        r"vocab\.txt|tokenizer\.json|tokenizer_config\.json|"
        r"special_tokens_map\.json|added_tokens\.json"
    )

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Mapping[str, int],
        do_lower_case: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        model_max_length: int = POSITIONS,
        *,
        backend: Literal["rust", "python"] = "rust",
        padding_side: Literal["right", "left"] = "right",
        clean_up_tokenization_spaces: bool = False,
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str = "[MASK]",
        added_tokens: Iterable[AddedToken] = (),
    ) -> None:
        """Make a tokenizer from a `vocab.txt`, or from a mapping of tokens to ids.

        Args:
            vocab: The vocabulary, or the path of its file.
            do_lower_case: Whether the vocabulary is an uncased one.
            strip_accents: Whether to drop accents; None: when lower-casing.
            tokenize_chinese_chars: Whether each Chinese character is a word.
            model_max_length: The most tokens that the model takes.
            backend: "rust" (the `tokenizers` library) or "python" (`wordpiece.py`).
            padding_side: Where padding goes unless a call says otherwise.
            clean_up_tokenization_spaces: The default of `decode`'s argument.
            unk_token: Stands for a word that the vocabulary cannot spell.
            sep_token: Stands after each text.
            pad_token: Fills rows up to one length.
            cls_token: Stands before the first text.
            mask_token: Hides a token that the model is to predict.
            added_tokens: Literals beyond the vocabulary.

        Raises:
            ValueError: A special token is missing in the vocabulary, or an id is not
                that of one token.
        """
        if not isinstance(vocab, Mapping):
            vocab = read_vocab_txt(Path(vocab))
        self._named = {
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
        }
        self._recipe = Recipe(
            dict(vocab),
            with_specials(vocab, added_tokens, self._named),
            unk_token,
            do_lower_case,
            strip_accents,
            tokenize_chinese_chars,
        )
        self._ids = self._recipe.ids
        self._tokens = {id: token for token, id in self._ids.items()}
        special = (token.content for token in self._recipe.added if token.special)
        self._specials = dict.fromkeys(special)  # a set that keeps their order

        self.unk_token = unk_token
        self.sep_token = sep_token
        self.pad_token = pad_token
        self.cls_token = cls_token
        self.mask_token = mask_token
        self.unk_token_id = self._ids[unk_token]
        self.sep_token_id = self._ids[sep_token]
        self.pad_token_id = self._ids[pad_token]
        self.cls_token_id = self._ids[cls_token]
        self.mask_token_id = self._ids[mask_token]
        self._token_frame = Frame(cls_token, sep_token, sep_token, pad_token)
        self._id_frame = Frame(*map(self._ids.get, self._token_frame))

        self.do_lower_case = do_lower_case
        self.strip_accents = strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.model_max_length = integer("model_max_length", model_max_length, 0)
        self.padding_side = one_of("padding_side", padding_side, SIDES)
        self.backend = backend
        make = one_of("backend", backend, BACKENDS)
        self._backend: RustBackend | PythonBackend = make(self._recipe)
        self._sealed = True

    def __setattr__(self, name: str, value: object) -> None:
        if "_sealed" in self.__dict__:
            raise AttributeError(
                f"cannot set {name!r}: a tokenizer does not change, so that threads "
                f"can share it; make another one, as in from_pretrained(…, {name}=…)"
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return (
            f"DistilBertTokenizer(vocab_size={self.vocab_size}, "
            f"do_lower_case={self.do_lower_case}, "
            f"model_max_length={self.model_max_length}, backend={self.backend!r})"
        )

    # Files

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        **settings: Any,
    ) -> DistilBertTokenizer:
        """Load the tokenizer of a checkpoint.

        Args:
            source: "tiny" (the bundled one), a repository on the hub, or a folder with
                `vocab.txt` or `tokenizer.json`.
            revision: The branch, tag or commit on the hub.
            token: The access token for the hub.
            cache_dir: Where hub files are kept, if not in the usual place.
            local_files_only: Whether to do without network.
            settings: Arguments of `DistilBertTokenizer` that go before those in the
                files, such as `backend="python"` or `do_lower_case=False`.

        Raises:
            CheckpointNotFoundError: There is no such checkpoint or no vocabulary in it.
            ValueError: The files are broken, or are not those of a BERT tokenizer.
        """
        check_keywords("from_pretrained()", settings, cls.from_pretrained, cls)
        files = open_checkpoint(
            source,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        try:
            return cls(**(read_checkpoint(files) | settings))
        except (ValueError, TypeError) as error:
            raise type(error)(f"the tokenizer of {files}: {error}") from error

    def save_pretrained(self, folder: str | os.PathLike[str]) -> tuple[str, ...]:
        """Write `vocab.txt`, `tokenizer_config.json` and `tokenizer.json`.

        transformers and `tokenizers` read them and give the same results. Returns the
        paths written.
        """
        config = {
            "tokenizer_class": "DistilBertTokenizer",
            **{name: getattr(self, name) for name in KINDS},
            **self._named,
        }
        settings = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        pipeline = tokenizer_json(self._recipe, self.cls_token, self.sep_token)
        files = {
            Path(folder) / "vocab.txt": vocab_txt(self._recipe.vocab),
            Path(folder) / "tokenizer_config.json": settings,
            Path(folder) / "tokenizer.json": pipeline,
        }
        for path, content in files.items():
            write_file(path, content.encode())
        return tuple(map(str, files))

    # Text to ids

    def __call__(
        self,
        text: str | Sequence[Any],
        text_pair: str | Sequence[Any] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = False,
        return_attention_mask: bool | None = True,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        **unknown: Any,
    ) -> BatchEncoding:
        """Encode a text, a pair of texts, or a batch of either.

        Args:
            text: A string, or a list of strings; with `is_split_into_words` a list of
                words, or a list of those. A row of a batch may be a pair of texts.
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
            return_tensors: "pt" for torch, "np" for numpy, None for lists.
            return_token_type_ids: Also give 0 for the first text and 1 for the second.
            return_attention_mask: Give 1 for tokens and 0 for padding.
            return_overflowing_tokens: Give what truncation removes as further rows,
                and `overflow_to_sample_mapping`, the number of each row's text.
            return_special_tokens_mask: Also give 1 for the tokens that were put there.
            return_offsets_mapping: Also give the characters of each token in its text.
            return_length: Also give the number of tokens in each row.
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
        kind = one_of("return_tensors", return_tensors, TENSORS)
        pad = self._padding(padding, max_length, pad_to_multiple_of, padding_side)
        if truncation is None and padding is False and max_length is not None:
            truncation = True
        strategy = one_of("truncation", truncation, TRUNCATIONS)
        shorten = NO_TRUNCATION
        if strategy is not None:
            stride = integer("stride", stride, 0)
            limit = self._max_length(max_length)
            shorten = Truncation(strategy, limit, stride, return_overflowing_tokens)
            pad.check(shorten)
        elif max_length is not None and pad.strategy == "longest":
            warnings.warn(
                f"max_length={max_length} changes nothing here: pass truncation=True "
                "to shorten texts to it, or padding='max_length' to pad to it",
                stacklevel=2,
            )

        texts = read_texts(text, text_pair, is_split_into_words)
        samples = [
            shorten.rows(first, second, add_special_tokens)
            for first, second in self._encode(texts, is_split_into_words)
        ]
        rows = [row for sample in samples for row in sample]
        if any(row.size > self.model_max_length for row in rows):
            warnings.warn(
                f"a row is longer than the {self.model_max_length} tokens that the "
                "model takes; pass truncation=True to shorten it",
                stacklevel=2,
            )
        rows = pad.rows(rows)

        data: dict[str, Any] = {
            "input_ids": [row.column("ids", self._id_frame) for row in rows]
        }
        for name, wanted in {
            "token_type_ids": return_token_type_ids,
            "attention_mask": return_attention_mask is not False,
            "special_tokens_mask": return_special_tokens_mask,
        }.items():
            if wanted:
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
        return BatchEncoding(data, rows, self._token_frame)

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

    def wordpiece(self) -> WordPiece:
        """The same vocabulary and settings in plain Python, to watch each step.

        Raises:
            ValueError: An added token is not a plain literal.
        """
        return build_python(self._recipe)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens stand around one text, or around a pair."""
        return count_specials(pair)

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = True,
        return_tensors: str | None = None,
        **unknown: Any,
    ) -> BatchEncoding:
        """Pad encodings to one length, as a data collator does.

        Args:
            encoded_inputs: One encoding, a batch of them, or a list of encodings, with
                `input_ids`. `attention_mask`, `token_type_ids` and
                `special_tokens_mask` are padded along; other values stay as they are.
            padding: As in a call, and so is what follows.
            max_length: The length that "max_length" pads to.
            pad_to_multiple_of: Round the length up to a multiple of this.
            padding_side: "right" or "left"; by default the tokenizer's.
            return_attention_mask: Make an `attention_mask` if there is none.
            return_tensors: "pt" for torch, "np" for numpy, None for lists.
            unknown: Anything else is a mistake.

        Raises:
            ValueError: There are no `input_ids`, or tensors are asked for and the rows
                differ in length.
        """
        check_keywords("pad()", unknown, self.pad)
        kind = one_of("return_tensors", return_tensors, TENSORS)
        pad = self._padding(padding, max_length, pad_to_multiple_of, padding_side)
        data = collate(encoded_inputs)
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
        if return_attention_mask is not False and "attention_mask" not in data:
            data["attention_mask"] = [[1] * size for size in sizes]
        width = pad.width(sizes)
        fillers = {name: CONSTANT[name][2].pad for name in PADDED}
        for name, filler in {"input_ids": self.pad_token_id, **fillers}.items():
            if name in data:
                data[name] = [pad.fill(row, filler, width) for row in data[name]]
        if kind is not None:
            data = to_tensors(data, kind)
        elif single:
            data = {name: value[0] for name, value in data.items()}
        return BatchEncoding(data)

    def _encode(
        self, texts: Texts, split: bool
    ) -> list[tuple[Encoding, Encoding | None]]:
        """The tokens of the two texts of each row; one batch keeps all cores busy."""
        seconds = [text for text in texts.seconds if text is not None]
        found: Sequence[Encoding] = self._backend.encode(texts.firsts + seconds, split)
        of_seconds = iter(found[len(texts.firsts) :])
        return [
            (first, None if second is None else next(of_seconds))
            for first, second in zip(found, texts.seconds, strict=False)
        ]

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

    # Ids to text

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str | list[str]:
        """The text of ids: an id, a list of ids or a tensor; a batch gives a list.

        Args:
            token_ids: The ids.
            skip_special_tokens: Leave out [CLS], [SEP], [PAD], [UNK], [MASK].
            clean_up_tokenization_spaces: Also close up what spans tokens: "it ' s"
                becomes "it's". None: as the tokenizer was made.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        ids = to_lists(token_ids)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces

        def text_of(ids: list[int]) -> str:
            text = join(self._tokens_of(ids, skip_special_tokens))
            return close_up(text) if clean_up_tokenization_spaces else text

        if isinstance(ids, list) and any(isinstance(row, list) for row in ids):
            return [text_of(row) for row in ids]
        return text_of([ids] if isinstance(ids, int) else ids)

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """The text of each row of ids."""
        if len(sequences) == 0:
            return []
        text = self.decode(sequences, skip_special_tokens, clean_up_tokenization_spaces)
        return [text] if isinstance(text, str) else text

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """Tokens put together to text."""
        return join(tokens)

    def convert_ids_to_tokens(
        self, ids: Any, skip_special_tokens: bool = False
    ) -> str | list[str]:
        """The token of an id, or the tokens of many.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        ids = to_lists(ids)
        if isinstance(ids, int):
            return self._tokens_of([ids], skip=False)[0]
        return self._tokens_of(ids, skip_special_tokens)

    def _tokens_of(self, ids: Iterable[int], skip: bool) -> list[str]:
        tokens = []
        for id in ids:
            if id not in self._tokens:
                raise ValueError(
                    f"there is no token with id {id!r}; expected an integer from 0 to "
                    f"{max(self._tokens)} that is in this tokenizer's vocabulary"
                )
            tokens.append(self._tokens[id])
        return [token for token in tokens if not (skip and token in self._specials)]

    # The vocabulary

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """The id of a token, or the ids of many; the unknown token's for any other."""
        if isinstance(tokens, str):
            return self._ids.get(tokens, self.unk_token_id)
        return [self._ids.get(token, self.unk_token_id) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """A copy of the vocabulary, added tokens included: token to id."""
        return dict(self._ids)

    @property
    def vocab_size(self) -> int:
        """The number of tokens without the added ones; `len()` counts all."""
        return len(self._recipe.vocab)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens by name."""
        return dict(self._named)

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, those that were added included."""
        return list(dict.fromkeys((*self._named.values(), *self._specials)))

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        return [self._ids[token] for token in self.all_special_tokens]
