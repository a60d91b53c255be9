"""One text through the model, with nothing hidden: `explain`, `compare`."""

from minidistil.explainer.explaining import Trace, Traces, compare, explain

__all__ = ["Trace", "Traces", "compare", "explain"]
