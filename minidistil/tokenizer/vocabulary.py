"""The vocabulary: tokens and their ids, and literals that are added to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from minidistil.messages import quote

# What every BERT has, and what some add; by the names of `tokenizer_config.json`.
SPECIALS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
OPTIONAL_SPECIALS = ("bos_token", "eos_token")
NEXT = -1  # as the id of an added token: the next one that is free
POSITIONS = 512  # the position embeddings of every official DistilBERT
# Unicode's white space, as Rust strips it off a line; Python would strip more.
SPACES = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
MOST_TOKENS = 10**8  # far beyond any vocabulary, and what vocab.txt can still hold


class AddedToken(NamedTuple):
    """A literal that is found before the text is split into words.

    The flags are those of `tokenizers.AddedToken`.
    """

    content: str
    id: int = NEXT
    special: bool = True
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False

    def flags(self) -> dict[str, bool]:
        """How it is matched."""
        return {name: getattr(self, name) for name in FLAGS}


FLAGS = ("special", "normalized", "lstrip", "rstrip", "single_word")


@dataclass(frozen=True)
class Recipe:
    """All that decides how text is split; the names are those of BERT's config."""

    vocab: dict[str, int]
    added: tuple[AddedToken, ...]
    unk_token: str
    do_lower_case: bool
    strip_accents: bool | None
    tokenize_chinese_chars: bool
    split_special_tokens: bool = False  # whether text that spells them is just text

    @property
    def ids(self) -> dict[str, int]:
        """The id of every token, added ones included."""
        return self.vocab | {token.content: token.id for token in self.added}


def read_vocab_txt(path: Path) -> dict[str, int]:
    """Read one token a line; the line's number, from 0, is the token's id.

    A byte-order mark and CRLF line ends are dropped. A blank line keeps its id, so
    nothing behind it shifts. Of two equal lines the later one counts, as in Rust.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not a file, expected a vocab.txt; to load a checkpoint use "
            f"DistilBertTokenizer.from_pretrained({str(path)!r})"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text ({error}), expected one token a line"
        ) from error
    lines = text.removesuffix("\n").split("\n")
    return {line.rstrip(SPACES): number for number, line in enumerate(lines)}


def as_added(token: Any, *, special: bool) -> AddedToken:
    """A token given as a string, or with its flags, as ours.

    Args:
        token: A string, an `AddedToken` (ours or of `tokenizers`), or an object of a
            JSON file with the same names.
        special: Whether it is special where it does not say so.

    Raises:
        TypeError: It is nothing of the kind.
        ValueError: It has no content, or a flag is neither true nor false.
    """
    if isinstance(token, AddedToken):
        return token
    if isinstance(token, str):
        return AddedToken(token, special=special, normalized=not special)
    if not isinstance(token, Mapping):
        token = _fields_of(token, special)
    known = {name: token[name] for name in AddedToken._fields if name in token}
    if not isinstance(known.get("content"), str):
        raise ValueError(f"a token is given as {quote(dict(token))}, without a content")
    for name in known.keys() & {*FLAGS}:
        if not isinstance(known[name], bool):
            raise ValueError(
                f"added token {quote(known['content'])}: {name} is "
                f"{quote(known[name])}, expected true or false"
            )
    known.setdefault("special", special)
    known.setdefault("normalized", not known["special"])
    return AddedToken(**known)


def _fields_of(token: Any, special: bool) -> dict[str, Any]:
    """What the library's `AddedToken` holds, as one that is special if asked for."""
    if not isinstance(getattr(token, "content", None), str):
        raise TypeError(
            f"a token is {quote(token)}, expected a string or an AddedToken"
        )
    was_special = token.special
    # Unless it was made with normalized=, the library tells it from `special`.
    token.special = special or was_special
    try:
        return {name: getattr(token, name) for name in ("content", *FLAGS)}
    finally:
        token.special = was_special


def numbered(
    vocab: Mapping[str, int], tokens: Iterable[AddedToken]
) -> list[AddedToken]:
    """The tokens, each with an id, and of those with one content the last.

    One that is in the vocabulary has its id there; a new one comes behind all others.
    """
    placed: dict[str, AddedToken] = {}
    for token in tokens:
        if token.id == NEXT:
            id = vocab.get(token.content)
            if id is None and token.content in placed:
                id = placed[token.content].id
            if id is None:
                id = max([len(vocab) - 1, *(one.id for one in placed.values())]) + 1
            token = token._replace(id=id)
        placed[token.content] = token
    return list(placed.values())


def with_specials(
    vocab: Mapping[str, int],
    added: Iterable[AddedToken],
    named: Mapping[str, str],
    extra: Iterable[str],
) -> tuple[AddedToken, ...]:
    """The added tokens in the order of their ids, the special ones among them.

    Args:
        vocab: Tokens and ids without the added ones.
        added: Those that were added.
        named: Special tokens by name: those of BERT must be there, others are added.
        extra: Special tokens without a name, which are added.
    """
    literals = {token.content: token for token in added}
    check_ids([*vocab.items(), *((one.content, one.id) for one in literals.values())])
    missing = [
        f"{name}={quote(named[name])}"
        for name in SPECIALS
        if named[name] not in vocab and named[name] not in literals
    ]
    if missing:
        raise ValueError(
            f"the vocabulary of {len(vocab)} tokens has no {', '.join(missing)}; add "
            "what is missing, or say what stands for it, as in unk_token='<unk>'"
        )
    for token in named.values():
        if token in literals:
            literals[token] = literals[token]._replace(special=True)
    more = [AddedToken(one) for one in (*named.values(), *extra) if one not in literals]
    return tuple(
        sorted(numbered(vocab, [*literals.values(), *more]), key=lambda one: one.id)
    )


def with_added(
    recipe: Recipe, tokens: Iterable[Any], *, special: bool
) -> tuple[tuple[AddedToken, ...], int]:
    """The added tokens with more of them, and how many are new or matched anew.

    This counts as `tokenizers` does: a token that is added once more with the same
    flags does not count, one that the vocabulary has does.
    """
    literals = {token.content: token for token in recipe.added}
    count = 0
    for given in tokens:
        token = as_added(given, special=special)
        old = literals.get(token.content)
        if not token.content or (old and old.flags() == token.flags()):
            continue
        if old:
            token = token._replace(id=old.id)
        everything = numbered(recipe.vocab, [*literals.values(), token])
        literals = {one.content: one for one in everything}
        count += 1
    added = [(token.content, token.id) for token in literals.values()]
    check_ids([*recipe.vocab.items(), *added])
    return tuple(sorted(literals.values(), key=lambda one: one.id)), count


def check_ids(entries: Iterable[tuple[str, int]]) -> None:
    """Raise unless each token is one line with one id, and each id has one token."""
    owners: dict[int, str] = {}
    ids: dict[str, int] = {}
    for token, id in entries:
        if type(id) is not int or not 0 <= id < MOST_TOKENS:
            raise ValueError(
                f"token {quote(token)} has id {quote(id)}, expected 0, 1, 2, …"
            )
        if "\n" in token:
            raise ValueError(f"token {quote(token)} (id {id}) is not one line of text")
        if owners.setdefault(id, token) != token:
            raise ValueError(
                f"id {id} belongs to {quote(owners[id])} and to {quote(token)}, "
                "expected one"
            )
        if ids.setdefault(token, id) != id:
            raise ValueError(f"token {quote(token)} has ids {ids[token]} and {id}")
    try:
        "".join(ids).encode()
    except UnicodeEncodeError as error:
        half = next(token for token in ids if error.object[error.start] in token)
        raise ValueError(
            f"token {quote(half)} holds half of a surrogate pair, expected text"
        ) from None


def vocab_txt(vocab: Mapping[str, int]) -> str:
    """The vocabulary as a file: one token a line, a blank line for an unused id."""
    tokens = {id: token for token, id in vocab.items()}
    return "".join(f"{tokens.get(id, '')}\n" for id in range(max(tokens) + 1))
