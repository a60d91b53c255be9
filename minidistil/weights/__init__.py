"""What can be done with a checkpoint beside loading it: ``minidistil weights``.

>>> from minidistil import weights
>>> weights.inspect("tiny").kind
'DistilBertForSequenceClassification'

The functions below are imported when they are first used: ``import minidistil.weights``
is quick, and does not load torch. README.md says what each of them does.

- `headers`, `inspection`: what is in a checkpoint, and which model it fits.
- `catalogue`: the official checkpoints, and which of them are in the cache.
- `stepwise`: loading, one step at a time, for readers.
- `goldens`, `distance`, `verification`: does it give the right numbers here?
- `layerwise`: two models side by side, layer by layer.
- `pickles`, `bert`, `conversion`: other layouts, made into the one that is loaded.
- `exporting`: a model as a program that others run.
- `cards`, `publishing`: a checkpoint on the hub, with a card.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidistil.weights.catalogue import (
        official_checkpoints as official_checkpoints,
    )
    from minidistil.weights.conversion import convert as convert
    from minidistil.weights.exporting import export as export
    from minidistil.weights.inspection import inspect as inspect
    from minidistil.weights.publishing import publish as publish
    from minidistil.weights.stepwise import load_step_by_step as load_step_by_step
    from minidistil.weights.verification import verify as verify

# The module of each function. No module may have the name of one.
_MODULES = {
    "convert": "conversion",
    "export": "exporting",
    "inspect": "inspection",
    "load_step_by_step": "stepwise",
    "official_checkpoints": "catalogue",
    "publish": "publishing",
    "verify": "verification",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'minidistil.weights' has no attribute {name!r}")
    module = import_module(f"minidistil.weights.{_MODULES[name]}")
    globals()[name] = getattr(module, name)  # found at once from now on
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
