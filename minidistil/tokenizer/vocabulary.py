"""The tokenizer's files: `vocab.txt`, `tokenizer_config.json`, `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minidistil.files import read_json
from minidistil.messages import quote, shorten
from minidistil.wordpiece import LONGEST_WORD

if TYPE_CHECKING:
    from minidistil.hub import CheckpointFiles

SPECIALS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
POSITIONS = 512  # the position embeddings of every official DistilBERT
NO_LIMIT = 10**20  # transformers writes 1e30 where no length was set
# Unicode's white space, as Rust strips it off a line; Python would strip more.
SPACES = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
MOST_TOKENS = 10**8  # far beyond any vocabulary, and what vocab.txt can still hold

# The settings in a `tokenizer_config.json`, and the types that they can have.
KINDS: dict[str, tuple[type, ...]] = {
    "do_lower_case": (bool,),
    "strip_accents": (bool, type(None)),
    "tokenize_chinese_chars": (bool,),
    "model_max_length": (int, float),
    "padding_side": (str,),
    "clean_up_tokenization_spaces": (bool,),
}


class AddedToken(NamedTuple):
    """A literal that is found before the text is split into words.

    The flags are those of `tokenizers.AddedToken`.
    """

    content: str
    id: int
    special: bool = True
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


@dataclass(frozen=True)
class Recipe:
    """All that decides how text is split; the names are those of BERT's config."""

    vocab: dict[str, int]
    added: tuple[AddedToken, ...]
    unk_token: str
    do_lower_case: bool
    strip_accents: bool | None
    tokenize_chinese_chars: bool

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


def read_checkpoint(files: CheckpointFiles) -> dict[str, Any]:
    """What the files say, as keyword arguments of `DistilBertTokenizer`.

    Where `tokenizer.json` and `tokenizer_config.json` disagree the latter wins, as in
    transformers. What neither says is left out, so that defaults apply. Truncation and
    padding stored in `tokenizer.json` are ignored: only the arguments of a call count.
    Where no file says how many tokens the model takes, its `config.json` does.
    """
    # If there is neither, `require` raises, and says what is there instead.
    source = files.first("tokenizer.json", "vocab.txt") or files.require("vocab.txt")
    config = _read(files.find("tokenizer_config.json"))
    if source.name == "tokenizer.json":
        settings = read_tokenizer_json(source)
    else:
        settings = read_old_files(files, read_vocab_txt(source))
    settings.update(read_config(config))
    if "model_max_length" not in settings:
        model = _read(files.find("config.json"))
        if "max_position_embeddings" in model:
            settings["model_max_length"] = model["max_position_embeddings"]
    if "added_tokens_decoder" in config or "added_tokens" not in settings:
        settings["added_tokens"] = config_tokens(config, settings["vocab"])
    return settings


def _read(path: Path | None) -> dict[str, Any]:
    return {} if path is None else read_json(path, dict, ValueError)


def read_old_files(files: CheckpointFiles, vocab: dict[str, int]) -> dict[str, Any]:
    """The settings where there is no `tokenizer.json`: as in old versions' files.

    `special_tokens_map.json` names the special tokens.
    """
    path = files.at_hand("added_tokens.json")
    added = [token for token, id in _read(path).items() if vocab.get(token) != id]
    if added:
        raise ValueError(
            f"{path} adds {shorten(', '.join(added))} without saying how they are "
            "matched; open the folder with transformers and save it again, which "
            "writes a tokenizer.json"
        )
    tokens = _read(files.at_hand("special_tokens_map.json"))
    named = [name for name in SPECIALS if tokens.get(name) is not None]
    return {"vocab": vocab} | {name: content_of(tokens[name]) for name in named}


def check_kinds(where: str, settings: Mapping[str, Any]) -> None:
    """Raise `ValueError` if a setting is not of its type; True is no number here."""
    for name, value in settings.items():
        kinds = KINDS[name]
        is_flag = isinstance(value, bool)
        if not isinstance(value, kinds) or (is_flag and bool not in kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{where}: {name} is {quote(value)}, expected {expected}")


def read_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a `tokenizer_config.json`, checked; other keys are left alone."""
    settings = {name: config[name] for name in KINDS if name in config}
    check_kinds("tokenizer_config.json", settings)
    if "model_max_length" in settings:
        length = settings.pop("model_max_length")
        if not length >= 0:  # false for nan, too
            raise ValueError(
                f"tokenizer_config.json: model_max_length is {quote(length)}, expected "
                "a number of tokens"
            )
        if length <= NO_LIMIT:
            settings["model_max_length"] = int(length)
    side = config.get("truncation_side", "right")
    if side != "right":
        raise ValueError(
            f"tokenizer_config.json: truncation_side is {quote(side)}, expected "
            "'right': only that is implemented"
        )
    for name in SPECIALS:
        if config.get(name) is not None:
            settings[name] = content_of(config[name])
    return settings


def content_of(token: object) -> str:
    """The text of a token that a file gives as a string or as an object."""
    if isinstance(token, Mapping):
        token = token.get("content", token)
    if not isinstance(token, str):
        raise ValueError(
            f"a token is given as {quote(token)}, expected a string, or an object with "
            "its content"
        )
    return token


def config_tokens(
    config: Mapping[str, Any], vocab: Mapping[str, int]
) -> list[AddedToken]:
    """The tokens that a `tokenizer_config.json` adds to the vocabulary."""
    listed = part(config, "added_tokens_decoder", dict)
    added = [added_token(token, id) for id, token in listed.items()]
    extra = part(config, "extra_special_tokens", dict, list)
    if isinstance(extra, dict):  # by name: {"image_token": "<image>"}
        extra = list(extra.values())
    more = part(config, "additional_special_tokens", list) + extra
    known = {token.content: token.id for token in added} | dict(vocab)
    for content in map(content_of, more):
        if content not in known or content in vocab:
            known.setdefault(content, max(known.values()) + 1)
            added.append(AddedToken(content, known[content]))
    return added


def part(content: Mapping[str, Any], name: str, *kinds: type) -> Any:
    """An object or a list in a JSON object; an empty one if it is missing or null."""
    value = content.get(name)
    if value is None:
        return kinds[0]()
    if not isinstance(value, kinds):
        expected = " or ".join("an object" if k is dict else "a list" for k in kinds)
        raise ValueError(f"{name} is {quote(value)}, expected {expected}")
    return value


def added_token(fields: object, id: object = None) -> AddedToken:
    """Read one entry of `added_tokens`; ``id`` is its key where it is listed by ids."""
    if not isinstance(fields, Mapping):
        raise ValueError(f"added token {quote(fields)} is not an object")
    known = {name: fields[name] for name in AddedToken._fields if name in fields}
    if isinstance(id, str) and id.isdecimal() and len(id) < 20:
        known["id"] = int(id)
    if type(known.get("id")) is not int or not isinstance(known.get("content"), str):
        raise ValueError(f"added token {quote(dict(fields))} has no content or no id")
    for name in known.keys() - {"content", "id"}:
        if not isinstance(known[name], bool):
            raise ValueError(
                f"added token {quote(known['content'])}: {name} is "
                f"{quote(known[name])}, expected true or false"
            )
    return AddedToken(**known)


def read_tokenizer_json(path: Path) -> dict[str, Any]:
    """The settings in a `tokenizer.json`, or a `ValueError` if it is not BERT's."""
    content = read_json(path, dict, ValueError)
    model = part(content, "model", dict)
    normalizer = part(content, "normalizer", dict)
    pre_tokenizer = part(content, "pre_tokenizer", dict)
    longest, prefix = "max_input_chars_per_word", "continuing_subword_prefix"
    for name, got, expected in (
        ("model.type", model.get("type", "WordPiece"), "WordPiece"),
        (f"model.{longest}", model.get(longest, LONGEST_WORD), LONGEST_WORD),
        (f"model.{prefix}", model.get(prefix, "##"), "##"),
        ("normalizer.type", normalizer.get("type"), "BertNormalizer"),
        ("normalizer.clean_text", normalizer.get("clean_text", True), True),
        ("pre_tokenizer.type", pre_tokenizer.get("type"), "BertPreTokenizer"),
    ):
        if got != expected:
            raise ValueError(
                f"{path}: {name} is {quote(got)}, expected {expected!r}; "
                "DistilBertTokenizer reads only BERT's tokenizer"
            )
    if not isinstance(model.get("vocab"), dict):
        raise ValueError(f"{path}: model.vocab is missing, expected token: id pairs")
    switches = {
        "do_lower_case": normalizer.get("lowercase", True),
        "strip_accents": normalizer.get("strip_accents"),
        "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
    }
    check_kinds(str(path), switches)
    return {
        "vocab": model["vocab"],
        "added_tokens": [
            added_token(one) for one in part(content, "added_tokens", list)
        ],
        "unk_token": content_of(model.get("unk_token", "[UNK]")),
        **switches,
    }


def with_specials(
    vocab: Mapping[str, int], added: Iterable[AddedToken], named: Mapping[str, str]
) -> tuple[AddedToken, ...]:
    """The added tokens in the order of their ids, the special ones among them."""
    literals = {token.content: token for token in added}
    check_ids([*vocab.items(), *((one.content, one.id) for one in literals.values())])
    missing = [
        f"{name}={quote(token)}"
        for name, token in named.items()
        if token not in vocab and token not in literals
    ]
    if missing:
        raise ValueError(
            f"the vocabulary of {len(vocab)} tokens has no {', '.join(missing)}; add "
            "what is missing, or say what stands for it, as in unk_token='<unk>'"
        )
    for token in named.values():
        if token not in literals:
            literals[token] = AddedToken(token, vocab[token])
    return tuple(sorted(literals.values(), key=lambda token: token.id))


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
