"""What people know of transformers' pipelines, and what it is here.

A keyword that asks for nothing is accepted. Of one that asks for what is not done here,
the error says what to use.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from minidistil.messages import check_flag

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
# Of calls: how, and not what, is answered.
IGNORED = ("num_workers", "padding", "return_token_type_ids")


def translated(given: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Options under the names that they have here; ``known`` are those of the task.

    Raises:
        TypeError: if one is given under two names.
    """
    options = {
        name: value
        for name, value in given.items()
        if name in known or name not in IGNORED
    }
    if "top_k" in known and "return_all_scores" in options:
        everything = check_flag("return_all_scores", options.pop("return_all_scores"))
        if everything:
            _put(options, "top_k", None, "return_all_scores")
    old = {"grouped_entities", "ignore_subwords"} & options.keys()
    if "aggregation_strategy" in known and old:
        flags = {name: check_flag(name, options.pop(name)) for name in old}
        strategy = "none"
        if flags.get("grouped_entities"):
            strategy = "first" if flags.get("ignore_subwords") else "simple"
        _put(options, "aggregation_strategy", strategy, *sorted(old))
    return options


def _put(options: dict[str, Any], name: str, value: Any, *others: str) -> None:
    if name in options:
        raise TypeError(f"{name} and {' and '.join(others)} say the same: leave out one")
    options[name] = value
