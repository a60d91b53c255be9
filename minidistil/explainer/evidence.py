"""What the page shows of why: as much as can be computed while a reader waits."""

from __future__ import annotations

from minidistil.explainer.packing import Packed, finite, floats
from minidistil.explainer.patience import (
    MOST_STEPS,
    attribution_steps,
    can_ablate,
    what_is_long,
)
from minidistil.explainer.trace import MaskedLMTrace, Trace

LENS_WORDS = 5


def evidence(traces: list[Trace], patient: bool, progress: bool) -> list[Packed]:
    """The lens, the attribution and the ablations of traces, or why there are none."""
    return [_evidence(trace, len(traces), patient, progress) for trace in traces]


def _evidence(trace: Trace, texts: int, patient: bool, progress: bool) -> Packed:
    if trace.head is None:
        return {"lens": None, "attribution": None, "ablations": None, "omitted": []}
    steps = MOST_STEPS if patient else attribution_steps(trace, texts)
    ablated = patient or can_ablate(trace, texts)
    omitted = []
    if not steps:
        alone = attribution_steps(trace) > 0
        omitted.append(("Attributions", what_is_long(trace, texts, alone=alone)))
    if not ablated:
        alone = can_ablate(trace)
        omitted.append(("Ablations", what_is_long(trace, texts, alone=alone)))
    return {
        "lens": _lens(trace),
        "attribution": _attribution(trace, steps, progress) if steps else None,
        "ablations": _ablations(trace, progress) if ablated else None,
        "omitted": [
            f"{what} of {long} take too long for a page that is waited for; "
            f"--patient, or patient=True in Python, has them computed"
            for what, long in omitted
        ],
    }


def _lens(trace: Trace) -> list[Packed]:
    """For the label, or for each mask: what the head says of every layer's vector."""
    if not isinstance(trace.head, MaskedLMTrace):
        lens = trace.lens()
        return [
            {
                "logits": floats(lens.logits),
                "probabilities": floats(lens.probabilities),
            }
        ]
    packed = []
    for mask in range(len(trace.head.masks)):
        lens = trace.lens(mask=mask)
        shown, words = lens.probabilities.topk(LENS_WORDS, dim=-1)
        names = [[trace.subject.name_of(i) for i in row] for row in words.tolist()]
        packed.append(
            {
                "words": names,
                "logits": floats(lens.logits.gather(-1, words)),
                "probabilities": floats(shown),
            }
        )
    return packed


def _attribution(trace: Trace, steps: int, progress: bool) -> Packed:
    found = trace.attribute(max_steps=steps, progress=progress)
    return {
        "target": found.target,
        "name": found.name,
        "tokens": floats(found.tokens),
        "words": [[finite(x) for x in words] for words in found.words],
        "specials": finite(found.specials),
        "logit": finite(found.logit),
        "baseline": finite(found.baseline),
        "steps": found.steps,
        "error": finite(found.error),
        "reached": found.reached,
    }


def _ablations(trace: Trace, progress: bool) -> Packed:
    found = trace.ablations(progress=progress)
    return {
        "target": found.target,
        "heads": floats(found.heads),
        "layers": floats(found.layers),
        "tokens": floats(found.tokens),
    }
