"""Which cases of a test with many the default suite takes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any


def sample(cases: Sequence[Any], count: int) -> list[Any]:
    """Choose cases, the same in every run, with all values of each parameter if can be.

    Again and again, the case whose parameters' values have been chosen least often;
    among equals, one from anywhere in the list.
    """
    left = list(cases)
    random.Random(0).shuffle(left)
    times: Counter[tuple[str, int]] = Counter()
    found = []
    for _ in range(min(count, len(left))):
        values = [case.callspec.indices.items() for case in left]
        best = min(range(len(left)), key=lambda i: sum(times[v] for v in values[i]))
        times.update(values[best])
        found.append(left.pop(best))
    return found
