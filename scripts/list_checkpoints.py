"""The official DistilBERT checkpoints: task, size, licence, and which are here.

    python scripts/list_checkpoints.py             # as the hub has them
    python scripts/list_checkpoints.py --offline   # a dated list

The same as ``minidistil weights list``.
"""

from __future__ import annotations

from minidistil.cli.weights import list_command

if __name__ == "__main__":
    list_command()
