"""Other people's weights, made into the layout that is loaded.

    python scripts/convert_weights.py folder/with/pytorch_model.bin folder
    python scripts/convert_weights.py some/bert student --layers every-second
    python scripts/convert_weights.py tiny smaller --dtype bfloat16 --drop-heads

Pickles, BERT, old names, prefixes, types, heads and layers. Of a pickle only tensors
are read, and not at all by a torch before 2.10. The same as ``minidistil weights
convert``.
"""

from __future__ import annotations

from minidistil.cli.weights import convert

if __name__ == "__main__":
    convert()
