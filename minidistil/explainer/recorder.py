"""Run the model once and keep what each of its layers read and returned."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.explainer.trace import (
    BlockTrace,
    ClassifierTrace,
    EmbeddingsTrace,
    MaskedLMTrace,
)
from minidistil.model import tokens_to_attend
from minidistil.pipelines import FUNCTIONS, function_for

# The name of a module -> what it read, what it returned.
Seen = dict[str, tuple[Tensor, Tensor]]

# Of a trace.
Part = TypeVar("Part", EmbeddingsTrace, BlockTrace, ClassifierTrace, MaskedLMTrace)


@contextmanager
def watching(model: nn.Module) -> Iterator[Seen]:
    """Collect what each module of a model read and returned, if that was one tensor."""
    seen: Seen = {}

    def watch(name: str, module: nn.Module) -> Any:
        def keep(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inputs and isinstance(output, Tensor):
                seen[name] = inputs[0], output

        return module.register_forward_hook(keep)

    hooks = [watch(name, module) for name, module in model.named_modules()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def on_cpu(part: Part, at: Any) -> Part:
    """Copy one sequence of a batch to the CPU; the batch can then be freed."""
    own: dict[str, Any] = {
        name: x[at].to("cpu", copy=True)
        for name, x in vars(part).items()
        if isinstance(x, Tensor)
    }
    return replace(part, **own)


def _below(prefix: str, seen: Seen) -> Seen:
    """What the modules of one part of the model did, by their names in that part."""
    return {
        name.removeprefix(prefix): pair
        for name, pair in seen.items()
        if name.startswith(prefix)
    }


class Recording:
    """One run of a model over a batch."""

    def __init__(self, model: PreTrainedModel, ids: Tensor, mask: Tensor) -> None:
        """Run a `twin`; ``ids`` and ``mask`` are (B, T)."""
        self._attention = model.encoder.transformer.layer[0].attention
        self._attend = tokens_to_attend(mask)  # (B, 1, 1, T)
        self._config = model.settled_config
        # The eager path: the only one that has weights to show.
        with torch.no_grad(), watching(model) as seen:
            out = model(ids, mask, output_attentions=True, return_dict=True)
        self._encoder = seen if model.encoder is model else _below("distilbert.", seen)
        self._seen, self._out = seen, out
        self._weights: tuple[Tensor, ...] = out.attentions  # L of (B, H, T, T)
        self._blocks = [self._block(i) for i in range(self._config.n_layers)]

    def embeddings(self, row: int) -> EmbeddingsTrace:
        """What `Embeddings` computed for one sequence."""
        at = self._encoder
        words = at["embeddings.word_embeddings"][1]
        positions = at["embeddings.position_embeddings"][1].expand_as(words)
        summed, normalised = at["embeddings.LayerNorm"]
        return on_cpu(EmbeddingsTrace(words, positions, summed, normalised), row)

    def block(self, number: int, row: int) -> BlockTrace:
        """What one block computed for one sequence."""
        return on_cpu(self._blocks[number], row)

    def _block(self, number: int) -> BlockTrace:
        """What one block computed for all sequences."""
        at = _below(f"transformer.layer.{number}.", self._encoder)
        split = self._attention.split_heads
        q, k, v = (split(at[f"attention.{name}_lin"][1]) for name in "qkv")
        # What happens inside `eager_attention` is computed again, by the same lines.
        products = q @ k.transpose(2, 3)  # (B, H, T, T)
        scores = products * q.shape[-1] ** -0.5
        if self._attend is not None:
            scores = scores.masked_fill(~self._attend, -math.inf)
        return BlockTrace(
            x=at["attention.q_lin"][0],
            q=q,
            k=k,
            v=v,
            products=products,
            scores=scores,
            weights=self._weights[number],
            mixed=split(at["attention.out_lin"][0]),
            out_lin=at["attention.out_lin"][1],
            attended_plus_x=at["sa_layer_norm"][0],
            sa_layer_norm=at["sa_layer_norm"][1],
            lin1=at["ffn.lin1"][1],
            activation=at["ffn.lin2"][0],
            lin2=at["ffn.lin2"][1],
            fed_forward=at["output_layer_norm"][0],
            output_layer_norm=at["output_layer_norm"][1],
        )

    def classifier(self, row: int) -> ClassifierTrace:
        """What the head of a sequence classifier computed for one sequence."""
        cls, pre_classifier = self._seen["pre_classifier"]
        relu, logits = self._seen["classifier"]
        function = function_for(self._config)
        probabilities = FUNCTIONS[function](logits)
        batch = ClassifierTrace(
            cls, pre_classifier, relu, logits, function, probabilities
        )
        return on_cpu(batch, row)

    def masked_lm(self, row: int, masks: tuple[int, ...]) -> MaskedLMTrace:
        """What the head of a masked language model computed at its masks."""
        at = (row, [*masks])
        _, transformed = self._seen["vocab_transform"]
        activation, normalised = self._seen["vocab_layer_norm"]
        logits = self._out.logits[at]
        head = MaskedLMTrace(
            masks,
            transformed[at],
            activation[at],
            normalised[at],
            logits,
            logits.softmax(dim=-1),
        )
        return on_cpu(head, ...)
