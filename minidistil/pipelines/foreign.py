"""The keywords of transformers' pipelines, and what they are here.

A keyword that asks for nothing is accepted. Of one that asks for what is not done here,
the error says what to use.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from minidistil.checkpoint.keywords import (
    IGNORED_WHEN_LOADING,
    REFUSED_WHEN_LOADING,
    check_foreign,
    device_of,
    the_one,
)
from minidistil.messages import check_flag, quote

# What `pipeline` takes in transformers and needs no more than a look: the values that
# ask for nothing, and what to do about others.
_NO_IMAGES = "texts need a tokenizer and nothing else: leave it out"
_OF_PIPELINE: dict[str, tuple[tuple[object, ...], str]] = {
    "framework": ((None, "pt"), "the models here are PyTorch's: leave it out"),
    # Fast or not, a tokenizer gives the same tokens; and no code is run.
    "use_fast": ((None, True, False), "leave it out"),
    "trust_remote_code": ((None, True, False), "leave it out"),
    "feature_extractor": ((None,), _NO_IMAGES),
    "image_processor": ((None,), _NO_IMAGES),
    "video_processor": ((None,), _NO_IMAGES),
    "processor": ((None,), _NO_IMAGES),
    "binary_output": ((None, False), "pickle the answers yourself"),
    "config": (
        (None,),
        "load the model with it, from_pretrained(…, config=…), and give that model "
        "with tokenizer=",
    ),
}
# Other names of arguments that `pipeline` has; these are translated.
FOREIGN_NAMES = ("torch_dtype", "device_map", "model_kwargs")
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
        both = f"{name} and {' and '.join(others)}"
        raise TypeError(f"{both} are two names of one option: leave out one")
    options[name] = value


def for_loading(
    options: Mapping[str, Any], asked: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate what transformers' `pipeline` takes beside a task's options.

    Args:
        options: What the caller gave beside the arguments that have a meaning here.
        asked: Those of them that say how to load a model, by name.

    Returns:
        The rest of the options, and ``asked`` with what the others say.

    Raises:
        TypeError: for one that asks for what is not done here.
        ValueError: for two that contradict each other.
    """
    options = {**options}
    for name, (harmless, advice) in _OF_PIPELINE.items():
        value = options.pop(name, None)
        if not any(value is each or value == each for each in harmless):
            raise TypeError(f"pipeline cannot take {name}={quote(value)}: {advice}")
    inner = {**(options.pop("model_kwargs", None) or {})}
    found = {}
    for name, value in asked.items():
        given_here = None if value is False else value
        names = {name: given_here, f"model_kwargs {name}": inner.pop(name, None)}
        for place, given in ("", options), ("model_kwargs ", inner):
            if name == "dtype":
                names[f"{place}torch_dtype"] = given.pop("torch_dtype", None)
            if name == "device":
                names[f"{place}device_map"] = device_of(given.pop("device_map", None))
        one = the_one(**names)
        found[name] = value if one is None else one
    check_foreign(
        inner,
        known=[*asked, "torch_dtype", "device_map"],
        where="model_kwargs",
        ignored=IGNORED_WHEN_LOADING,
        refused=REFUSED_WHEN_LOADING,
    )
    return options, found
