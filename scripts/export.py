"""Write a checkpoint as a program that runs without this library: ONNX, or ``.pt2``.

    python scripts/export.py tiny tiny.onnx
    python scripts/export.py tiny tiny.pt2 --json

Batches may have any size, and texts any length that the model has positions for. What
was written is run beside the model over that range, and is kept only if no number
differs by more than 1e-5. ONNX takes ``pip install 'minidistil[onnx]'``. The same as
``minidistil weights export``.
"""

from __future__ import annotations

from minidistil.cli.export import export

if __name__ == "__main__":
    export()
