"""How much each word adds to a logit: integrated gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import SupportsIndex

import torch
from torch import Tensor
from tqdm import tqdm

from minidistil.explainer.prediction import FLOAT64, TOKENS_AT_ONCE, Prediction
from minidistil.explainer.trace import Record
from minidistil.messages import check_integer

FIRST_STEPS = 8  # those whose error is too large are then halved
ROUNDINGS = 8  # two logits so many apart count as equal


@dataclass(frozen=True, eq=False)
class Attribution:
    """The change of one logit from the baseline to the text, divided among its tokens.

    The shares add up to ``logit - baseline``, but for the ``error``: |sum of shares -
    (logit - baseline)| / |logit - baseline|, infinite if the two logits are equal and
    the sum is not 0.

    Attributes:
        target: The index of the label or word that is explained.
        name: Its name.
        tokens: The share of each token: how much it adds to the logit, by integrated
            gradients, (T,).
        words: The same for each word of each text: the sum over its tokens.
        specials: The sum over the tokens that are of no word, such as [CLS]: 0, as the
            baseline keeps them.
        logit: The logit of the text.
        baseline: The logit of the baseline, where [PAD] stands for the words.
        steps: How many steps were taken from the baseline to the text.
        error: How far the sum is from logit minus baseline, as a share of that.
        reached: Whether the errors of all steps, added without their signs, are within
            the tolerance; then so is the error.
    """

    target: int
    name: str
    tokens: Tensor
    words: tuple[tuple[float, ...], ...]
    specials: float
    logit: float
    baseline: float
    steps: int
    error: float
    reached: bool


def attribute(
    trace: Record,
    target: SupportsIndex | str | None = None,
    *,
    mask: int = 0,
    tolerance: float = 0.01,
    max_steps: int = 1024,
    progress: bool = False,
) -> Attribution:
    """Integrated gradients of a logit (Sundararajan et al. 2017, arXiv:1703.01365).

    share_t = Σ_d (w_td - b_td) ∫₀¹ ∂logit / ∂w_td at b + α (w - b) dα

    w are the word vectors of the text, b those of the baseline: ``[PAD]`` in the place
    of every token of the text, also of a ``[CLS]`` that is written in it. The [CLS]
    and [SEP] that the tokenizer adds stay, and so does the ``[MASK]`` whose word is
    predicted. The position vectors are the same in both.

    The trapezoidal rule approximates the integral. What the shares of a step must add
    up to is known: the change of the logit from one end of the step to the other. The
    steps with large errors are halved until the sum of all errors is within the
    tolerance; signs are ignored, as errors that cancel out leave wrong shares. A
    difference of no more than a few roundings counts as 0. Models in 16 bits are
    computed in 32.

    Args:
        trace: A trace whose head is shown.
        target: The label or word to explain, by index or name; the most probable one
            by default.
        mask: Which ``[MASK]`` of the text, counted from 0.
        tolerance: The error, relative to ``logit - baseline``, that is good enough.
        max_steps: How many steps to take at most.
        progress: Show a progress bar.

    Raises:
        ValueError: if the trace shows no head, or no label or word has that name; if
            the tolerance is negative or ``max_steps`` is 0.
        IndexError: if there is no such target or mask.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}, expected 0 or more: 0.01 is 1 %")
    max_steps = check_integer("max_steps", max_steps, minimum=1)
    # Also where the caller has switched gradients off.
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        tqdm(desc="attribution", unit="point", disable=not progress) as bar,
    ):
        prediction = Prediction(trace, mask)
        target = prediction.index_of(target)
        path = _Path(trace, prediction, target, bar)
        path.add(torch.linspace(0, 1, min(FIRST_STEPS, max_steps) + 1, **FLOAT64))
        allowed = tolerance * abs(path.difference)
        while (errors := path.errors()).sum() > allowed and len(errors) < max_steps:
            # Those far above their part of what is allowed, as others are below theirs.
            above = int((errors > 2 * allowed / len(errors)).sum())
            worst = errors.argsort(descending=True)[: max(1, above)]
            path.halve(worst[: max_steps - len(errors)])
        tokens = path.shares().sum(dim=0).float()
    words, specials = _by_word(trace, tokens.tolist())
    return Attribution(
        target=target,
        name=trace.subject.name_of(target),
        tokens=tokens,
        words=words,
        specials=specials,
        logit=float(path.logits[-1]),
        baseline=float(path.logits[0]),
        steps=len(errors),
        error=_relative_error(float(tokens.sum()), path.difference),
        reached=bool(errors.sum() <= allowed),
    )


class _Path:
    """Points on the line from the baseline's word vectors to those of the text.

    Attributes:
        points: α of each, from 0 to 1, (S + 1,).
        logits: The logit at each, (S + 1,).
        slopes: Its derivative with respect to α there, as the sum of one part for each
            token, (S + 1, T).
    """

    def __init__(
        self, trace: Record, prediction: Prediction, target: int, bar: tqdm[None]
    ) -> None:
        self._prediction, self._target, self._bar = prediction, target, bar
        vector_of = prediction.encoder.embeddings.word_embeddings
        in_text = [token.word is not None for token in trace.tokens]
        is_text = torch.tensor(in_text, device="cpu")
        is_text[prediction.position] = False  # the [MASK] that is asked, or [CLS]
        baseline = prediction.ids.masked_fill(
            is_text.to(prediction.ids.device), trace.subject.tokenizer.pad_token_id
        )
        self._start = vector_of(baseline)  # (1, T, D)
        self._direction = vector_of(prediction.ids) - self._start  # (1, T, D)
        largest = float(prediction.logits.abs().max())
        eps = torch.finfo(prediction.encoder.dtype).eps
        self._rounding = ROUNDINGS * eps * largest
        # In float64, as many are added up.
        self.points = torch.empty(0, **FLOAT64)
        self.logits = torch.empty(0, **FLOAT64)
        self.slopes = torch.empty(0, len(trace.tokens), **FLOAT64)

    @property
    def difference(self) -> float:
        """The logit of the text minus that of the baseline; 0 if only rounding."""
        difference = float(self.logits[-1] - self.logits[0])
        return 0.0 if abs(difference) <= self._rounding else difference

    def shares(self) -> Tensor:
        """The integral of each token's slope over each step, by trapezoids, (S, T)."""
        return (
            torch.diff(self.points)[:, None] * (self.slopes[1:] + self.slopes[:-1]) / 2
        )

    def errors(self) -> Tensor:
        """How far the shares of each step are from the change of the logit, (S,)."""
        off = (self.shares().sum(dim=1) - torch.diff(self.logits)).abs()
        # A difference of 0 allows no error at all, not even rounding.
        return off if self.difference else off.where(off > self._rounding, 0.0)

    def halve(self, steps: Tensor) -> None:
        """Put a point in the middle of some steps."""
        self.add((self.points[steps] + self.points[steps + 1]) / 2)

    def add(self, points: Tensor) -> None:
        """Add points, a bounded number of tokens at once."""
        self._bar.total = self._bar.n + len(points)
        size = max(1, TOKENS_AT_ONCE // self._direction.shape[1])
        parts = [self._at(part) for part in torch.split(points, size)]
        logits, slopes = map(torch.cat, zip(*parts, strict=True))
        points = torch.cat([self.points, points])
        order = points.argsort()
        self.points = points[order]
        self.logits = torch.cat([self.logits, logits])[order]
        self.slopes = torch.cat([self.slopes, slopes])[order]

    def _at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (R,) and slopes (R, T) at some points."""
        direction, prediction = self._direction, self._prediction
        x = self._start + points.to(direction)[:, None, None] * direction  # (R, T, D)
        x.requires_grad_()
        attend = prediction.attend.expand(len(x), -1)
        encoded = prediction.encoder(
            inputs_embeds=x, attention_mask=attend, return_dict=True
        )
        vectors = encoded.last_hidden_state[:, prediction.position]
        logits = prediction.from_vectors(vectors)[:, self._target]  # (R,)
        # The rows are independent: the gradient of their sum is each one's.
        (gradient,) = torch.autograd.grad(logits.sum(), x)
        self._bar.update(len(x))
        slopes = (gradient * direction).sum(dim=-1)  # (R, T)
        return logits.detach().double(), slopes.cpu().double()


def _relative_error(total: float, difference: float) -> float:
    if total == difference:
        return 0.0  # also where both are 0: an empty text is its own baseline
    return abs(total - difference) / abs(difference) if difference else math.inf


def _by_word(
    trace: Record, shares: list[float]
) -> tuple[tuple[tuple[float, ...], ...], float]:
    """The sums over the tokens of each word, and over those that are of none."""
    words = [[0.0] * len(reading.words) for reading in trace.readings]
    specials = 0.0
    for token, share in zip(trace.tokens, shares, strict=True):
        if token.reading is None or token.word is None:
            specials += share
        else:
            words[token.reading][token.word] += share
    return tuple(map(tuple, words)), specials
