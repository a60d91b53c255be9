"""Write a checkpoint: all of it, or nothing."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from torch import Tensor, nn

from minidistil.checkpoint.advice import about_prefix, common_prefix
from minidistil.checkpoint.conveniences import Conveniences
from minidistil.checkpoint.fitting import skeleton
from minidistil.checkpoint.matching import OUTPUT_EMBEDDINGS, tensors_of
from minidistil.checkpoint.tensor_file import write_tensors
from minidistil.checkpoint.tensors import (
    DTYPES,
    INDEX_FILE,
    SHARD_FILES,
    SINGLE_FILE,
    WEIGHT_FILES,
    CheckpointError,
    all_finite,
)
from minidistil.config import DistilBertConfig
from minidistil.files import replacing_all
from minidistil.messages import quote

MOST_IN_ONE_FILE = "50GB"
# What some wrappers add to the names of the layers inside.
_WRAPPED = ("_orig_mod.", "_checkpoint_wrapped_module.")
_MOST_LISTED = 12


def save(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: str,
    beside: Mapping[str, bytes] | None = None,
    *,
    max_shard_size: int | str = MOST_IN_ONE_FILE,
) -> list[Path]:
    """Write ``model.safetensors`` and ``config.json`` into a folder.

    All is complete on the disk before any of it takes the place of an older file.

    Args:
        folder: Made if need be.
        tensors: By their names in the file; two that share memory are each written in
            full.
        config: The text of ``config.json``.
        beside: More files, by name. While older ones are replaced by others, there is
            no ``config.json``: if the process is killed then, the folder does not load.
        max_shard_size: If the tensors are larger, they go to several files, of at most
            this size each, and an index: bytes, or such as ``"200MB"``.

    Returns:
        The weights, the index if there is one, and ``config.json``.

    Raises:
        CheckpointError: if a tensor holds NaN or infinite numbers (such a file could
            not be loaded again); nothing is written then.
        OSError: if the folder cannot be written, as on a full disk; older files are
            left as they were.
        ValueError: if ``max_shard_size`` is no size.
    """
    for name, tensor in tensors.items():
        if not all_finite(tensor):
            raise CheckpointError(
                f"not saved to '{folder}': {name!r} holds NaN or infinite numbers; the "
                "training has diverged, go back to an earlier state"
            )
    changed = {
        path: content
        for name, content in (beside or {}).items()
        if not (path := folder / name).is_file() or path.read_bytes() != content
    }
    shards, index = _split(tensors, max_shard_size)
    weights = [folder / name for name in [*shards, *([INDEX_FILE] if index else [])]]
    config_path = folder / "config.json"
    # Old weights with a new vocabulary would load, and give wrong results.
    remove_first = config_path if changed else None
    with replacing_all(
        *(*changed, *weights, config_path),
        remove_first=_read_before(folder) if index else remove_first,
    ) as written:
        for other, content in zip(written, changed.values(), strict=False):
            other.write_bytes(content)
        *weight_files, config_file = written[len(changed) :]
        config_file.write_text(config, encoding="utf-8")
        if index:
            weight_files.pop().write_text(index, encoding="utf-8")
        for file, names in zip(weight_files, shards.values(), strict=True):
            # Other readers tell the framework from the metadata.
            part = {name: tensors[name] for name in names}
            write_tensors(file, part, {"format": "pt"})
    for path in folder.iterdir():
        if WEIGHT_FILES.fullmatch(path.name) and path not in weights:
            with suppress(OSError):  # which is not read any more, in any case
                path.unlink()
    return [*weights, config_path]


def _split(
    tensors: Mapping[str, Tensor], largest: int | str
) -> tuple[dict[str, list[str]], str]:
    """The names of the tensors that go to each file, and the text of the index."""
    from huggingface_hub import split_torch_state_dict_into_shards

    plan = split_torch_state_dict_into_shards(
        dict(tensors), filename_pattern=SHARD_FILES, max_shard_size=largest
    )
    if not plan.is_sharded:
        return {SINGLE_FILE: list(tensors)}, ""
    index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    return plan.filename_to_tensors, text


def _read_before(folder: Path) -> Path:
    """The file by which loading finds the weights that are there.

    Without it they are not read, and so not together with new ones, if the process is
    killed while they are replaced one after the other.
    """
    single = folder / SINGLE_FILE
    if single.exists():
        (folder / INDEX_FILE).unlink(missing_ok=True)  # which nobody reads beside it
        return single
    return folder / INDEX_FILE


# What a model's file holds


def tensors_to_save(
    model: Conveniences, given: Mapping[str, Tensor] | None, where: str
) -> tuple[dict[str, Tensor], DistilBertConfig]:
    """The tensors that a model's class can load again, and the model's configuration.

    Args:
        model: One of ours, or of a subclass.
        given: Tensors in place of the model's own.
        where: Where they go, for the error.

    Raises:
        CheckpointError: if the class would not load them.
    """
    tensors = tensors_of(model) if given is None else dict(given)
    for wrapper in _WRAPPED:
        tensors = {name.replace(wrapper, ""): tensors[name] for name in tensors}
    twin, config = _as_loaded(model, where), model.settled_config
    problems = _problems(tensors_of(twin), tensors, model.is_tied)
    if problems:
        prefix = "" if given is None else common_prefix(tensors)
        lines = [*problems.values()][:_MOST_LISTED]
        if len(problems) > len(lines):
            lines.append(f"… and {len(problems) - len(lines)} more")
        name = type(model).__name__
        raise CheckpointError(
            f"not saved to {where}: {name}.from_pretrained could not load it:\n  "
            + "\n  ".join(lines)
            + "\n"
            + (
                f"{about_prefix(prefix)}: save the model without what wraps it."
                if prefix
                else _cure(problems, name, of_the_model=given is None)
            )
        )
    for name, layer in _computing_otherwise(model, twin).items():
        warnings.warn(
            f"{name} is a {layer}, and loading {type(model).__name__} makes the usual "
            "layer of these numbers; a subclass keeps its own layers",
            stacklevel=3,
        )
    if OUTPUT_EMBEDDINGS in tensors_of(twin):
        # The caller may have tied or untied them since the model was made.
        config = config.replace(tie_word_embeddings=model.is_tied)
        if model.is_tied:
            tensors.pop(OUTPUT_EMBEDDINGS, None)
    return tensors, config


def _as_loaded(model: Conveniences, where: str) -> Conveniences:
    """What `from_pretrained` would fill: of the same class and configuration."""
    try:
        return skeleton(type(model), model.config, "sdpa")
    except TypeError as error:
        raise CheckpointError(
            f"not saved to {where}: {type(model).__name__}(config) raises {error}; "
            "loading makes a model of the configuration alone, so let its __init__ "
            "read the rest from there (config.extra)"
        ) from error


def _problems(
    expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], is_tied: bool
) -> dict[str, str]:
    """What does not fit, by name."""
    problems = {}
    for name, tensor in tensors.items():
        wanted = expected.get(name)
        if wanted is None:
            problems[name] = f"{quote(name)} {tuple(tensor.shape)} is of no layer of it"
        elif tensor.shape != wanted.shape:
            problems[name] = (
                f"{name} is {tuple(tensor.shape)}, expected {tuple(wanted.shape)}"
            )
        elif tensor.is_meta:
            problems[name] = f"{name} has no numbers: it is on the device 'meta'"
        elif wanted.is_floating_point() and tensor.dtype not in DTYPES.values():
            problems[name] = f"{name} is {tensor.dtype}, expected a float"
    for name in expected:
        if name not in tensors and not (is_tied and name == OUTPUT_EMBEDDINGS):
            problems[name] = f"{name} {tuple(expected[name].shape)} is missing"
    return problems


def _cure(names: Iterable[str], model_name: str, of_the_model: bool) -> str:
    """What to do about tensors that cannot be loaded again."""
    if any(".base_layer." in name or "lora_" in name for name in names):
        return (
            "The model has an adapter in it: save that with the peft model's own "
            "save_pretrained, or save what its merge_and_unload() returns."
        )
    if any(".parametrizations." in name for name in names):
        return (
            "A layer is computed from others: make it one again, with torch.nn.utils."
            "parametrize.remove_parametrizations(layer, 'weight'), and save then."
        )
    if not of_the_model:
        return f"state_dict= holds all tensors of the {model_name}, by its own names."
    return (
        "Layers of your own belong into the __init__ of a subclass, which can be saved "
        f"and loaded: class MyModel({model_name}). A head of another size: say so in "
        "the configuration, model.config = model.config.replace(num_labels=…); other "
        "words: model.resize_token_embeddings(…). Or keep the numbers alone: "
        "torch.save(model.state_dict(), file)."
    )


def _computing_otherwise(model: nn.Module, twin: nn.Module) -> dict[str, str]:
    """Layers with the usual tensors whose class computes something else with them."""
    expected = dict(twin.named_modules())
    found = {}
    for name, module in model.named_modules():
        for wrapper in _WRAPPED:
            name = name.replace(wrapper, "")
        usual = expected.get(name)
        if usual is None or not any(True for _ in usual.parameters(recurse=False)):
            continue
        if type(module).forward is not type(usual).forward:
            found[name] = type(module).__name__
    return found
