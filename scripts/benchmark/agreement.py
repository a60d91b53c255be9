"""Whether everyone answers as the model does: who does not has not done the work."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np
from contestant import Contestant, Scores
from workloads import Workload

# How far a score may be from the float32 model's on the CPU. In float32 only sums are
# in another order.
FLOAT32 = 1e-4

# Coarser numbers give coarser answers, and with random weights the answers themselves
# are close together: how close, is the unit here, their standard deviation. Three times
# what was seen of transformers' own model: 0.17 with the 8 bits of bfloat16, 0.03 with
# the 11 of float16. Of ONNX Runtime's dynamic int8 it was 0.4 to 0.7. Of 32 texts that
# are mistaken for each other, the worst is nearly 3 off.
COARSE = {"bfloat16": 0.5, "float16": 0.1, "int8": 1.5}

BATCH_TOKENS = 1024

Expected = dict[str, float]  # from a text to its score


def reference(folder: Path, workloads: Iterable[Workload]) -> Expected:
    """Let our model answer, in float32 and on the CPU.

    Raises:
        click.ClickException: if it answers all alike, so that nobody could be wrong.
    """
    import torch

    from minidistil import DistilBertForSequenceClassification

    model = DistilBertForSequenceClassification.from_pretrained(folder)
    expected = {}
    for work in workloads:
        for batch in work.batches(BATCH_TOKENS):
            with torch.inference_mode():
                logits = model(
                    torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)
                ).logits
            scores = logits.softmax(dim=1)[:, 1].tolist()
            texts = (work.texts[place] for place in batch.places)
            expected.update(zip(texts, scores, strict=True))
    if not _spread(expected) > 10 * FLOAT32:
        raise click.ClickException(
            f"the model's scores of {len(expected)} texts are within "
            f"{_spread(expected):.1g} of each other: no wrong answer would be noticed"
        )
    return expected


def check(
    contestant: Contestant, work: Workload, scores: Scores, expected: Expected
) -> float:
    """Compare the scores of those texts whose right ones are known.

    Returns:
        The largest difference.

    Raises:
        click.ClickException: if it is too large for the contestant's precision.
    """
    known = [place for place, text in enumerate(work.texts) if text in expected]
    if not known or scores.shape != (len(work.texts),):
        raise click.ClickException(
            f"{contestant.name} gives scores of shape {scores.shape} for the "
            f"{len(work.texts)} texts of {work.name}, of which {len(known)} are known"
        )
    right = [expected[work.texts[place]] for place in known]
    change = float(np.abs(scores[known] - right).max())
    share = COARSE.get(contestant.precision)
    bound = FLOAT32 if share is None else share * _spread(expected)
    if not change <= bound:  # NaN is not
        raise click.ClickException(
            f"{contestant.name} answers otherwise than the model: on {work.name} a "
            f"score differs by {change:.2g}, expected at most {bound:.2g}"
        )
    return change


def _spread(expected: Expected) -> float:
    return float(np.std([*expected.values()]))
