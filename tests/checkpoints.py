"""Small checkpoints with random weights, written by transformers, for both sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from minidistil.hub import BUNDLED

# Head size 10, no power of two; fewer positions than the tokenizer would allow.
SMALL = {
    "dim": 20,
    "n_heads": 2,
    "hidden_dim": 44,
    "n_layers": 2,
    "max_position_embeddings": 48,
}
# The real vocabulary's specials, characters and most frequent words, at their own ids;
# all 30522 would take a second to load.
VOCABULARY = 4000


def write_checkpoint(
    folder: Path,
    architecture: str = "DistilBertForSequenceClassification",
    *,
    vocabulary: int = VOCABULARY,
    **config: Any,
) -> Path:
    """Write weights from N(0, 0.3), biases and norms included, and a tokenizer."""
    config = SMALL | {"vocab_size": vocabulary} | config
    model = getattr(transformers, architecture)(transformers.DistilBertConfig(**config))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=generator)
    model.save_pretrained(folder)
    lines = (BUNDLED["tiny"] / "vocab.txt").read_text("utf-8").splitlines(keepends=True)
    (folder / "vocab.txt").write_text("".join(lines[:vocabulary]), "utf-8")
    settings = {"model_max_length": 512, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
