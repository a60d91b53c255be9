"""Does a checkpoint give the right numbers on this machine?

    python scripts/verify_weights.py tiny --precision int8
    python scripts/verify_weights.py distilbert/distilbert-base-uncased --device cuda
    python scripts/verify_weights.py a/copy --known-as distilbert/distilbert-base-cased

Three answers: whether the file has the hub's hash, whether the model and the engine
answer what was published of the checkpoint, and how far both are from the model in
float64. The exit status is 0 if all is right, 1 if something is wrong, and 2 if the
checkpoint could not be checked. The same as ``minidistil weights verify``.
"""

from __future__ import annotations

from minidistil.cli.weights import verify

if __name__ == "__main__":
    verify()
