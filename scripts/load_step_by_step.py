"""How a checkpoint becomes a model: find, read, build, match, check, copy, ask.

    python scripts/load_step_by_step.py tiny
    python scripts/load_step_by_step.py some/folder "Paris is in [MASK]."

Each step is the library's own, with the words left in. The same as ``minidistil weights
load``.
"""

from __future__ import annotations

from minidistil.cli.weights import load

if __name__ == "__main__":
    load()
