"""The two engines that cut text into pieces: `tokenizers` in Rust, and `wordpiece.py`.

Both know nothing of special tokens around a text, of truncation or of padding. Those
are done in `rows.py`, so that nothing shared by threads ever changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from minidistil.tokenizer.vocabulary import Recipe
from minidistil.wordpiece import LONGEST_WORD, WordPiece

if TYPE_CHECKING:
    import tokenizers


class Pieces(Protocol):
    """The pieces of one text: four lists of one length."""

    def __len__(self) -> int:
        """Their number."""

    @property
    def ids(self) -> list[int]:
        """The number of each piece in the vocabulary."""

    @property
    def tokens(self) -> list[str]:
        """Each piece as it is written there."""

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The characters of the raw text (or of the given word) it stands for."""

    @property
    def word_ids(self) -> list[int | None]:
        """The number of its word in the text."""


class Engine(Protocol):
    """Cuts a batch of texts into pieces."""

    def cut(self, texts: Sequence[str]) -> Sequence[Pieces]:
        """The pieces of each text."""

    def cut_words(self, texts: Sequence[Sequence[str]]) -> Sequence[Pieces]:
        """The pieces of each text, given as words; offsets count within the word."""


def build_rust(recipe: Recipe) -> tokenizers.Tokenizer:
    """BERT's pipeline in `tokenizers`.

    Raises:
        ValueError: An added token would get another id than it should have: the library
            numbers them on from the end of the vocabulary.
    """
    from tokenizers import AddedToken as RustToken, Tokenizer
    from tokenizers.models import WordPiece as RustWordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    tokenizer = Tokenizer(
        RustWordPiece(
            recipe.vocab,
            unk_token=recipe.unk_token,
            max_input_chars_per_word=LONGEST_WORD,
        )
    )
    tokenizer.normalizer = BertNormalizer(
        lowercase=recipe.do_lower_case,
        strip_accents=recipe.strip_accents,
        handle_chinese_chars=recipe.tokenize_chinese_chars,
    )
    tokenizer.pre_tokenizer = BertPreTokenizer()
    for token in recipe.added:
        rust_token = RustToken(
            token.content,
            single_word=token.single_word,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            normalized=token.normalized,
            special=token.special,
        )
        tokenizer.add_tokens([rust_token])
        given = tokenizer.token_to_id(token.content)
        if given != token.id:
            raise ValueError(
                f"added token {token.content!r} has id {token.id}, expected {given}: "
                "added tokens must go on from the end of the vocabulary, without a hole"
            )
    return tokenizer


def tokenizer_json(recipe: Recipe, cls_token: str, sep_token: str) -> str:
    """The pipeline as a `tokenizer.json`, special tokens around texts included."""
    from tokenizers.decoders import WordPiece as RustDecoder
    from tokenizers.processors import TemplateProcessing

    tokenizer = build_rust(recipe)
    tokenizer.decoder = RustDecoder(prefix="##")
    tokenizer.post_processor = TemplateProcessing(
        single=f"{cls_token} $A {sep_token}",
        pair=f"{cls_token} $A {sep_token} $B:1 {sep_token}:1",
        special_tokens=[
            (token, tokenizer.token_to_id(token)) for token in (cls_token, sep_token)
        ],
    )
    return tokenizer.to_str(pretty=True)


class RustPieces:
    """`Pieces` of the library, which makes a new list at every look; here once."""

    def __init__(self, encoding: tokenizers.Encoding) -> None:
        self._encoding = encoding

    def __len__(self) -> int:
        return len(self._encoding)

    @cached_property
    def ids(self) -> list[int]:
        """The number of each piece in the vocabulary."""
        return self._encoding.ids

    @cached_property
    def tokens(self) -> list[str]:
        """Each piece as it is written there."""
        return self._encoding.tokens

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """The characters it stands for."""
        return self._encoding.offsets

    @cached_property
    def word_ids(self) -> list[int | None]:
        """The number of its word in the text."""
        return self._encoding.word_ids


class RustEngine:
    """The library's engine; quick, and the reference for the other one."""

    def __init__(self, recipe: Recipe) -> None:
        self._tokenizer = build_rust(recipe)

    def cut(self, texts: Sequence[str]) -> Sequence[Pieces]:
        """The pieces of each text."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [RustPieces(encoding) for encoding in found]

    def cut_words(self, texts: Sequence[Sequence[str]]) -> Sequence[Pieces]:
        """The pieces of each text, given as words; offsets count within the word."""
        found = self._tokenizer.encode_batch(
            [list(words) for words in texts],
            is_pretokenized=True,
            add_special_tokens=False,
        )
        return [RustPieces(encoding) for encoding in found]


def build_python(recipe: Recipe) -> WordPiece:
    """BERT's pipeline in `wordpiece.py`.

    Raises:
        ValueError: An added token asks for more than to be found literally.
    """
    for token in recipe.added:
        if token.normalized or token.lstrip or token.rstrip or token.single_word:
            raise ValueError(
                f"wordpiece.py takes added tokens literally, but {token} asks for "
                "more; use backend='rust'"
            )
    return WordPiece(
        recipe.vocab,
        specials=frozenset(token.content for token in recipe.added),
        unknown=recipe.unk_token,
        lower_case=recipe.do_lower_case,
        strip_accents=recipe.strip_accents,
        split_cjk=recipe.tokenize_chinese_chars,
    )


@dataclass(frozen=True)
class PythonPieces:
    """`Pieces` as plain lists."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]

    def __len__(self) -> int:
        return len(self.ids)


class PythonEngine:
    """`wordpiece.py`, for reading along and for checking the other one."""

    def __init__(self, recipe: Recipe) -> None:
        self._ids = recipe.vocab | {token.content: token.id for token in recipe.added}
        self._wordpiece = build_python(recipe)

    def cut(self, texts: Sequence[str]) -> Sequence[Pieces]:
        """The pieces of each text."""
        return [self._cut(text) for text in texts]

    def cut_words(self, texts: Sequence[Sequence[str]]) -> Sequence[Pieces]:
        """The pieces of each text, given as words; offsets count within the word."""
        return [self._join([self._cut(word) for word in words]) for words in texts]

    def _cut(self, text: str) -> PythonPieces:
        pieces = self._wordpiece(text).pieces
        return PythonPieces(
            [self._ids[piece.text] for piece in pieces],
            [piece.text for piece in pieces],
            [(piece.start, piece.end) for piece in pieces],
            [piece.word for piece in pieces],
        )

    @staticmethod
    def _join(words: Sequence[PythonPieces]) -> PythonPieces:
        return PythonPieces(
            [id for word in words for id in word.ids],
            [token for word in words for token in word.tokens],
            [span for word in words for span in word.offsets],
            [number for number, word in enumerate(words) for _ in word.ids],
        )
