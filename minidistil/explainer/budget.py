"""How many of the reasons can be computed while a reader waits."""

from __future__ import annotations

from typing import NamedTuple

from minidistil.explainer.ablation import cost
from minidistil.explainer.trace import Record

# The reasons of a longer text would take long to compute, and to read.
MOST_TOKENS = 128
# Operations in forward passes that take seconds on two cores. (A step of the
# attribution also runs backward, which takes twice as long as forward.)
ATTRIBUTION_WORK = 1.6e11
ABLATION_WORK = 2.5e11
FEWEST_STEPS = 32  # with fewer the shares are seldom right
MOST_STEPS = 1024


class Plan(NamedTuple):
    """What is computed for one trace.

    Attributes:
        steps: Of the attribution at most; 0 for none.
        ablations: Whether they are computed.
        omitted: "Attributions" or "Ablations", and of what they would take too long:
            "130 tokens", or "40 texts" where one text alone would not.
    """

    steps: int
    ablations: bool
    omitted: dict[str, str]


def plan(trace: Record, texts: int, patient: bool) -> Plan:
    """What there is time for, if ``texts`` share it; for the patient, everything."""
    if patient:
        return Plan(MOST_STEPS, True, {})
    steps, ablations = _affordable(trace, texts)
    steps_alone, ablations_alone = _affordable(trace, 1)
    too_many, too_long = f"{texts} texts", f"{len(trace.tokens)} tokens"
    omitted = {}
    if not steps:
        omitted["Attributions"] = too_many if steps_alone else too_long
    if not ablations:
        omitted["Ablations"] = too_many if ablations_alone else too_long
    return Plan(steps, ablations, omitted)


def _affordable(trace: Record, texts: int) -> tuple[int, bool]:
    """How many steps of the attribution, and whether the ablations."""
    if len(trace.tokens) > MOST_TOKENS:
        return 0, False
    work = _work(trace, len(trace.tokens) * len(trace.layer))
    steps = min(MOST_STEPS, int(ATTRIBUTION_WORK / texts / work))
    ablations = _work(trace, cost(trace)) <= ABLATION_WORK / texts
    return (steps if steps >= FEWEST_STEPS else 0), ablations


def _work(trace: Record, blocks: int) -> float:
    """The operations of the products, for ``blocks`` times a token through a block."""
    config = trace.subject.model.config
    weights = 4 * config.dim**2 + 2 * config.dim * config.hidden_dim
    return 2.0 * blocks * (weights + 2 * len(trace.tokens) * config.dim)
