"""What is in a checkpoint: tensors, parameters, heads, and which models it fits.

    python scripts/inspect_weights.py tiny
    python scripts/inspect_weights.py distilbert/distilbert-base-cased --json
    python scripts/inspect_weights.py some/folder/model.safetensors

Only headers are read; of a repository that is not in the cache, only they are fetched
(64 kB of 268 MB). The same as ``minidistil weights inspect``.
"""

from __future__ import annotations

from minidistil.cli.weights import inspect

if __name__ == "__main__":
    inspect()
