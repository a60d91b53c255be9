"""What to do about a checkpoint whose tensors do not fit a model."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from minidistil.checkpoint.matching import (
    ENCODER,
    OUTPUT_EMBEDDINGS,
    WORD_EMBEDDINGS,
    Fit,
    head_module,
    head_modules,
    is_in,
    is_sized_by_labels,
    own_layers,
    parameters,
)
from minidistil.checkpoint.tensors import Contents

# What puts a prefix before every name of a state_dict().
_WRAPPERS = {
    "_orig_mod": "torch.compile",
    "module": "DataParallel or DistributedDataParallel",
    "base_model": "peft",
    "model": "a module that holds the model, such as Lightning's",
}


def common_prefix(names: Iterable[str]) -> str:
    """What stands before the name of every tensor of an encoder, without the last dot.

    Such as ``"module"`` or ``"_orig_mod"``, which a wrapper leaves there; ``""`` if
    the names are as they should be, or are no DistilBERT's.
    """
    names = [*names]
    words = [name for name in names if name.endswith(WORD_EMBEDDINGS)]
    prefix = words[0].removesuffix(WORD_EMBEDDINGS) if words else ""
    prefix = prefix.removesuffix("distilbert.")
    blocks = [name for name in names if "transformer.layer." in name]
    whole = bool(blocks) and all(name.startswith(prefix) for name in blocks)
    return prefix.removesuffix(".") if whole else ""


def about_prefix(prefix: str) -> str:
    """Where a prefix before the names of tensors comes from."""
    parts = prefix.replace("base_model.model", "base_model").split(".")
    found = [_WRAPPERS[part] for part in parts if part in _WRAPPERS]
    origin = f", which {' and '.join(dict.fromkeys(found))} put there" if found else ""
    return f"The names begin with {prefix + '.'!r}{origin}"


def about_file_with_prefix(contents: Contents) -> str:
    """What to do about a prefix in a file, or nothing if there is none."""
    names = [entry.name for entry in contents.entries.values()]
    prefix = common_prefix(names)
    if not prefix:
        return ""
    if any(".base_layer." in name or ".lora_" in name for name in names):
        return (
            f"{about_prefix(prefix)}: these are a model and its adapter, before they "
            "are one. Save merged.save_pretrained(…), where merged is "
            "peft_model.merge_and_unload(); or the adapter alone, by the "
            "save_pretrained of the peft model."
        )
    return (
        f"{about_prefix(prefix)}. Without it the file may fit: `minidistil weights "
        f"convert SOURCE FOLDER --rename {prefix}=` removes it (in Python, weights."
        f"convert(…, rename={{{prefix!r}: ''}})). And save the model itself next time, "
        "not what wraps it."
    )


def advice(model: nn.Module, found: Fit, num_labels: int) -> str:
    """What to do about tensors that are missing, unexpected or of another shape."""
    lines = []
    problems, names = found.problems, parameters(model)
    layers = own_layers(names)
    new_layers = {part for part in layers if any(is_in(p, {part}) for p in problems)}
    strange = {
        name
        for name in problems
        if head_module(name) is None and not is_in(name, layers)
    }
    if new_layers:
        lines.append(
            f"{', '.join(sorted(new_layers))}: of {type(model).__name__} alone, and "
            "not as in this file; new_head=True draws them, and the head, anew."
        )
    if strange and all(
        problems[name].kind == "unexpected" and not name.startswith(ENCODER)
        for name in strange
    ):
        lines.append(
            "What is only in the file was perhaps saved by a subclass with layers of "
            "its own: load it with that class, or leave them out with `minidistil "
            "weights convert SOURCE FOLDER --drop NAME`."
        )
    elif strange:
        lines.append(
            "The config.json and the weights are of two different models: compare its "
            "n_layers, dim, hidden_dim, vocab_size and max_position_embeddings with "
            "these names and shapes."
        )
    own, wrong = head_modules(names), head_modules(problems)
    sized_by_labels = is_sized_by_labels(model, num_labels)
    if [*problems] == [OUTPUT_EMBEDDINGS] and (
        problems[OUTPUT_EMBEDDINGS].kind == "missing"
    ):
        lines.append(
            "The config.json says that tie_word_embeddings is false, so the output "
            "matrix must be in the file; if it is the word embeddings, say true there."
        )
    elif own & wrong and not own & found.head:
        others = " and for ".join(found.other_heads)
        has = f"a head for {others}" if others else "no head"
        ask = "new_head=True or num_labels=" if sized_by_labels else "new_head=True"
        lines.append(
            f"The checkpoint has {has}, and this model needs one of its own: {ask} "
            "gives it a new one, to be trained."
        )
    elif wrong:
        lines.append("new_head=True gives the model a new head, to be trained.")
        if sized_by_labels and own <= found.head:
            lines.append("Or ask for as many labels as the head in the file has.")
    return " ".join(lines)
