"""Special and added tokens: the five places that may name them.

    tokenizer.json            added_tokens
    tokenizer_config.json     added_tokens_decoder, pad_token and the like,
                              extra_special_tokens (additional_special_tokens)
    special_tokens_map.json   pad_token and the like, the same two lists
    added_tokens.json         a token beyond the vocabulary, and its id

Which of them counts is as in transformers: where there is an `added_tokens_decoder`,
the two old files and the list in `tokenizer.json` do not. Of the rest, the old map goes
before `tokenizer_config.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidistil.files import read_json
from minidistil.messages import quote
from minidistil.tokenizer.settings import content_of, listed_token, part
from minidistil.tokenizer.vocabulary import (
    OPTIONAL_SPECIALS,
    SPECIALS,
    AddedToken,
    as_added,
)

if TYPE_CHECKING:
    from minidistil.hub import CheckpointFiles

EXTRA = "extra_special_tokens"
OLD_EXTRA = "additional_special_tokens"  # the name of the same in transformers 4


def read_special_tokens(
    files: CheckpointFiles,
    config: Mapping[str, Any],
    vocab: Mapping[str, int],
    of_json: Iterable[AddedToken],
) -> dict[str, Any]:
    """What the files say of special and added tokens, as arguments of a tokenizer.

    Args:
        files: The checkpoint's.
        config: Its `tokenizer_config.json`.
        vocab: The vocabulary without added tokens.
        of_json: The tokens that its `tokenizer.json` lists.

    Raises:
        ValueError: What they say is no list of tokens, or not one.
    """
    if "added_tokens_decoder" in config:
        listed = part(config, "added_tokens_decoder", dict)
        added = [listed_token(token, id) for id, token in listed.items()]
        named, extra = _named(config), _extra(config)
    else:
        old_map = read_if_any(files.at_hand("special_tokens_map.json"))
        named = _named(config) | _named(old_map)
        extra = [*_extra(config, EXTRA), *_extra(old_map, EXTRA)]
        extra = extra or _extra(config, OLD_EXTRA) or _extra(old_map, OLD_EXTRA)
        special = {content_of(token) for token in (*named.values(), *extra)}
        numbers = read_if_any(files.at_hand("added_tokens.json"))
        added = [_numbered_token(*pair, special) for pair in numbers.items()]
        added += of_json
    added.sort(key=lambda token: token.id)
    # New ones are numbered in this order, whatever the order of the file.
    order = (*OPTIONAL_SPECIALS, *SPECIALS, *named)
    named = {name: named[name] for name in order if name in named}
    known = {token.content for token in added}
    # A token with flags is matched so; one that nothing else has is added.
    for token in (*named.values(), *extra):
        content = content_of(token)
        flagged = isinstance(token, Mapping)
        if content not in known and (flagged or content not in vocab):
            added.append(as_added(token, special=True)._replace(special=True))
            known.add(content)
    names = {name: content_of(token) for name, token in named.items()}
    plain = (*SPECIALS, *OPTIONAL_SPECIALS)
    return {name: names.pop(name) for name in plain if name in names} | {
        "added_tokens": added,
        EXTRA: [content_of(token) for token in extra],
        "model_specific_special_tokens": names,
    }


def read_if_any(path: Path | None) -> dict[str, Any]:
    """The object in a JSON file; an empty one if there is no file."""
    return {} if path is None else read_json(path, dict, ValueError)


def _named(content: Mapping[str, Any]) -> dict[str, Any]:
    """The special tokens that have a name: also one that only this model has."""
    named = {
        name: token
        for name, token in content.items()
        if name.endswith("_token")
        and (name in (*SPECIALS, *OPTIONAL_SPECIALS) or isinstance(token, str | dict))
        and token is not None
    }
    for name, token in named.items():
        if name in (*SPECIALS, *OPTIONAL_SPECIALS):
            content_of(token)
    more = content.get(EXTRA)
    if isinstance(more, dict):  # by name: {"image_token": "<image>"}
        named |= more
    named.update(part(content, "model_specific_special_tokens", dict))
    return named


def _extra(content: Mapping[str, Any], *names: str) -> list[Any]:
    """The special tokens without a name; the first list that has any."""
    for name in names or (EXTRA, OLD_EXTRA):
        tokens = part(content, name, list, dict)
        if isinstance(tokens, list) and tokens:
            return tokens
    return []


def _numbered_token(content: str, id: object, special: set[str]) -> AddedToken:
    """A token of `added_tokens.json`, which says no more than the id."""
    if type(id) is not int or id < 0:
        raise ValueError(
            f"added_tokens.json: {quote(content)} has the id {quote(id)}, expected a "
            "number"
        )
    return as_added(content, special=content in special)._replace(id=id)
