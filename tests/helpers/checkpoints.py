"""Small checkpoints with random weights, written by transformers, for both sides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Generator, nn

from minidistil.hub import BUNDLED

# Head size 10, no power of two; fewer positions than the tokenizer would allow.
SMALL = {
    "dim": 20,
    "n_heads": 2,
    "hidden_dim": 44,
    "n_layers": 2,
    "max_position_embeddings": 48,
}
# Smaller still: no two sizes are equal.
SHAPE: dict[str, Any] = {
    "vocab_size": 31,
    "max_position_embeddings": 13,
    "dim": 12,
    "n_heads": 3,
    "hidden_dim": 20,
    "n_layers": 2,
}
# The real vocabulary's specials, characters and most frequent words, at their own ids;
# all 30522 would take a second to load.
VOCABULARY = 4000


def same_weights(left: nn.Module, right: nn.Module) -> bool:
    """Whether two models have the same tensors by the same names."""
    mine, yours = left.state_dict(), right.state_dict()
    return mine.keys() == yours.keys() and all(
        torch.equal(mine[name], yours[name]) for name in mine
    )


def draw_hostile(model: nn.Module, generator: Generator) -> None:
    """Draw everything from N(0, 0.3), biases and norms included."""
    for parameter in model.parameters():
        parameter.normal_(std=0.3, generator=generator)


def draw_lively(model: nn.Module, generator: Generator) -> None:
    """Draw everything so that tokens keep their differences, and so do their logits.

    With `draw_hostile` all the tokens of a text get nearly the same answer.
    """
    for name, parameter in model.named_parameters():
        head = not name.startswith("distilbert.")
        wide = head or name.startswith("distilbert.embeddings.")
        parameter.normal_(std=1.0 if wide else 0.2, generator=generator)
        if "orm.weight" in name:
            parameter += 1


def write_checkpoint(
    folder: Path,
    architecture: str = "DistilBertForSequenceClassification",
    *,
    vocabulary: int = VOCABULARY,
    draw: Callable[[nn.Module, Generator], None] = draw_hostile,
    **config: Any,
) -> Path:
    """Write random weights and a tokenizer."""
    config = SMALL | {"vocab_size": vocabulary} | config
    model = getattr(transformers, architecture)(transformers.DistilBertConfig(**config))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        draw(model, generator)
    model.save_pretrained(folder)
    lines = (BUNDLED["tiny"] / "vocab.txt").read_text("utf-8").splitlines(keepends=True)
    (folder / "vocab.txt").write_text("".join(lines[:vocabulary]), "utf-8")
    settings = {"model_max_length": 512, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def say_how_sentences_become_vectors(folder: Path) -> None:
    """Write what sentence-transformers does: [CLS], of five tokens, normalised."""
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": path}
        for kind, path in kinds.items()
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    lengths = {"max_seq_length": 5, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(lengths))
    (folder / "config_sentence_transformers.json").write_text("{}")
