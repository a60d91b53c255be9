"""Keywords that people know from transformers, and what each of them means here.

One that asks for nothing is accepted. One that asks for what is not done here is a
TypeError that says what to use.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from minidistil.checkpoint.devices import best_device
from minidistil.config import ALIASES, DistilBertConfig
from minidistil.hub import BUNDLED
from minidistil.messages import quote, unknown_keyword

# Whatever their value: they are about how, and not about what, is loaded or saved.
IGNORED_WHEN_LOADING = {
    "low_cpu_mem_usage",  # there is never a second copy of the weights
    "resume_download",
    "weights_only",
    "mirror",
    "tqdm_class",
    "disable_mmap",
    # Where to put what does not fit; all of it does.
    "offload_folder",
    "offload_state_dict",
    "offload_buffers",
    "_fast_init",
    "_from_auto",
    "_from_pipeline",
    "_commit_hash",
}
IGNORED_WHEN_SAVING = {
    "save_function",  # the writer here is the one that writes all or nothing
    "save_peft_format",
    "save_original_format",
    "save_config",
}

# What to use instead; None, False and what is empty ask for nothing.
_QUANTISED = "Engine(model, precision=…) or pipeline(precision=…) runs in fewer bits"
_WHOLE = "a model is loaded whole on one device: leave it out, and use device="
_PARTS = "the weights are not split over devices: leave it out"
_FETCH = "fetch the files with `hf download` and pass the folder"
_PICKLES = "only safetensors are read: `minidistil weights convert` makes them"
_ADAPTER = "load the model, then the adapter: peft.PeftModel.from_pretrained(model, …)"
_KERNELS = "kernels of the hub are code, which is not fetched; Engine(model) is fast"
REFUSED_WHEN_LOADING = {
    "force_download": "`hf download REPO --force-download` fetches a repository anew",
    "proxies": "set HTTPS_PROXY in the environment",
    "variant": "only model.safetensors is read; dtype=torch.float16 loads as such",
    "from_tf": _PICKLES,
    "from_flax": _PICKLES,
    "gguf_file": _PICKLES,
    "output_loading_info": "what does not fit is an error, and what is new a warning",
    "quantization_config": _QUANTISED,
    "load_in_8bit": _QUANTISED,
    "load_in_4bit": _QUANTISED,
    "max_memory": _WHOLE,
    "tp_plan": _PARTS,
    "tp_size": _PARTS,
    "device_mesh": _PARTS,
    "distributed_config": _PARTS,
    "key_mapping": "weights.convert(rename=…) renames tensors once and for all",
    "adapter_kwargs": _ADAPTER,
    "adapter_name": _ADAPTER,
    "use_kernels": _KERNELS,
    "kernel_config": _KERNELS,
    "allow_all_kernels": _KERNELS,
    "fusion_config": _KERNELS,
    "experts_implementation": "DistilBERT has no experts",
    "generation_config": "DistilBERT is an encoder, it generates no text",
    "code_revision": "no code of a checkpoint is run",
    "torchscript": "pass return_dict=False to the model's call for tuples",
}
REFUSED_WHEN_SAVING = {
    "variant": "only model.safetensors is written: save to a folder of its own",
    "distributed_checkpoint": "gather the tensors and pass state_dict=",
}
# Here it is the value False that asks for something.
_SAFETENSORS_OR_NOT = {
    "use_safetensors": _PICKLES,
    "safe_serialization": "pickles are not written, as they can hold any program; "
    "torch.save(model.state_dict(), file) makes one",
}
# What transformers keeps in every config.json, and so takes when a model is loaded.
_OF_EVERY_CONFIG = {"use_cache", "finetuning_task", "name_or_path"}
_CHOICES_OF_A_DEVICE = ("auto", "balanced", "balanced_low_0", "sequential")
_CONFIG_FIELDS = {each.name for each in dataclasses.fields(DistilBertConfig)}
_CONFIG_FIELDS -= {"extra"}
# The keys of a configuration that can be given when a model is made or loaded.
CONFIG_KEYS = _CONFIG_FIELDS | ALIASES.keys() | _OF_EVERY_CONFIG


def check_foreign(
    given: Mapping[str, Any],
    *,
    known: Collection[str],
    where: str,
    ignored: Collection[str] = (),
    refused: Mapping[str, str] | None = None,
) -> None:
    """Raise TypeError for a keyword that asks for what is not done, or is unknown.

    Args:
        given: The keywords that have no meaning here, with their values.
        known: The names of those that have a meaning, for one that is misspelt.
        where: The function that they were given to.
        ignored: Those that are accepted whatever they say.
        refused: What to use in place of the others.
    """
    for name, value in given.items():
        if name in ignored:
            continue
        if name in _SAFETENSORS_OR_NOT:
            asks, advice = value is not None and not value, _SAFETENSORS_OR_NOT[name]
        elif refused and name in refused:
            asks, advice = bool(value), refused[name]
        else:
            raise unknown_keyword([name], known, where)
        if asks:
            raise TypeError(f"{where} cannot take {name}={quote(value)}: {advice}")


def changed(config: DistilBertConfig, changes: Mapping[str, Any]) -> DistilBertConfig:
    """A copy with other values for some of `CONFIG_KEYS`."""
    copy = config.replace()
    copy.update(changes)
    return copy


def the_one(**given: Any) -> Any:
    """The value of an argument that has several names; None if it was not given.

    Raises:
        ValueError: if two of the names have different values.
    """
    values = {name: value for name, value in given.items() if value is not None}
    first, *others = values or {"": None}
    for other in others:
        if values[other] != values[first]:
            raise ValueError(
                f"{first}={values[first]!r} and {other}={values[other]!r} are two "
                "names of one argument: leave one out"
            )
    return values.get(first)


def device_of(device_map: Any) -> Any:
    """The one device that a map of a model's parts to devices stands for.

    Raises:
        ValueError: if it names more than one: the model is not split.
    """
    if not isinstance(device_map, Mapping):
        if device_map in _CHOICES_OF_A_DEVICE:
            return best_device()
        return device_map
    devices = {str(each): each for each in device_map.values()}
    if len(devices) != 1:
        raise ValueError(
            f"device_map is {quote(device_map)}, expected one device: a DistilBERT is "
            'loaded whole; use device="cuda", or device_map="auto"'
        )
    return next(iter(devices.values()))


def in_subfolder(source: Any, subfolder: str | None) -> Any:
    """The folder inside a folder; a repository's cannot be named yet.

    Raises:
        TypeError: if ``source`` is no folder.
    """
    if not subfolder:
        return source
    if source in BUNDLED or not Path(source).expanduser().is_dir():
        raise TypeError(
            f"subfolder={subfolder!r} is for folders on this disk: {_FETCH}"
        )
    return Path(source).expanduser() / subfolder


def as_config(config: Any, read: Callable[[Any], DistilBertConfig]) -> DistilBertConfig:
    """The configuration that was given: one of ours, of transformers, or where it is.

    Args:
        config: A `DistilBertConfig`, an object with ``to_dict()``, a dict, or the name
            of a checkpoint.
        read: What reads it from a checkpoint.
    """
    if isinstance(config, DistilBertConfig):
        return config
    if isinstance(config, str | os.PathLike):
        return read(config)
    values = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(values, Mapping):
        raise TypeError(
            f"config is a {type(config).__name__}, expected a DistilBertConfig, or the "
            "folder or the repository of one"
        )
    return DistilBertConfig.from_dict(values)
