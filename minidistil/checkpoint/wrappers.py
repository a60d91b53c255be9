"""Models inside of what other libraries put around them.

A wrapper computes what its model does, or what an adapter makes of it, and takes the
model's arguments. So it is called in the model's place; what it cannot say, such as the
configuration, the model inside does.
"""

from __future__ import annotations

from torch import nn

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.messages import with_library

# Where torch.compile keeps a model; where DataParallel and its relatives do.
_ATTRIBUTES = ("_orig_mod", "module")


def unwrapped(model: object) -> PreTrainedModel | None:
    """The model inside of wrappers, or itself; None if there is none of ours.

    Known are those of peft, ``torch.compile``, and torch's for parallel training.
    """
    found = _innermost(model)
    return found if isinstance(found, PreTrainedModel) else None


def _innermost(model: object) -> object:
    if isinstance(model, PreTrainedModel) or not isinstance(model, nn.Module):
        return model
    if callable(peft := getattr(model, "get_base_model", None)):
        return _innermost(peft())
    for name in _ATTRIBUTES:
        inside = model._modules.get(name)
        if inside is not None:
            return _innermost(inside)
    return model


def what_it_is(model: object) -> str:
    """A model, and the one inside of it, with the libraries that they are of."""
    inside = _innermost(model)
    around = "" if inside is model else f" around {with_library(inside)}"
    return with_library(model) + around


def expected_model(kinds: str) -> str:
    """What is expected in place of another library's model, and how to get there."""
    return (
        f"expected {kinds}, of minidistil: write a model of another library with "
        f"save_pretrained(FOLDER), and load FOLDER here"
    )
