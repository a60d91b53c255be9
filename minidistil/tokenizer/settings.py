"""The settings in a `tokenizer_config.json`, and the parts of JSON files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from minidistil.messages import quote
from minidistil.tokenizer.vocabulary import AddedToken, as_added

NO_LIMIT = 10**20  # transformers writes 1e30 where no length was set

# The settings in a `tokenizer_config.json`, and the types that they can have.
KINDS: dict[str, tuple[type, ...]] = {
    "do_lower_case": (bool,),
    "strip_accents": (bool, type(None)),
    "tokenize_chinese_chars": (bool,),
    "split_special_tokens": (bool,),
    "model_max_length": (int, float),
    "padding_side": (str,),
    "truncation_side": (str,),
    "clean_up_tokenization_spaces": (bool,),
    "model_input_names": (list,),
}
# Those that a tokenizer.json decides, where its class is no class of BERT.
OF_THE_PIPELINE = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")


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
        if math.isnan(length) or length < 0:
            raise ValueError(
                f"tokenizer_config.json: model_max_length is {quote(length)}, expected "
                "a number of tokens"
            )
        if length <= NO_LIMIT:
            settings["model_max_length"] = int(length)
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


def part(content: Mapping[str, Any], name: str, *kinds: type) -> Any:
    """An object or a list in a JSON object; an empty one if it is missing or null."""
    value = content.get(name)
    if value is None:
        return kinds[0]()
    if not isinstance(value, kinds):
        expected = " or ".join("an object" if k is dict else "a list" for k in kinds)
        raise ValueError(f"{name} is {quote(value)}, expected {expected}")
    return value


def listed_token(fields: object, id: object = None) -> AddedToken:
    """Read one entry of `added_tokens`; ``id`` is its key where it is listed by ids."""
    if not isinstance(fields, Mapping):
        raise ValueError(f"added token {quote(fields)} is not an object")
    if isinstance(id, str) and id.isdecimal() and len(id) < 20:
        fields = {**fields, "id": int(id)}
    number, content = fields.get("id"), fields.get("content")
    if type(number) is not int or number < 0 or not isinstance(content, str):
        raise ValueError(f"added token {quote(dict(fields))} has no content or no id")
    return as_added(fields, special=True)
