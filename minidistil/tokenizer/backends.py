"""The two backends that split text into tokens: `tokenizers` (Rust), `wordpiece.py`.

Both know nothing of special tokens around a text, of truncation or of padding. Those
are done in `rows.py`, so that nothing shared by threads ever changes.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from minidistil.tokenizer.chunks import ChunkTable
from minidistil.tokenizer.decoding import SPACED, TIDY
from minidistil.tokenizer.vocabulary import AddedToken, Recipe
from minidistil.wordpiece import LONGEST_WORD, WordPiece

if TYPE_CHECKING:
    import tokenizers


# The tokens of one text, as lists (or arrays) of one length:
#   ids       the id of each token in the vocabulary
#   tokens    the token as the vocabulary writes it
#   offsets   the characters of the text (or of the given word) that it stands for
#   word_ids  the number of its word in the text
TextTokens: TypeAlias = dict[str, Sequence[Any]]
COLUMNS = ("ids", "tokens", "offsets", "word_ids")
Encode: TypeAlias = Callable[[list[Any], bool], list[TextTokens]]


class RustTokens(TextTokens):
    """The library makes a new list at every look; here it is made once, if at all."""

    def __init__(self, encoding: tokenizers.Encoding) -> None:
        super().__init__()
        self._encoding = encoding

    def __missing__(self, name: str) -> Any:
        self[name] = getattr(self._encoding, name)
        return self[name]


class LaterTokens(TextTokens):
    """The ids of a text; the rest is made when it is looked at, if at all.

    A pickle holds all of it, and not the backend.
    """

    __slots__ = ("_encode", "_text", "_tokens")

    def __init__(self, ids: array[int], text: str, encode: Encode) -> None:
        super().__init__(ids=ids)
        self._text = text
        self._encode = encode
        self._tokens: TextTokens | None = None

    def __missing__(self, name: str) -> Sequence[Any]:
        if self._tokens is None:
            (self._tokens,) = self._encode([self._text], False)
        self[name] = self._tokens[name]
        return self[name]

    def __reduce__(self) -> Any:
        return dict, ({name: self[name] for name in COLUMNS},)


def build_rust(recipe: Recipe) -> tokenizers.Tokenizer:
    """BERT's pipeline in `tokenizers`.

    Raises:
        ValueError: An added token would get another id than it should have: the library
            numbers them on from the end of the vocabulary.
    """
    rust = import_rust()
    model = rust.models.WordPiece(
        recipe.vocab,
        unk_token=recipe.unk_token,
        max_input_chars_per_word=LONGEST_WORD,
    )
    tokenizer: tokenizers.Tokenizer = rust.Tokenizer(model)
    tokenizer.normalizer = rust.normalizers.BertNormalizer(
        lowercase=recipe.do_lower_case,
        strip_accents=recipe.strip_accents,
        handle_chinese_chars=recipe.tokenize_chinese_chars,
    )
    tokenizer.pre_tokenizer = rust.pre_tokenizers.BertPreTokenizer()
    for token in recipe.added:
        tokenizer.add_tokens([rust_token(token)])
        given = tokenizer.token_to_id(token.content)
        if given != token.id:
            raise ValueError(
                f"added token {token.content!r} has id {token.id}, expected {given}: "
                "added tokens must go on from the end of the vocabulary, without a "
                "hole, behind those that were added before"
            )
    tokenizer.encode_special_tokens = recipe.split_special_tokens
    return tokenizer


def import_rust() -> Any:
    """The library `tokenizers`.

    Raises:
        ImportError: It is version 1.0 or later, which gives no offsets and cannot be
            told how text is split.
    """
    import tokenizers

    if not hasattr(tokenizers, "AddedToken"):
        raise ImportError(
            f"tokenizers {tokenizers.__version__} cannot do what is needed here "
            "(offsets, added tokens): pip install 'tokenizers<1', or use "
            "DistilBertTokenizer(…, backend='python')"
        )
    return tokenizers


def rust_token(token: AddedToken) -> tokenizers.AddedToken:
    """The token as the library has it, where its id is not part of it."""
    made: tokenizers.AddedToken = import_rust().AddedToken(
        token.content, **token.flags()
    )
    return made


def build_whole_rust(
    recipe: Recipe, cls_token: str, sep_token: str, joining: str
) -> tokenizers.Tokenizer:
    """The pipeline with special tokens around texts, and with what decodes."""
    rust = import_rust()
    tokenizer = build_rust(recipe)
    if joining != SPACED:
        tokenizer.decoder = rust.decoders.WordPiece("##", cleanup=joining == TIDY)
    tokenizer.post_processor = rust.processors.TemplateProcessing(
        single=f"{cls_token} $A {sep_token}",
        pair=f"{cls_token} $A {sep_token} $B:1 {sep_token}:1",
        special_tokens=[
            (token, tokenizer.token_to_id(token)) for token in (cls_token, sep_token)
        ],
    )
    return tokenizer


def build_python(recipe: Recipe) -> WordPiece:
    """BERT's pipeline in `wordpiece.py`."""
    literals = [
        token
        for token in recipe.added
        if not (token.special and recipe.split_special_tokens)
    ]
    for token in literals:
        if token.normalized or token.lstrip or token.rstrip or token.single_word:
            raise ValueError(
                f"wordpiece.py takes added tokens literally, but {token} asks for "
                "more; use backend='rust'"
            )
    return WordPiece(
        recipe.vocab,
        specials=frozenset(token.content for token in literals),
        unknown=recipe.unk_token,
        lower_case=recipe.do_lower_case,
        strip_accents=recipe.strip_accents,
        split_cjk=recipe.tokenize_chinese_chars,
    )


class Backend(ABC):
    """What splits text into tokens."""

    # For some added tokens, how they are decoded, where that is not their content.
    written: dict[int, str]

    def __init__(self, recipe: Recipe) -> None:
        self._table = ChunkTable(recipe.added)

    @abstractmethod
    def encode(self, texts: list[Any], split_into_words: bool) -> list[TextTokens]:
        """Tokenize texts, or lists of words; offsets then count within the word."""

    @abstractmethod
    def _ids_of_chunks(self, chunks: list[str]) -> list[Sequence[int]]:
        """The ids of chunks that are not in the table."""

    def ids(self, texts: Sequence[str]) -> list[array[int]]:
        """The ids of each text alone, by a table of what was met before."""
        return self._table.ids_of(texts, self._ids_of_chunks)

    def encode_later(self, texts: list[str]) -> list[TextTokens]:
        """Tokenize texts, most of which are asked for their ids alone."""
        pairs = zip(self.ids(texts), texts, strict=True)
        encode = self._without_table.encode
        return [LaterTokens(ids, text, encode) for ids, text in pairs]

    @cached_property
    def _without_table(self) -> Backend:
        """The same beside an empty table: encodings hold on to it, and to no more."""
        other = copy.copy(self)
        other._table = ChunkTable(())
        return other


class RustBackend(Backend):
    """The library: quick, and the reference for the other one."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._tokenizer = build_rust(recipe)
        # Where one is matched in normalized text, that is what the library decodes.
        self.written = {
            token.id: str(self._tokenizer.id_to_token(token.id))
            for token in recipe.added
            if token.normalized
        }

    def encode(self, texts: list[Any], split_into_words: bool) -> list[TextTokens]:
        """Tokenize texts; see `Backend`."""
        found = self._tokenizer.encode_batch(
            texts, is_pretokenized=split_into_words, add_special_tokens=False
        )
        return [RustTokens(encoding) for encoding in found]

    def _ids_of_chunks(self, chunks: list[str]) -> list[Sequence[int]]:
        # "Fast" is without offsets.
        found = self._tokenizer.encode_batch_fast(chunks, add_special_tokens=False)
        return [encoding.ids for encoding in found]


class PythonBackend(Backend):
    """`wordpiece.py`, for reading along and for checking the other one."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._ids = recipe.ids
        self.written = {}  # it has no such tokens
        self._wordpiece = build_python(recipe)

    def encode(self, texts: list[Any], split_into_words: bool) -> list[TextTokens]:
        """Tokenize texts; see `Backend`."""
        return [
            self._encode_words(text) if split_into_words else self._encode(text)
            for text in texts
        ]

    def _ids_of_chunks(self, chunks: list[str]) -> list[Sequence[int]]:
        return [self._encode(chunk)["ids"] for chunk in chunks]

    def _encode(self, text: str) -> TextTokens:
        pieces = self._wordpiece(text).pieces
        return {
            "ids": [self._ids[piece.text] for piece in pieces],
            "tokens": [piece.text for piece in pieces],
            "offsets": [(piece.start, piece.end) for piece in pieces],
            "word_ids": [piece.word for piece in pieces],
        }

    def _encode_words(self, words: list[str]) -> TextTokens:
        whole: dict[str, list[Any]] = {
            "ids": [],
            "tokens": [],
            "offsets": [],
            "word_ids": [],
        }
        for number, word in enumerate(words):
            encoding = self._encode(word)
            encoding["word_ids"] = [number] * len(encoding["ids"])
            for name, values in encoding.items():
                whole[name] += values
        return {**whole}
