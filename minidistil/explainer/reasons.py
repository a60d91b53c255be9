"""Why the answer is what it is, packed for the page: lens, attribution, ablations."""

from __future__ import annotations

from minidistil.explainer.ablation import ablations
from minidistil.explainer.attribution import attribute
from minidistil.explainer.budget import plan
from minidistil.explainer.lens import lens
from minidistil.explainer.packing import Packed, finite, floats
from minidistil.explainer.trace import MaskedLMTrace, Record

LENS_WORDS = 5


def reasons(trace: Record, texts: int, patient: bool, progress: bool) -> Packed:
    """The reasons for one of ``texts`` answers; null, and why, what takes too long."""
    if trace.head is None:
        return {"lens": None, "attribution": None, "ablations": None, "omitted": []}
    steps, ablated, omitted = plan(trace, texts, patient)
    return {
        "lens": _lens(trace),
        "attribution": _attribution(trace, steps, progress) if steps else None,
        "ablations": _ablations(trace, progress) if ablated else None,
        "omitted": [
            f"{what} of {long} take too long to wait for; --patient, or patient=True "
            f"in Python, computes them"
            for what, long in omitted.items()
        ],
    }


def _lens(trace: Record) -> list[Packed]:
    """For the label, or for each mask: what the head predicts from every layer."""
    if not isinstance(trace.head, MaskedLMTrace):
        found = lens(trace)
        return [{name: floats(x) for name, x in vars(found).items()}]
    packed = []
    for mask in range(len(trace.head.masks)):
        found = lens(trace, mask=mask)
        probabilities, words = found.probabilities.topk(LENS_WORDS, dim=-1)
        names = [[trace.subject.name_of(i) for i in row] for row in words.tolist()]
        packed.append(
            {
                "words": names,
                "logits": floats(found.logits.gather(-1, words)),
                "probabilities": floats(probabilities),
            }
        )
    return packed


def _attribution(trace: Record, steps: int, progress: bool) -> Packed:
    found = attribute(trace, max_steps=steps, progress=progress)
    numbers = ("specials", "logit", "baseline", "error")
    return vars(found) | {
        "tokens": floats(found.tokens),
        "words": [[finite(x) for x in words] for words in found.words],
        **{name: finite(getattr(found, name)) for name in numbers},
    }


def _ablations(trace: Record, progress: bool) -> Packed:
    found = ablations(trace, progress=progress)
    return vars(found) | {
        name: floats(getattr(found, name)) for name in ("heads", "layers", "tokens")
    }
