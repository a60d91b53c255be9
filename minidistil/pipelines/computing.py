"""What a pipeline can run: an engine, or a model, also inside of wrappers."""

from __future__ import annotations

from torch import nn

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.wrappers import expected_model, unwrapped, what_it_is
from minidistil.engine import Engine

Computing = PreTrainedModel | Engine | nn.Module


def described(model: Computing) -> PreTrainedModel | Engine:
    """The engine, or the model inside of its wrappers: what has a configuration.

    Raises:
        TypeError: for a model of another library.
    """
    found = model if isinstance(model, Engine) else unwrapped(model)
    if found is None:
        expected = expected_model("a model or an Engine")
        raise TypeError(f"got {what_it_is(model)}, {expected}")
    return found


def kind_of(model: Computing) -> type[PreTrainedModel]:
    """The class of the model that is run.

    Raises:
        TypeError: for a model of another library.
    """
    found = described(model)
    return found.kind if isinstance(found, Engine) else type(found)


def is_training(model: Computing) -> bool:
    """Whether a model's answers would be random.

    A wrapper may say so of itself and not of the model; and an adapter may drop out
    numbers in a model that does not.
    """
    if isinstance(model, Engine):
        return False
    found = described(model)
    if found is model:
        return model.training
    adapters = (module for module in model.modules() if isinstance(module, nn.Dropout))
    return found.training or any(each.training and each.p > 0 for each in adapters)
