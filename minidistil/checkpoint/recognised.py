"""How transformers' ``Trainer`` recognises a model as one that can save itself.

The Trainer calls ``model.save_pretrained`` only if ``isinstance(model,
transformers.PreTrainedModel)``. Of any other module it writes the bare tensors: without
a ``config.json``, so that nothing can open them, and not at all where two names share a
tensor, as in masked language modelling. It offers no other way.

So where transformers has been imported, a model counts as one of that class. Nothing is
taken from it: all methods of a model are its own.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from torch import nn


def _get_class(model: object) -> type:
    kind = type(model)
    modelling = sys.modules.get("transformers.modeling_utils")
    theirs = getattr(modelling, "PreTrainedModel", None)  # while it is imported, none
    return kind if theirs is None else _of_both(kind, theirs)  # type: ignore[arg-type]


def _set_class(model: object, kind: type) -> None:
    object.__dict__["__class__"].__set__(model, kind)  # for torch's fully_shard


@functools.cache
def _of_both(kind: type, theirs: type) -> type:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    try:
        return type(kind.__name__, (kind, theirs), names | {"_of_both": True})
    except TypeError:  # a subclass of somebody's that does not go with it
        return kind


class Recognised(nn.Module):
    """A module that counts as a ``transformers.PreTrainedModel``, if there is one."""

    # isinstance() asks for the type of an object, and then for its __class__.
    __class__ = property(_get_class, _set_class)

    # Not by super(), which needs the __class__ that was just defined otherwise.
    def __init_subclass__(cls, **options: Any) -> None:
        # Theirs reads the annotations of the class, which may not be there to read.
        if "_of_both" not in vars(cls):
            nn.Module.__init_subclass__(**options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # pickle compares a class with __class__, if it is told how an object is made.
        made: Any = nn.Module.__reduce_ex__(self, max(2, protocol))
        make, arguments, *rest = made
        return (_make, (make, *arguments), *rest)


def _make(make: Any, *arguments: Any) -> Any:
    return make(*arguments)
