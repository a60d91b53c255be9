"""What the answer owes to each head, layer and token: take them away and see."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import torch
from torch import Tensor
from tqdm import tqdm

from minidistil.explainer.answer import TOKENS_AT_ONCE, Answer, in_range
from minidistil.explainer.trace import Trace
from minidistil.model import Attention, sdpa_attention, tokens_to_attend

Head = tuple[int, int]  # a layer, and a head of it


@dataclass(frozen=True, eq=False)
class Ablation:
    """The answer without some parts of the model or the text.

    Attributes:
        logits: What it then is, (N,).
        change: That minus what it is with them, (N,).
    """

    logits: Tensor
    change: Tensor


@dataclass(frozen=True, eq=False)
class Ablations:
    """What one logit becomes without each part alone, minus what it is with all.

    Attributes:
        target: The number of the label or word that the logit is of.
        heads: The change for each head, (L, H).
        layers: The change for each layer, (L,).
        tokens: The change for each token, (T,); 0 for padding, which is hidden anyway.
    """

    target: int
    heads: Tensor
    layers: Tensor
    tokens: Tensor


@torch.no_grad()
def ablate(
    trace: Trace,
    *,
    heads: Iterable[Head] = (),
    layers: Iterable[int] = (),
    tokens: Iterable[int] = (),
    mask: int = 0,
) -> Ablation:
    """Run the model without some heads, layers and tokens, all together.

    Without a head, its mixed values are 0. Without a layer, the next one reads what it
    would have read. Without a token, the mask hides it from every token. Changes are
    exact to rounding; models in 16 bits are computed in 32.

    Args:
        trace: A trace with an answer.
        heads: Pairs of a layer and a head in it, both counted from 0.
        layers: Numbers of layers, counted from 0.
        tokens: Places of tokens among ``trace.tokens``.
        mask: Which ``[MASK]`` of the text, counted from 0.

    Raises:
        ValueError: if the trace has no answer, or no token is left.
        IndexError: if there is no such head, layer, token or mask.
        TypeError: for what is no collection of such numbers.
    """
    answer = Answer(trace, mask)
    model = _Model(answer)
    without = model.checked(heads, layers, tokens)
    logits = model.run([without])[0]
    return Ablation(logits, logits - model.logits)


@torch.no_grad()
def ablations(
    trace: Trace,
    target: SupportsIndex | str | None = None,
    *,
    mask: int = 0,
    progress: bool = False,
) -> Ablations:
    """Run the model without each head, each layer and each token: see `ablate`.

    Args:
        trace: A trace with an answer; `cost` tells how long it will take.
        target: The label or word whose logit is looked at, by number or name; the most
            probable one by default.
        mask: Which ``[MASK]`` of the text, counted from 0.
        progress: Show a progress bar.

    Raises:
        ValueError: if the trace has no answer, or there is none of that name.
        IndexError: if there is no such target or mask.
    """
    answer = Answer(trace, mask)
    target = answer.number(target)
    model = _Model(answer)
    heads = [*itertools.product(range(len(trace.layer)), range(model.n_heads))]
    read = [place for place, token in enumerate(trace.tokens) if token.attend]
    runs = [
        *(Without(heads=frozenset([head])) for head in heads),
        *(Without(layers=frozenset([layer])) for layer in range(len(trace.layer))),
        *(Without(tokens=frozenset([place])) for place in read),
    ]
    changes: dict[Without, float] = {}
    with tqdm(
        total=len(runs), desc="ablations", unit="run", disable=not progress
    ) as bar:
        for batch in _batches(runs, len(trace.tokens)):
            change = model.run(batch)[:, target] - model.logits[target]
            changes.update(zip(batch, change.tolist(), strict=True))
            bar.update(len(batch))
    found = torch.tensor([changes[run] for run in runs])
    counts = [len(heads), len(trace.layer), len(read)]
    of_heads, of_layers, of_read = torch.split(found, counts)
    of_tokens = torch.zeros(len(trace.tokens))
    of_tokens[read] = of_read
    return Ablations(target, of_heads.view(-1, model.n_heads), of_layers, of_tokens)


def cost(trace: Trace) -> int:
    """How often `ablations` takes a token through a block: the time is proportional.

    Leaving a layer out, or a head in it, costs no work below that layer.
    """
    layers, heads = len(trace.layer), len(trace.layer[0].q)
    runs = (heads + 1) * layers * (layers + 1) // 2 + len(trace.tokens) * layers
    return runs * len(trace.tokens)


@dataclass(frozen=True)
class Without:
    """What one run goes without."""

    heads: frozenset[Head] = frozenset()
    layers: frozenset[int] = frozenset()
    tokens: frozenset[int] = frozenset()

    @property
    def first(self) -> int:
        """The first layer that computes anything else than in the whole model."""
        changed = {*self.layers, *(layer for layer, _ in self.heads)}
        return 0 if self.tokens else min(changed, default=0)


def _batches(runs: Iterable[Without], tokens: int) -> Iterator[list[Without]]:
    """Runs that begin at one layer, a bounded number of tokens at once."""
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
        logits: What the whole model answers, (N,).
    """

    def __init__(self, answer: Answer) -> None:
        out = answer.encoder(answer.ids, answer.attend, output_hidden_states=True)
        self._answer = answer
        self._layers = answer.encoder.transformer.layer
        self._states: tuple[Tensor, ...] = out.hidden_states  # L + 1 of (1, T, D)
        self.n_heads: int = answer.encoder.config.n_heads
        self.logits = answer.from_vectors(self._states[-1][:, answer.place])[0]

    def run(self, runs: Sequence[Without]) -> Tensor:
        """The logits (R, N) of R runs."""
        first = min(run.first for run in runs)
        x = self._states[first].expand(len(runs), -1, -1)  # (R, T, D)
        attend = tokens_to_attend(self._attend(runs))
        for number, block in enumerate(self._layers[first:], first):
            after, _ = block(x, attend, self._attention(runs, number))
            skipped = self._booleans([[number in run.layers] for run in runs])  # (R, 1)
            x = torch.where(skipped[:, None], x, after)
        return self._answer.from_vectors(x[:, self._answer.place])

    def _attend(self, runs: Sequence[Without]) -> Tensor:
        tokens = range(self._answer.ids.shape[1])
        hidden = [[place in run.tokens for place in tokens] for run in runs]
        return self._answer.attend & ~self._booleans(hidden)  # (R, T)

    def _attention(self, runs: Sequence[Without], layer: int) -> Attention:
        """The attention of a layer, without the heads that each run goes without."""
        heads = range(self.n_heads)
        gone = [[(layer, head) in run.heads for head in heads] for run in runs]
        silent = self._booleans(gone)[:, :, None, None]  # (R, H, 1, 1)

        def attention(
            q: Tensor, k: Tensor, v: Tensor, attend: Tensor | None, dropout: float
        ) -> tuple[Tensor, Tensor | None]:
            mixed, weights = sdpa_attention(q, k, v, attend, dropout)  # (R, H, T, K)
            return mixed.masked_fill(silent, 0.0), weights

        return attention

    def _booleans(self, rows: list[list[bool]]) -> Tensor:
        return torch.tensor(rows, device=self._answer.ids.device)

    def checked(
        self, heads: Iterable[Head], layers: Iterable[int], tokens: Iterable[int]
    ) -> Without:
        """What the caller wants to go without, if there is such a thing."""
        count = self._answer.ids.shape[1]
        without = Without(
            frozenset(self._head(head) for head in _each("heads", heads)),
            frozenset(self._layer("layers", each) for each in _each("layers", layers)),
            frozenset(
                in_range("tokens", place, count, "the place of a token")
                for place in _each("tokens", tokens)
            ),
        )
        if not self._attend([without]).any():
            # To the model a mask that hides everything hides nothing.
            raise ValueError("all tokens are taken away, expected at least one to stay")
        return without

    def _head(self, pair: object) -> Head:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"heads holds {pair!r:.60}, expected pairs of a layer and a head, such "
                f"as heads=[(0, 1)]"
            )
        layer, head = pair
        what = "the number of a head in its layer"
        return self._layer("heads", layer), in_range("heads", head, self.n_heads, what)

    def _layer(self, name: str, number: SupportsIndex) -> int:
        return in_range(name, number, len(self._layers), "the number of a layer")


def _each(name: str, values: Any) -> Iterable[Any]:
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} is {values!r:.60}, expected several: [{values!r:.60}]")
    return values
