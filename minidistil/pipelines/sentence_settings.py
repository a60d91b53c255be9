"""What a checkpoint of sentence-transformers says of how its vectors are made.

``modules.json`` lists what a text goes through: the encoder, pooling, and perhaps
normalising. Pooling has a ``config.json`` of its own, in a folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidistil.checkpoint.companions import (
    LENGTH_FILES,
    MODULES_FILE,
    PROMPTS_FILE,
    read_modules,
)
from minidistil.config import ConfigError
from minidistil.files import read_json
from minidistil.hub import CheckpointFiles, open_checkpoint
from minidistil.messages import quote

# Up to version 5 of sentence-transformers there is a switch for each.
SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
PLAIN = (
    "load the model with AutoModel.from_pretrained and give that to pipeline(), with "
    "tokenizer=, to have its vectors whatever this file says"
)


def read_settings(
    *, lower_case: bool, pooling: str | None, **where: Any
) -> dict[str, Any]:
    """Return the checkpoint's own options of sentence embeddings, those it has.

    Args:
        lower_case: Whether the tokenizer does; then the checkpoint may ask for it.
        pooling: The caller's, in place of what the checkpoint says of it; or None.
        where: ``source``, ``revision``, …: see `open_checkpoint`.

    Raises:
        ConfigError: for modules other than encoder, pooling and normalising, for a
            pooling other than mean and cls, for a prompt that goes before each text or
            vectors that are truncated, or a file that is not what it should be.
    """
    files = open_checkpoint(**where)
    modules = files.find(MODULES_FILE)
    if modules is None:
        return {}
    listed = read_modules(modules)
    kinds = [kind for kind, _ in listed]
    if kinds not in (
        ["Transformer", "Pooling"],
        ["Transformer", "Pooling", "Normalize"],
    ):
        raise ConfigError(
            f"{modules} lists {quote(kinds)}, expected Transformer, Pooling and "
            f"perhaps Normalize: more is not done here; {PLAIN}"
        )
    encoder, folder = listed[0][1], listed[1][1]
    if encoder or not folder:
        raise ConfigError(
            f"{modules} has the encoder in {encoder!r} and its pooling in {folder!r}, "
            f"expected the one beside this file and the other in a folder; load the "
            f"encoder's folder, and {PLAIN}"
        )
    _refuse_the_rest(files)
    return {
        "pooling": pooling or _pooling(files, folder),
        "normalize": "Normalize" in kinds,
        **_length(files, lower_case),
    }


def _pooling(files: CheckpointFiles, folder: str) -> str:
    path = files.require(f"{folder}/config.json")
    config = read_json(path, dict, ConfigError)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [
            mode for switch, mode in SWITCHES.items() if _flag(path, config, switch)
        ]
    if modes in ("mean", ["mean"]):
        return "mean"
    if modes in ("cls", ["cls"]):
        return "cls"
    raise ConfigError(
        f"{path} asks for the pooling {quote(modes)}, expected mean or cls, one of "
        f"them; pass pooling='mean' or 'cls' to have that, whatever the checkpoint says"
    )


def _length(files: CheckpointFiles, lower_case: bool) -> dict[str, int]:
    path = files.first(*LENGTH_FILES)
    if path is None:
        return {}
    config = read_json(path, dict, ConfigError)
    if _flag(path, config, "do_lower_case") and not lower_case:
        raise ConfigError(
            f"{path} asks for do_lower_case, and the tokenizer does not do it; pass "
            f"tokenizer=DistilBertTokenizer.from_pretrained(…, do_lower_case=True, "
            f"strip_accents=False)"
        )
    length = config.get("max_seq_length")
    if length is None:
        return {}
    if type(length) is not int or length < 3:
        raise ConfigError(
            f"{path}: max_seq_length is {quote(length)}, expected an integer of at "
            f"least 3"
        )
    return {"max_length": length}


def _flag(path: Path, config: dict[str, Any], name: str) -> bool:
    value = config.get(name) or False  # null is none
    if type(value) is not bool:
        raise ConfigError(f"{path}: {name} is {quote(value)}, expected true or false")
    return value


def _refuse_the_rest(files: CheckpointFiles) -> None:
    """Raise ConfigError for what is done before the encoder, or after all modules."""
    path = files.find(PROMPTS_FILE)
    if path is None:
        return
    config = read_json(path, dict, ConfigError)
    name, prompts = config.get("default_prompt_name"), config.get("prompts") or {}
    if not isinstance(name, str | None) or not isinstance(prompts, dict):
        raise ConfigError(
            f"{path}: default_prompt_name is {quote(name)} and prompts is "
            f"{quote(prompts)}, expected a name or null, and a dict of texts"
        )
    if name is not None and (prompt := prompts.get(name)):
        raise ConfigError(
            f"{path} puts {quote(prompt)} before each text, which is not done here: "
            f"put it there yourself, and {PLAIN}"
        )
    length = config.get("truncate_dim")
    if length is not None:
        raise ConfigError(
            f"{path} keeps the first {quote(length)} numbers of each vector, which is "
            f"not done here: truncate them yourself, and {PLAIN}"
        )
