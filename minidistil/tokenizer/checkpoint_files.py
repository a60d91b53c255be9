"""From a checkpoint's files to the arguments of `DistilBertTokenizer`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidistil.messages import quote
from minidistil.tokenizer.settings import OF_THE_PIPELINE, read_config
from minidistil.tokenizer.special_tokens import read_if_any, read_special_tokens
from minidistil.tokenizer.tokenizer_json import read_tokenizer_json
from minidistil.tokenizer.vocabulary import AddedToken, read_vocab_txt

if TYPE_CHECKING:
    from minidistil.hub import CheckpointFiles

# The classes of transformers whose splitting is BERT's, whatever else they do.
SAME = {
    "BertTokenizer",
    "ConvBertTokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "DPRReaderTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "RealmTokenizer",
    "RetriBertTokenizer",
    "SqueezeBertTokenizer",
}
# Those that are what their tokenizer.json says.
GENERIC = {"PreTrainedTokenizerFast", "TokenizersBackend"}
OWN_CLASS = "DistilBertTokenizer"
WAY_OUT = (
    "tokenize with transformers and give the model the ids; or, if the vocabulary is "
    f'that of a BERT after all, write "tokenizer_class": "{OWN_CLASS}" into '
    "tokenizer_config.json"
)


def read_checkpoint(files: CheckpointFiles) -> dict[str, Any]:
    """What the files say, as keyword arguments of `DistilBertTokenizer`.

    Where `tokenizer.json` and `tokenizer_config.json` disagree the latter wins, as in
    transformers, unless the class is a generic one, which is what `tokenizer.json`
    says. What neither says is left out, so that defaults apply. Truncation and padding
    stored in `tokenizer.json` are ignored: only the arguments of a call count. Where no
    file says how many tokens the model takes, its `config.json` does.

    Raises:
        ValueError: The files are broken, or are those of another kind of tokenizer.
    """
    config = read_if_any(files.find("tokenizer_config.json"))
    model: Mapping[str, Any] = {}
    if config.get("tokenizer_class") is None or "model_max_length" not in config:
        model = read_if_any(files.find("config.json"))
    kind = check_class(config, model)
    # If there is neither, `require` raises, and says what is there instead.
    source = files.first("tokenizer.json", "vocab.txt") or files.require("vocab.txt")
    generic = kind in GENERIC
    settings = read_config(config)
    if source.name == "tokenizer.json":
        pipeline = read_tokenizer_json(source, generic=generic)
        if generic:
            settings |= {name: pipeline[name] for name in OF_THE_PIPELINE}
        settings = pipeline | settings
    elif generic:
        raise ValueError(
            f"the class is {kind}, which is what its tokenizer.json says, and there is "
            f"none; {WAY_OUT}"
        )
    else:
        settings["vocab"] = read_vocab_txt(source)
    of_json = settings.pop("added_tokens", [])
    special = read_special_tokens(files, config, settings["vocab"], of_json)
    settings |= special
    if generic:
        listed = {token.content for token in settings["added_tokens"]}
        _check_that_specials_are_special(source, special, listed, of_json)
        settings["added_tokens"] += [
            one for one in of_json if one.content not in listed
        ]
        for name in ("cls_token", "sep_token"):
            if settings[name] != pipeline[name]:
                raise ValueError(
                    f"tokenizer_config.json: {name} is {quote(settings[name])}, "
                    f"expected {pipeline[name]!r}, which tokenizer.json puts around "
                    "texts"
                )
    if "model_max_length" not in settings and "max_position_embeddings" in model:
        settings["model_max_length"] = model["max_position_embeddings"]
    return settings


def _check_that_specials_are_special(
    source: Path,
    named: Mapping[str, Any],
    listed: set[str],
    of_json: Iterable[AddedToken],
) -> None:
    """Raise ValueError where the class would read a special token as plain text."""
    literals = listed | {token.content for token in of_json}
    for name in ("cls_token", "sep_token", "pad_token", "mask_token"):
        token = f"[{name[: -len('_token')].upper()}]"
        if name not in named and token not in literals:
            raise ValueError(
                f"{source}: {token} is not among its added tokens, and no file says "
                f"what {name} is, so that its class reads {token} as plain text; write "
                f'"{name}" into tokenizer_config.json, or "tokenizer_class": '
                f'"{OWN_CLASS}"'
            )


def check_class(config: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """The name of the tokenizer's class, without "Fast"; DistilBERT's by default.

    Args:
        config: The `tokenizer_config.json`, which decides.
        model: The `config.json`, which may name a class where that does not.

    Raises:
        ValueError: It splits text in another way.
    """
    for file, content in (("tokenizer_config.json", config), ("config.json", model)):
        code = content.get("auto_map")
        if isinstance(code, Mapping):
            code = code.get("AutoTokenizer")
        elif file == "config.json":
            code = None
        if code:
            raise ValueError(
                f"{file}: auto_map names {quote(code)}, code of the checkpoint that "
                "decides how text is split, and no code of a checkpoint is ever run; "
                f"{WAY_OUT} and remove auto_map"
            )
    for file, content in (("tokenizer_config.json", config), ("config.json", model)):
        name = content.get("tokenizer_class")
        if name is None:
            continue
        plain = str(name)
        if plain not in GENERIC:
            plain = plain.removesuffix("Fast")
        if plain not in SAME | GENERIC:
            raise ValueError(
                f"{file}: tokenizer_class is {quote(name)}, which does not split text "
                f"as BERT does, and only that is done here; {WAY_OUT}"
            )
        return plain
    return OWN_CLASS
