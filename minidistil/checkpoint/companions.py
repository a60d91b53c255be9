"""The other files of a checkpoint: its tokenizer's, and its sentence embeddings'."""

from __future__ import annotations

import re
from pathlib import Path

from minidistil.config import ConfigError
from minidistil.files import read_json
from minidistil.hub import CheckpointFiles
from minidistil.messages import quote

# What a tokenizer may be made of.
TOKENIZER_FILES = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# How sentence-transformers makes vectors: the modules that a text goes through, ...
MODULES_FILE = "modules.json"
# ... the longest text (the name was once another for each model), and prompts.
LENGTH_FILES = ("sentence_bert_config.json", "sentence_distilbert_config.json")
PROMPTS_FILE = "config_sentence_transformers.json"
# Loading reads these too, of the checkpoints that have them.
COMPANIONS = (*TOKENIZER_FILES, MODULES_FILE, *LENGTH_FILES, PROMPTS_FILE)
_FOLDER = re.compile(r"(\w[\w.-]*)?", re.ASCII)


def companions(files: CheckpointFiles) -> list[str]:
    """The names of what loading reads beside the weights and ``config.json``.

    Those of a hub repository are fetched.

    Raises:
        CheckpointNotFoundError: if the hub refuses.
        ConfigError: if ``modules.json`` is not what it should be.
    """
    names = list(COMPANIONS)
    modules = files.find(MODULES_FILE)
    if modules is not None:
        folders = [folder for _, folder in read_modules(modules) if folder]
        names += [f"{folder}/config.json" for folder in folders]
    return [name for name in names if files.find(name) is not None]


def read_modules(path: Path) -> list[tuple[str, str]]:
    """The kind of each module that a ``modules.json`` lists, and its folder."""
    found = []
    for module in read_json(path, list, ConfigError):
        # The folder must not lead out of the checkpoint, on any system.
        match module:
            case {"type": str(kind), "path": str(folder)} if _FOLDER.fullmatch(folder):
                found.append((kind.split(".")[-1], folder))
            case _:
                raise ConfigError(
                    f"{path} lists {quote(module)}, expected a type and a path, which "
                    f"is nothing or the name of a folder beside it"
                )
    return found
