"""One text through the model, with nothing hidden: `explain`, `compare`."""

from minidistil.explainer.explaining import compare, explain
from minidistil.explainer.trace import Trace, Traces

__all__ = ["Trace", "Traces", "compare", "explain"]
