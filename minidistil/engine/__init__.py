"""The engine: a model's results, several times sooner. The README says how to use it.

It is never trusted: `minidistil.model` is what is right, and the tests compare the two.
"""

from minidistil.engine.engine import Engine
from minidistil.engine.precision import CPU_PRECISIONS, PRECISIONS, check_precision

__all__ = ["CPU_PRECISIONS", "PRECISIONS", "Engine", "check_precision"]
