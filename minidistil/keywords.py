"""The error for a keyword that nobody takes: it names the nearest that exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_keyword(
    unknown: Iterable[str], known: Iterable[str], where: str
) -> TypeError:
    """Return the error for the first of ``unknown``, given to ``where``."""
    name, known = next(iter(unknown)), sorted(known)
    # A part of a name says more than letters in common: mask, of attention_mask.
    near = [each for each in known if name in each] if len(name) > 2 else []
    near = near or difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
    return TypeError(f"{where} has no argument {name!r}; {hint}")
