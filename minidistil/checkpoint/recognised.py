"""How transformers' ``Trainer`` recognises a model as one that can save itself.

The Trainer calls ``model.save_pretrained`` only if ``isinstance(model,
transformers.PreTrainedModel)``. Of any other module it writes the bare tensors: without
a ``config.json``, so that nothing can open them, and not at all where two names share a
tensor, as in masked language modelling. It offers no other way.

So where transformers has been imported, a model counts as one of that class. Nothing is
taken from it: all methods of a model, and of its class, are its own.
"""

from __future__ import annotations

import copyreg
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


def _own(kind: Any) -> Any:
    """The class of a model that a `_CountsAsBoth` stands for; else the class itself."""
    return type.__getattribute__(kind, "_own") if type(kind) is _CountsAsBoth else kind


class _CountsAsBoth(type):
    """A class that is a subclass of two, and in all else is the first of them."""

    def __new__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any]) -> Any:
        if "_own" in names:
            return super().__new__(cls, name, bases, names)
        return type(name, tuple(map(_own, bases)), names)  # a subclass of somebody's

    def __call__(cls, *values: Any, **named: Any) -> Any:
        return _own(cls)(*values, **named)

    def __getattribute__(cls, name: str) -> Any:
        return getattr(_own(cls), name)

    def __eq__(cls, other: object) -> bool:
        return _own(cls) is _own(other)

    def __hash__(cls) -> int:
        return hash(_own(cls))


copyreg.pickle(_CountsAsBoth, lambda kind: (_own, (_own(kind),)))


@functools.cache
def _of_both(kind: type, theirs: type) -> type:
    try:
        both: type = _CountsAsBoth(kind.__name__, (kind, theirs), {"_own": kind})
    except TypeError:  # a subclass of somebody's that does not go with it
        return kind
    return both


class Recognised(nn.Module):
    """A module that counts as a ``transformers.PreTrainedModel``, if there is one."""

    # isinstance() asks for the type of an object, and then for its __class__.
    __class__ = property(_get_class, _set_class)

    # Not by super(), which needs the __class__ that was just defined otherwise.
    def __init_subclass__(cls, **options: Any) -> None:
        # Theirs reads the annotations of the class, which may not be there to read.
        if "_own" not in type.__getattribute__(cls, "__dict__"):
            nn.Module.__init_subclass__(**options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # pickle compares a class with __class__, if it is told how an object is made.
        made: Any = nn.Module.__reduce_ex__(self, max(2, protocol))
        make, arguments, *rest = made
        return (_make, (make, *arguments), *rest)


def _make(make: Any, *arguments: Any) -> Any:
    return make(*arguments)
