"""The published layouts: configurations and key sets as the hub has them.

The names of the tensors are written out here a second time, on purpose: a test that
took them from the model would agree with whatever the model says. Written as the hub's
files are, the headers come out at the very byte counts that are published.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SST_2 = "distilbert-base-uncased-finetuned-sst-2-english"
UNCASED = "distilbert-base-uncased"
# Of each: what it is, how many words it knows, whether its positions were sines, and
# whether its config.json has the key that old versions wrote.
OFFICIAL = {
    UNCASED: ("MaskedLM", 30522, False, False),
    SST_2: ("SequenceClassification", 30522, False, True),
    "distilbert-base-cased": ("MaskedLM", 28996, False, True),
    "distilbert-base-cased-distilled-squad": ("QuestionAnswering", 28996, True, True),
    "distilbert-base-uncased-distilled-squad": (
        "QuestionAnswering",
        30522,
        False,
        False,
    ),
    "distilbert-base-german-cased": ("MaskedLM", 31102, True, True),
    "distilbert-base-multilingual-cased": ("MaskedLM", 119547, False, True),
}
SMALL = {"dim": 24, "n_heads": 4, "hidden_dim": 40, "n_layers": 2, "vocab_size": 60}

_LABELS = {"id2label": {"0": "NEGATIVE", "1": "POSITIVE"}} | {
    "label2id": {"NEGATIVE": 0, "POSITIVE": 1}
}


def config_of(name: str, **sizes: int) -> dict[str, Any]:
    """The content of a published config.json; with other sizes, if any are given."""
    head, words, sines, output_past = OFFICIAL[name]
    return {
        "activation": "gelu",
        "architectures": [f"DistilBertFor{head}"],
        "attention_dropout": 0.1,
        "dim": 768,
        "dropout": 0.1,
        "hidden_dim": 3072,
        "initializer_range": 0.02,
        "max_position_embeddings": 512,
        "model_type": "distilbert",
        "n_heads": 12,
        "n_layers": 6,
        "pad_token_id": 0,
        "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": sines,
        "tie_weights_": True,
        "vocab_size": words,
        **({"output_past": True} if output_past else {}),
        **({"finetuning_task": "sst-2"} | _LABELS if name == SST_2 else {}),
        **sizes,
    }


def shapes_of(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The names and shapes that a published file has."""
    wide, inner, words = config["dim"], config["hidden_dim"], config["vocab_size"]
    linear = {"attention.q_lin": (wide, wide), "attention.k_lin": (wide, wide)}
    linear |= {"attention.v_lin": (wide, wide), "attention.out_lin": (wide, wide)}
    linear |= {"ffn.lin1": (inner, wide), "ffn.lin2": (wide, inner)}
    encoder: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (words, wide),
        "embeddings.position_embeddings.weight": (
            config["max_position_embeddings"],
            wide,
        ),
        "embeddings.LayerNorm.weight": (wide,),
        "embeddings.LayerNorm.bias": (wide,),
    }
    for layer in range(config["n_layers"]):
        block = f"transformer.layer.{layer}"
        for module, shape in linear.items():
            encoder[f"{block}.{module}.weight"] = shape
            encoder[f"{block}.{module}.bias"] = shape[:1]
        for norm in ("sa_layer_norm", "output_layer_norm"):
            encoder[f"{block}.{norm}.weight"] = (wide,)
            encoder[f"{block}.{norm}.bias"] = (wide,)
    heads: dict[str, dict[str, tuple[int, ...]]] = {
        "DistilBertForMaskedLM": {
            "vocab_transform.weight": (wide, wide),
            "vocab_transform.bias": (wide,),
            "vocab_layer_norm.weight": (wide,),
            "vocab_layer_norm.bias": (wide,),
            "vocab_projector.bias": (words,),
        },
        "DistilBertForSequenceClassification": {
            "pre_classifier.weight": (wide, wide),
            "pre_classifier.bias": (wide,),
            "classifier.weight": (2, wide),
            "classifier.bias": (2,),
        },
        "DistilBertForQuestionAnswering": {
            "qa_outputs.weight": (2, wide),
            "qa_outputs.bias": (2,),
        },
    }
    prefixed = {f"distilbert.{name}": shape for name, shape in encoder.items()}
    return prefixed | heads[config["architectures"][0]]


def header_bytes(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """The header as the hub's files have it: sorted, without a space, not padded."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name in sorted(shapes):
        end = begin + 4 * math.prod(shapes[name])
        header[name] = {
            "dtype": "F32",
            "shape": list(shapes[name]),
            "data_offsets": [begin, end],
        }
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text


def write_layout(folder: Path, name: str, **sizes: int) -> Path:
    """Write a published layout with random numbers, the same in each run.

    A million of them, over and over: to draw them all would take longer than the test.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = config_of(name, **sizes)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    shapes = shapes_of(config)
    left = sum(map(math.prod, shapes.values()))
    numbers = np.random.default_rng(0).normal(0, 0.1, 1_000_003).astype("<f4")
    with (folder / "model.safetensors").open("wb") as file:
        file.write(header_bytes(shapes))
        while left:
            part = numbers[:left]
            file.write(part.tobytes())
            left -= len(part)
    return folder


def random_tensors(config: dict[str, Any]) -> dict[str, Tensor]:
    """Tensors by the published names, from N(0, 0.3), biases and norms included."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.empty(shape).normal_(std=0.3, generator=generator)
        for name, shape in shapes_of(config).items()
    }
