"""Checkpoints on weights that were trained: MiniLM folded, with a head drawn on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engines import CLASSES, draw, minilm

from minidistil import AutoTokenizer


def write_trained(folder: Path, name: str, **config: Any) -> Path:
    """Write MiniLM's encoder under a head with drawn weights, and its tokenizer."""
    encoder = minilm()
    model = encoder
    if name in CLASSES and CLASSES[name] is not type(encoder):
        model = draw(CLASSES[name](encoder.config.replace(**config)))
        model.distilbert.load_state_dict(encoder.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained("tiny").save_pretrained(folder)
    return folder
