"""What each head, layer and token does for the answer: take it away and see."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import torch
from torch import Tensor
from tqdm import tqdm

from minidistil.explainer.prediction import (
    FLOAT32,
    TOKENS_AT_ONCE,
    Prediction,
    in_range,
)
from minidistil.explainer.trace import Record
from minidistil.messages import quote
from minidistil.model import Attention, sdpa_attention, tokens_to_attend

Head = tuple[int, int]  # a layer, and a head of it


@dataclass(frozen=True, eq=False)
class Ablation:
    """The answer without some parts of the model or the text.

    Attributes:
        logits: The logits without them, (C,).
        change: Those minus the logits with them, (C,).
    """

    logits: Tensor
    change: Tensor


@dataclass(frozen=True, eq=False)
class Ablations:
    """What one logit becomes without each part alone, minus what it is with all.

    Attributes:
        target: The index of the label or word whose logit is watched.
        heads: How that logit changes if the mixed values of one head become 0, (L, H).
        layers: How it changes if one layer is skipped: the next reads what it would
            have read, (L,).
        tokens: How it changes if the mask hides one token; 0 for padding, which is
            hidden anyway, (T,).
    """

    target: int
    heads: Tensor
    layers: Tensor
    tokens: Tensor


@torch.no_grad()
def ablate(
    trace: Record,
    *,
    heads: Iterable[Head] = (),
    layers: Iterable[int] = (),
    tokens: Iterable[int] = (),
    mask: int = 0,
) -> Ablation:
    """Run the model without some heads, layers and tokens, all together.

    Without a head, its mixed values are 0. Without a layer, the next one reads what it
    would have read. Without a token, the mask hides it from every token. Changes are
    exact but for rounding; models in 16 bits are computed in 32.

    Args:
        trace: A trace whose head is shown.
        heads: Pairs of a layer and a head in it, both counted from 0.
        layers: Numbers of layers, counted from 0.
        tokens: Positions in ``trace.tokens``.
        mask: Which ``[MASK]`` of the text, counted from 0.

    Raises:
        ValueError: if the trace shows no head, or no token is left.
        IndexError: if there is no such head, layer, token or mask.
        TypeError: for anything else than collections of such numbers.
    """
    model = _Model(Prediction(trace, mask))
    without = model.checked(heads, layers, tokens)
    logits = model.run([without])[0]
    return Ablation(logits, logits - model.logits)


@torch.no_grad()
def ablations(
    trace: Record,
    target: SupportsIndex | str | None = None,
    *,
    mask: int = 0,
    progress: bool = False,
) -> Ablations:
    """Run the model without each head, each layer and each token: see `ablate`.

    Args:
        trace: A trace whose head is shown; the time is proportional to `cost`.
        target: The label or word whose logit is watched, by index or name; the most
            probable one by default.
        mask: Which ``[MASK]`` of the text, counted from 0.
        progress: Show a progress bar.

    Raises:
        ValueError: if the trace shows no head, or no label or word has that name.
        IndexError: if there is no such target or mask.
    """
    prediction = Prediction(trace, mask)
    target = prediction.index_of(target)
    model = _Model(prediction)
    heads = [*itertools.product(range(len(trace.layer)), range(model.n_heads))]
    read = [i for i, token in enumerate(trace.tokens) if token.attend]
    runs = [
        *(Without(heads=frozenset([head])) for head in heads),
        *(Without(layers=frozenset([layer])) for layer in range(len(trace.layer))),
        *(Without(tokens=frozenset([position])) for position in read),
    ]
    changes: dict[Without, float] = {}
    with tqdm(
        total=len(runs), desc="ablations", unit="run", disable=not progress
    ) as bar:
        for batch in _batches(runs, len(trace.tokens)):
            change = model.run(batch)[:, target] - model.logits[target]
            changes.update(zip(batch, change.tolist(), strict=True))
            bar.update(len(batch))
    found = torch.tensor([changes[run] for run in runs], **FLOAT32)
    counts = [len(heads), len(trace.layer), len(read)]
    of_heads, of_layers, of_read = torch.split(found, counts)
    of_tokens = torch.zeros(len(trace.tokens), **FLOAT32)
    of_tokens[read] = of_read
    return Ablations(target, of_heads.view(-1, model.n_heads), of_layers, of_tokens)


def cost(trace: Record) -> int:
    """How many times `ablations` takes a token through a block.

    Leaving out a layer, or a head in it, costs no work below that layer.
    """
    layers, heads = len(trace.layer), len(trace.layer[0].q)
    runs = (heads + 1) * layers * (layers + 1) // 2 + len(trace.tokens) * layers
    return runs * len(trace.tokens)


@dataclass(frozen=True)
class Without:
    """The heads, layers and tokens that one run leaves out."""

    heads: frozenset[Head] = frozenset()
    layers: frozenset[int] = frozenset()
    tokens: frozenset[int] = frozenset()

    @property
    def first(self) -> int:
        """The first layer whose result differs from the whole model's."""
        changed = {*self.layers, *(layer for layer, _ in self.heads)}
        return 0 if self.tokens else min(changed, default=0)


def _batches(runs: Iterable[Without], tokens: int) -> Iterator[list[Without]]:
    """Runs that begin at the same layer, a bounded number of tokens at once."""
    size = max(1, TOKENS_AT_ONCE // tokens)
    in_order = sorted(runs, key=lambda run: run.first)
    for _, group in itertools.groupby(in_order, key=lambda run: run.first):
        same = [*group]
        for start in range(0, len(same), size):
            yield same[start : start + size]


class _Model:
    """The whole model's hidden states, from which runs without some parts begin.

    Attributes:
        n_heads: H.
        logits: The logits of the whole model, (C,).
    """

    def __init__(self, prediction: Prediction) -> None:
        encoder, self._prediction = prediction.encoder, prediction
        asked = {"output_hidden_states": True, "return_dict": True}
        out = encoder(prediction.ids, prediction.attend, **asked)
        self._layers = encoder.transformer.layer
        self._states: tuple[Tensor, ...] = out.hidden_states  # L + 1 of (1, T, D)
        self.n_heads: int = encoder.config.n_heads
        self.logits = self._logits(self._states[-1])[0]

    def _logits(self, x: Tensor) -> Tensor:
        """The logits (R, C) for the last layer's vectors (R, T, D)."""
        return self._prediction.from_vectors(x[:, self._prediction.position])

    def run(self, runs: Sequence[Without]) -> Tensor:
        """The logits (R, C) of R runs."""
        first = min(run.first for run in runs)
        x = self._states[first].expand(len(runs), -1, -1)  # (R, T, D)
        attend = tokens_to_attend(self._attend(runs))
        for number, block in enumerate(self._layers[first:], first):
            after, *_ = block(x, attend, self._attention(runs, number))
            skipped = self._booleans([[number in run.layers] for run in runs])  # (R, 1)
            x = torch.where(skipped[:, None], x, after)
        return self._logits(x)

    def _attend(self, runs: Sequence[Without]) -> Tensor:
        tokens = range(self._prediction.ids.shape[1])
        hidden = [[position in run.tokens for position in tokens] for run in runs]
        return self._prediction.attend & ~self._booleans(hidden)  # (R, T)

    def _attention(self, runs: Sequence[Without], layer: int) -> Attention:
        """The attention of a layer, without the heads that each run leaves out."""
        heads = range(self.n_heads)
        gone = [[(layer, head) in run.heads for head in heads] for run in runs]
        silent = self._booleans(gone)[:, :, None, None]  # (R, H, 1, 1)

        def attention(
            q: Tensor, k: Tensor, v: Tensor, attend: Tensor | None, dropout: float
        ) -> tuple[Tensor, ...]:
            (mixed,) = sdpa_attention(q, k, v, attend, dropout)  # (R, H, T, K)
            return (mixed.masked_fill(silent, 0.0),)

        return attention

    def _booleans(self, rows: list[list[bool]]) -> Tensor:
        return torch.tensor(rows, device=self._prediction.ids.device)

    def checked(
        self, heads: Iterable[Head], layers: Iterable[int], tokens: Iterable[int]
    ) -> Without:
        """What the caller wants to leave out; each part must exist."""
        count = self._prediction.ids.shape[1]
        without = Without(
            frozenset(self._head(head) for head in _each("heads", heads)),
            frozenset(self._layer("layers", each) for each in _each("layers", layers)),
            frozenset(
                in_range("tokens", position, count, "the position of a token")
                for position in _each("tokens", tokens)
            ),
        )
        if not self._attend([without]).any():
            # The model takes a mask that hides everything for one that hides nothing.
            raise ValueError("all tokens are taken away, expected at least one to stay")
        return without

    def _head(self, pair: object) -> Head:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"heads holds {quote(pair)}, expected pairs of a layer and a head, "
                f"such as heads=[(0, 1)]"
            )
        layer, head = pair
        what = "the number of a head in its layer"
        return self._layer("heads", layer), in_range("heads", head, self.n_heads, what)

    def _layer(self, name: str, number: SupportsIndex) -> int:
        return in_range(name, number, len(self._layers), "the number of a layer")


def _each(name: str, values: Any) -> Iterable[Any]:
    if not isinstance(values, Iterable):
        raise TypeError(
            f"{name} is {quote(values)}, expected a list: [{quote(values)}]"
        )
    return values
