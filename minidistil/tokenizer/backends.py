"""The two backends that split text into tokens: `tokenizers` (Rust), `wordpiece.py`.

Both know nothing of special tokens around a text, of truncation or of padding. Those
are done in `rows.py`, so that nothing shared by threads ever changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from minidistil.tokenizer.vocabulary import Recipe
from minidistil.wordpiece import LONGEST_WORD, WordPiece

if TYPE_CHECKING:
    import tokenizers


@dataclass(frozen=True)
class PythonEncoding:
    """The tokens of one text, as lists of one length.

    Attributes:
        ids: The id of each token in the vocabulary.
        tokens: Each token as the vocabulary writes it.
        offsets: The characters of the text (or of the given word) that it stands for.
        word_ids: The number of its word in the text.
    """

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]

    def __len__(self) -> int:
        return len(self.ids)


class RustEncoding:
    """The same lists. The library makes a new one at every look; here it is kept."""

    def __init__(self, encoding: tokenizers.Encoding) -> None:
        self._encoding = encoding

    def __len__(self) -> int:
        return len(self._encoding)

    @cached_property
    def ids(self) -> list[int]:
        """The id of each token in the vocabulary."""
        return self._encoding.ids

    @cached_property
    def tokens(self) -> list[str]:
        """Each token as the vocabulary writes it."""
        return self._encoding.tokens

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        """The characters that it stands for."""
        return self._encoding.offsets

    @cached_property
    def word_ids(self) -> list[int | None]:
        """The number of its word in the text."""
        return self._encoding.word_ids


Encoding: TypeAlias = "PythonEncoding | RustEncoding"


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

    model = RustWordPiece(
        recipe.vocab,
        unk_token=recipe.unk_token,
        max_input_chars_per_word=LONGEST_WORD,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = BertNormalizer(
        lowercase=recipe.do_lower_case,
        strip_accents=recipe.strip_accents,
        handle_chinese_chars=recipe.tokenize_chinese_chars,
    )
    tokenizer.pre_tokenizer = BertPreTokenizer()
    for token in recipe.added:
        flags = token._asdict()
        content, id = flags.pop("content"), flags.pop("id")
        tokenizer.add_tokens([RustToken(content, **flags)])
        given = tokenizer.token_to_id(content)
        if given != id:
            raise ValueError(
                f"added token {content!r} has id {id}, expected {given}: added tokens "
                "must go on from the end of the vocabulary, without a hole"
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


class RustBackend:
    """The library: quick, and the reference for the other one."""

    def __init__(self, recipe: Recipe) -> None:
        self._tokenizer = build_rust(recipe)

    def encode(self, texts: list[Any], split_into_words: bool) -> list[RustEncoding]:
        """Tokenize texts, or lists of words; offsets then count within the word."""
        found = self._tokenizer.encode_batch(
            texts, is_pretokenized=split_into_words, add_special_tokens=False
        )
        return [RustEncoding(encoding) for encoding in found]


class PythonBackend:
    """`wordpiece.py`, for reading along and for checking the other one."""

    def __init__(self, recipe: Recipe) -> None:
        self._ids = recipe.vocab | {token.content: token.id for token in recipe.added}
        self._wordpiece = build_python(recipe)

    def encode(self, texts: list[Any], split_into_words: bool) -> list[PythonEncoding]:
        """Tokenize texts, or lists of words; offsets then count within the word."""
        return [
            self._join([self._encode(word) for word in text])
            if split_into_words
            else self._encode(text)
            for text in texts
        ]

    def _encode(self, text: str) -> PythonEncoding:
        pieces = self._wordpiece(text).pieces
        return PythonEncoding(
            [self._ids[piece.text] for piece in pieces],
            [piece.text for piece in pieces],
            [(piece.start, piece.end) for piece in pieces],
            [piece.word for piece in pieces],
        )

    @staticmethod
    def _join(words: Sequence[PythonEncoding]) -> PythonEncoding:
        return PythonEncoding(
            [id for word in words for id in word.ids],
            [token for word in words for token in word.tokens],
            [span for word in words for span in word.offsets],
            [number for number, word in enumerate(words) for _ in word.ids],
        )
