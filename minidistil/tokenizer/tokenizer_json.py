"""`tokenizer.json`: read if it is BERT's WordPiece, and refused if it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidistil.files import read_json
from minidistil.messages import quote
from minidistil.tokenizer.decoding import PLAIN, SPACED, TIDY
from minidistil.tokenizer.settings import check_kinds, content_of, listed_token, part
from minidistil.wordpiece import LONGEST_WORD


def read_tokenizer_json(path: Path, *, generic: bool) -> dict[str, Any]:
    """The settings in a `tokenizer.json`, or a `ValueError` if it is not BERT's.

    Args:
        path: The file.
        generic: Whether it alone decides, also what is put around texts and how tokens
            are put together. BERT's own classes know that and ignore the file.
    """
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
    settings = {
        "vocab": model["vocab"],
        "added_tokens": [
            listed_token(one) for one in part(content, "added_tokens", list)
        ],
        "unk_token": content_of(model.get("unk_token", "[UNK]")),
        **switches,
    }
    if generic:
        settings["joining"] = _joining(path, content.get("decoder"))
        settings |= _around(path, content.get("post_processor"))
    return settings


def _joining(path: Path, decoder: object) -> str:
    """How tokens are put together."""
    match decoder:
        case None:
            return SPACED
        case {"type": "WordPiece", "prefix": "##", "cleanup": bool(tidy)}:
            return TIDY if tidy else PLAIN
    raise ValueError(
        f"{path}: decoder is {quote(decoder)}, expected null, or WordPiece with the "
        "prefix '##'; DistilBertTokenizer decodes in no other way"
    )


def _around(path: Path, processor: object) -> dict[str, str]:
    """The tokens before the first text and after each, if the file puts them so."""
    match processor:
        case {
            "type": "BertProcessing",
            "cls": [str(cls), int()],
            "sep": [str(sep), *_],
        }:
            return {"cls_token": cls, "sep_token": sep}
        case {"type": "TemplateProcessing", "single": list(single), "pair": list(pair)}:
            names = [_special_of(piece) for piece in single if _special_of(piece)]
            if len(names) == 2 and (single, pair) == _template(*names):
                return {"cls_token": names[0], "sep_token": names[1]}
    raise ValueError(
        f"{path}: post_processor is {quote(processor)}, expected the template of BERT, "
        "[CLS] A [SEP] and [CLS] A [SEP] B [SEP] with the types 0 and 1: a DistilBERT "
        "reads a text between these tokens, and nothing else is put around texts "
        'here. If its model was trained so, write "tokenizer_class": '
        '"DistilBertTokenizer" into tokenizer_config.json, whose rule this is; if not, '
        "tokenize with transformers and give the model the ids"
    )


def _template(cls: str, sep: str) -> tuple[list[Any], list[Any]]:
    """What BERT puts around a text, and around two."""
    first = {"Sequence": {"id": "A", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    single = [_special(cls, 0), first, _special(sep, 0)]
    return single, [*single, second, _special(sep, 1)]


def _special(token: str, kind: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": token, "type_id": kind}}


def _special_of(piece: object) -> str:
    match piece:
        case {"SpecialToken": {"id": str(token)}}:
            return token
    return ""
