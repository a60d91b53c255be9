"""A trace as JSON, in the layout that ``assets/page.js`` reads.

Text stays text. A tensor is the base64 of its numbers in C order, little-endian:
``floats`` are float32, ``positions`` uint16, ``shades`` 4-bit numbers, two in a byte,
the first in the low half: 7 is 0, 14 is the vector's ``scale`` and 0 its negative.
Letters are those of `minidistil.model`; S are the steps that a part names.

    tokens       columns: text, id, start, end, word, reading, attend
    readings     raw, cleaned, note, left_out, words: [text, start, end, attempts],
                 an attempt: [start, end, found]
    embeddings   names: S; norms: floats (S, T); first: floats (S, T, 4), the first
                 four numbers of each vector
    layers       the same, and
      products   floats (H, T, T), which scores and weights follow from; or of a long
                 text its strongest keys only:
      strongest  keys: positions (H, T, N); products: floats (H, T, N); total: floats
                 (H, T), the sum over all keys of exp(score - the row's largest score)
      q k v mixed  first: floats (H, T, 4); scale: floats (H, T), the largest absolute
                 value; shades (H, T, K); not there for a long text
    head         of a classifier: names, norms, first as above for [CLS] (S, 1); above:
                 how many numbers ReLU kept; function; logits, probabilities: floats (C)
                 of a masked LM: the same for the masks (S, M); words: [[…]], logits,
                 probabilities: floats (M, W) of the W most probable words; total:
                 floats (M), the sum of exp(logit - largest logit) over all words
    norms        floats (L + 1, T), of the hidden states

`minidistil.explainer.reasons` adds to a trace, or null:

    lens         of a classifier: logits, probabilities: floats (L + 1, C); of a masked
                 LM, for each mask: words: [[…]], and both as floats (L + 1, W)
    attribution  the fields of `Attribution`; tokens: floats (T)
    ablations    target; heads: floats (L, H); layers: floats (L); tokens: floats (T)
    omitted      sentences: what is null, and why

and `minidistil.explainer.page` puts ``traces`` beside the ``source`` of the steps and
the ``glossary``.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from minidistil.explainer.reading import Reading, Token, Word
from minidistil.explainer.trace import (
    BlockTrace,
    ClassifierTrace,
    MaskedLMTrace,
    Record,
)

Packed = dict[str, Any]

# Up to so many bytes all of the attention is on the page. A model of base size takes
# 0.8 MB for 32 tokens and 2.1 MB for 64; for 512 it would be 83 MB.
WHOLE = 2_200_000
STRONGEST = 12  # keys for each query of a longer text
FIRST = 4
SHADES = 7  # on each side of 0
WORDS = 10

PER_HEAD = ("q", "k", "v", "mixed")


def floats(x: Tensor) -> str:
    """Pack a tensor as float32."""
    return _packed(x.float().contiguous().numpy().astype("<f4").tobytes())


def positions(x: Tensor) -> str:
    """Pack a tensor of numbers below 65536."""
    return _packed(x.contiguous().numpy().astype("<u2").tobytes())


def shades(x: Tensor) -> Packed:
    """Pack the vectors of a tensor (…, K) for the eye: 15 shades."""
    scale = x.abs().amax(dim=-1)
    nonzero = torch.where(scale > 0, scale, torch.ones_like(scale))
    levels = (x / nonzero[..., None] * SHADES).round().nan_to_num() + SHADES
    flat = levels.to(torch.uint8).flatten()
    low, high = torch.nn.functional.pad(flat, (0, len(flat) % 2)).view(-1, 2).unbind(1)
    return {"scale": floats(scale), "shades": _packed((low | high << 4).numpy())}


def _packed(numbers: Any) -> str:
    return b64encode(numbers).decode("ascii")


def vectors(steps: Mapping[str, Tensor]) -> Packed:
    """Pack vectors (T, …), one for each step and token, as their length and start."""
    lengths = [torch.linalg.vector_norm(x.float(), dim=-1) for x in steps.values()]
    return {
        "names": [*steps],
        "norms": floats(torch.stack(lengths)),
        "first": floats(torch.stack([x[..., :FIRST] for x in steps.values()])),
    }


def pack(trace: Record) -> Packed:
    """Everything about a trace but its reasons."""
    whole = bytes_of_attention(trace) <= WHOLE
    return {
        "model": _model(trace),
        "readings": [_reading(reading) for reading in trace.readings],
        "tokens": _tokens(trace.tokens),
        "embeddings": vectors(vars(trace.embeddings)),
        "layers": [_block(block, whole) for block in trace.layer],
        "norms": floats(trace.norms),
        "head": _head(trace),
        "not_shown": trace.not_shown,
        "target": trace.target,
        "label": trace.label,
    }


def bytes_of_attention(trace: Record) -> int:
    """What `products` and `PER_HEAD` take before base64."""
    heads, tokens, size = trace.layer[0].q.shape
    of_a_vector = 4 * FIRST + 4 + size // 2  # the first, the scale, the shades
    of_a_token = 4 * tokens + len(PER_HEAD) * of_a_vector
    return len(trace.layer) * heads * tokens * of_a_token


def _model(trace: Record) -> Packed:
    model = trace.subject.model
    config = model.config
    sizes = {
        "T": len(trace.tokens),
        "L": config.n_layers,
        "D": config.dim,
        "H": config.n_heads,
        "K": config.dim // config.n_heads,
        "F": config.hidden_dim,
        "V": config.vocab_size,
    }
    if isinstance(trace.head, ClassifierTrace):
        sizes["C"] = len(trace.head.logits)
    if isinstance(trace.head, MaskedLMTrace):
        sizes["M"] = len(trace.head.masks)
    return {
        "name": trace.subject.name,
        "class": type(model).__name__,
        "dtype": str(trace.embeddings.summed.dtype).removeprefix("torch."),
        "activation": config.activation,
        "sizes": sizes,
    }


def _reading(reading: Reading) -> Packed:
    return vars(reading) | {"words": [_word(word) for word in reading.words]}


def _word(word: Word) -> list[Any]:
    attempts = [[one.start, one.end, int(one.found)] for one in word.attempts]
    return [word.text, word.start, word.end, attempts]


def _tokens(tokens: tuple[Token, ...]) -> Packed:
    names = [field.name for field in fields(Token)]
    return {name: [getattr(token, name) for token in tokens] for name in names}


def _block(block: BlockTrace, whole: bool) -> Packed:
    # What is not split into heads: (T, D) or (T, F).
    packed = vectors({name: x for name, x in vars(block).items() if x.dim() == 2})
    if not whole:
        return packed | {"strongest": _strongest(block.products, block.scores)}
    packed["products"] = floats(block.products)
    for name in PER_HEAD:
        x = getattr(block, name).float()
        packed[name] = {"first": floats(x[..., :FIRST]), **shades(x)}
    return packed


def _strongest(products: Tensor, scores: Tensor) -> Packed:
    n = min(STRONGEST, scores.shape[-1])
    best, keys = scores.topk(n, dim=-1)  # (H, T, N)
    total = (scores.double() - best[..., :1]).exp().sum(dim=-1)
    return {
        "keys": positions(keys),
        "products": floats(products.gather(-1, keys)),
        "total": floats(total),
    }


def _head(trace: Record) -> Packed | None:
    if isinstance(trace.head, ClassifierTrace):
        return _classifier(trace, trace.head)
    if isinstance(trace.head, MaskedLMTrace):
        return _masked_lm(trace, trace.head)
    return None


def _classifier(trace: Record, head: ClassifierTrace) -> Packed:
    steps = {"cls": head.cls, "pre_classifier": head.pre_classifier, "relu": head.relu}
    return vectors({name: x[None] for name, x in steps.items()}) | {
        "labels": [trace.subject.name_of(label) for label in range(len(head.logits))],
        "above": int((head.relu > 0).sum()),
        "function": head.function,
        "logits": floats(head.logits),
        "probabilities": floats(head.probabilities),
    }


def _masked_lm(trace: Record, head: MaskedLMTrace) -> Packed:
    steps = {
        "output_layer_norm": trace.layer[-1].output_layer_norm[list(head.masks)],
        "vocab_transform": head.vocab_transform,
        "activation": head.activation,
        "vocab_layer_norm": head.vocab_layer_norm,
    }
    logits, words = head.logits.topk(min(WORDS, head.logits.shape[-1]), dim=-1)
    total = (head.logits.double() - logits[:, :1]).exp().sum(dim=-1)
    return vectors(steps) | {
        "masks": [*head.masks],
        "words": [[trace.subject.name_of(i) for i in row] for row in words.tolist()],
        "logits": floats(logits),
        "probabilities": floats(head.probabilities.gather(-1, words)),
        "total": floats(total),
    }


def finite(x: float) -> float | None:
    """JSON has no infinity: null in its place."""
    return x if math.isfinite(x) else None
