"""What people look for on a pipeline who know transformers' pipelines."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.engine import Engine
from minidistil.pipelines.computing import Computing, described
from minidistil.tokenizer import DistilBertTokenizer

# What a subclass of transformers' pipelines overrides. Nothing would call it here.
HOOKS = (
    "_forward",
    "_sanitize_parameters",
    "ensure_tensor_on_device",
    "forward",
    "get_inference_context",
    "get_iterator",
    "iterate",
    "postprocess",
    "preprocess",
    "run_multi",
    "run_single",
)
NO_HOOKS = (
    "that is a hook of transformers' pipelines, which nothing calls here; override "
    "__call__, and change what super().__call__(inputs, **options) is given or returns"
)
# Attributes, and what to use.
NOT_HERE = {
    "push_to_hub": "; save_pretrained(FOLDER) writes model and tokenizer, and `hf "
    "upload REPO FOLDER` sends them",
    "feature_extractor": "; texts need none, pipe.tokenizer is all there is",
    "image_processor": "; texts need none, pipe.tokenizer is all there is",
    "processor": "; texts need none, pipe.tokenizer is all there is",
    "framework": "; it is PyTorch, always",
    "torch_dtype": "; it is pipe.dtype",
    "check_model_type": "; a pipeline checks its model when it is made",
}


class Familiar:
    """What a pipeline has beside its answers; it says what to use in place of others.

    Attributes:
        model: What computes: a model, also inside of wrappers, or an engine.
        tokenizer: Its tokenizer.
    """

    model: Computing
    tokenizer: DistilBertTokenizer
    __call__: Callable[..., Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in HOOKS:
            if hasattr(cls, name):
                raise TypeError(f"{cls.__name__} has a method {name}: {NO_HOOKS}")

    def __setattr__(self, name: str, value: object) -> None:
        if name in HOOKS:
            raise AttributeError(f"{name} is set on a pipeline: {NO_HOOKS}")
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        # Only for what is not there.
        hint = f": {NO_HOOKS}" if name in HOOKS else NOT_HERE.get(name, "")
        raise AttributeError(f"{type(self).__name__} has no {name!r}{hint}")

    @property
    def _described(self) -> PreTrainedModel | Engine:
        """The model inside of its wrappers, or the engine: what has a configuration."""
        return described(self.model)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self._described.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the model's parameters, or of an engine's results."""
        return self._described.dtype

    def predict(self, inputs: Any) -> Any:
        """Answer inputs: what scikit-learn calls."""
        return self(inputs)

    transform = predict

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], **options: Any
    ) -> None:
        """Write the model, if it is no engine, and the tokenizer into a folder.

        Args:
            save_directory: The folder.
            options: What the model's own ``save_pretrained`` takes.

        Raises:
            AttributeError: for an engine, with what to do.
        """
        own = hasattr(self.model, "save_pretrained") or isinstance(self.model, Engine)
        model: Any = self.model if own else self._described
        model.save_pretrained(save_directory, **options)
        self.tokenizer.save_pretrained(save_directory)
