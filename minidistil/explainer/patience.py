"""How much of why can be computed while a reader waits: seconds, on two cores."""

from __future__ import annotations

from minidistil.explainer.ablation import cost
from minidistil.explainer.trace import Trace

# Of a longer text no reasons are computed: they would be long to wait for and to read.
MOST_TOKENS = 128
# Operations in forward passes. (A step of the attribution also goes back, which takes
# twice as long as forth.)
ATTRIBUTION_WORK = 1.6e11
ABLATION_WORK = 2.5e11
FEWEST_STEPS = 32  # with fewer the shares are seldom right
MOST_STEPS = 1024


def attribution_steps(trace: Trace, texts: int = 1) -> int:
    """The steps there is time for, if ``texts`` share it; 0 where they are too few."""
    work = _work(trace, len(trace.tokens) * len(trace.layer))
    steps = min(MOST_STEPS, int(ATTRIBUTION_WORK / texts / work))
    return 0 if _is_long(trace) or steps < FEWEST_STEPS else steps


def can_ablate(trace: Trace, texts: int = 1) -> bool:
    """Whether there is time for the ablations, if ``texts`` share it."""
    return not _is_long(trace) and _work(trace, cost(trace)) <= ABLATION_WORK / texts


def what_is_long(trace: Trace, texts: int, *, alone: bool) -> str:
    """What there is no time for: the text, or so many texts if it would do alone."""
    return f"{texts} texts" if alone else f"{len(trace.tokens)} tokens"


def _is_long(trace: Trace) -> bool:
    return len(trace.tokens) > MOST_TOKENS


def _work(trace: Trace, blocks: int) -> float:
    """The operations of the products, for ``blocks`` times a token through a block."""
    config = trace.subject.model.config
    weights = 4 * config.dim**2 + 2 * config.dim * config.hidden_dim
    return 2.0 * blocks * (weights + 2 * len(trace.tokens) * config.dim)
