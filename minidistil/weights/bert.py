"""Fold a BERT encoder into DistilBERT's shape, and start a student from a teacher.

DistilBERT is BERT without token types and without the pooler. Text that is one
segment only ever uses row 0 of BERT's token-type embeddings, a constant, so adding
that row to every position embedding leaves the encoder's output what it was, up to
the rounding of one addition. Nothing else changes but the names.

A student starts from some of its teacher's layers: DistilBERT itself from every second
one of BERT's (Sanh et al. 2019, arXiv:1910.01108, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from minidistil.checkpoint.fitting import skeleton
from minidistil.checkpoint.tensors import plain_name
from minidistil.config import DistilBertConfig
from minidistil.messages import quote
from minidistil.model import DistilBertModel

# DistilBERT's name, and BERT's value when its config.json is silent; None where it has
# to say one.
_SETTINGS = {
    "vocab_size": ("vocab_size", None),
    "hidden_size": ("dim", None),
    "num_hidden_layers": ("n_layers", None),
    "num_attention_heads": ("n_heads", None),
    "intermediate_size": ("hidden_dim", None),
    "max_position_embeddings": ("max_position_embeddings", None),
    "hidden_act": ("activation", "gelu"),
    "hidden_dropout_prob": ("dropout", 0.1),
    "attention_probs_dropout_prob": ("attention_dropout", 0.1),
    "initializer_range": ("initializer_range", 0.02),
    "pad_token_id": ("pad_token_id", 0),
}
# BERT's value when its config.json is silent, and those that DistilBERT has.
_EXPECTED = {
    "model_type": (None, "bert"),
    "hidden_act": ("gelu", "gelu", "relu"),
    "layer_norm_eps": (1e-12, 1e-12),
    "position_embedding_type": ("absolute", "absolute"),
    "is_decoder": (False, False, None),
    "add_cross_attention": (False, False, None),
}
_POSITIONS = "embeddings.position_embeddings.weight"
_TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
# DistilBERT's names, and what each part of them is called in BERT.
_BERT_NAMES = {
    "transformer.layer.": "encoder.layer.",
    "attention.q_lin.": "attention.self.query.",
    "attention.k_lin.": "attention.self.key.",
    "attention.v_lin.": "attention.self.value.",
    "attention.out_lin.": "attention.output.dense.",
    "sa_layer_norm.": "attention.output.LayerNorm.",
    "ffn.lin1.": "intermediate.dense.",
    "ffn.lin2.": "output.dense.",
    "output_layer_norm.": "output.LayerNorm.",
}
_LEFT_OUT = ("pooler.dense.weight", "pooler.dense.bias", "embeddings.token_type_ids")


def fold_bert(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Turn a BERT encoder into a DistilBERT one, exact for single-segment text.

    Args:
        config: what BERT's ``config.json`` says.
        tensors: BERT's tensors by name, with or without the ``bert.`` prefix, with
            ``LayerNorm.weight``/``bias`` or the older ``gamma``/``beta``. They are
            not copied, but for the position embeddings, which become float32 if they
            are stored in less.

    Returns:
        The contents of a DistilBERT ``config.json``, and the encoder's tensors under
        the hub's names without prefix.

    Raises:
        ValueError: if this is not a BERT that DistilBERT can express, or tensors are
            missing, unexpected or of the wrong shape.
    """
    folded_config = _fold_config(config)
    sources, shapes = {}, {}
    model = skeleton(DistilBertModel, DistilBertConfig.from_dict(folded_config), "sdpa")
    for name, parameter in model.named_parameters():
        old = name
        for ours, berts in _BERT_NAMES.items():
            old = old.replace(ours, berts)
        sources[name], shapes[old] = old, tuple(parameter.shape)
    given = _plain_names(tensors)
    # The number of token types is BERT's own affair: row 0 is all that is used.
    types = given[_TOKEN_TYPES].shape[:1] if _TOKEN_TYPES in given else ()
    shapes[_TOKEN_TYPES] = max((1, *types)), folded_config["dim"]
    _check_tensors(given, shapes)

    folded = {name: given[old] for name, old in sources.items()}
    positions, token_types = given[_POSITIONS], given[_TOKEN_TYPES]
    # In 16 bits the sum would be rounded, and no later conversion could undo that.
    exact = torch.promote_types(positions.dtype, torch.float32)
    folded[_POSITIONS] = positions.to(exact) + token_types[0].to(exact)
    return folded_config, folded


def keep_layers(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    layers: Sequence[int] | str,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Take some of a DistilBERT's layers, to start a smaller one from.

    Args:
        config: The contents of a DistilBERT ``config.json``.
        tensors: Its tensors under the hub's names without prefix; all but the layers
            left out are in the result, not copied.
        layers: Which to take, counted from 0, from the first to the last; or
            "every-second", which is 0, 2, 4, … (the program that made DistilBERT took
            0, 2, 4, 7, 9 and 11 of BERT's twelve, the last one among them).

    Returns:
        The student's configuration and tensors.

    Raises:
        ValueError: if a number is not that of a layer, or they are not in order.
    """
    # The file's own count may be left to the default.
    there = DistilBertConfig.from_dict(config).n_layers
    numbers: Sequence[Any] = range(0, there, 2) if layers == "every-second" else layers
    # 0.0 and False are equal to 0, but are not integers.
    whole = all(type(number) is int for number in numbers)
    in_order = whole and [*numbers] == sorted(set(numbers))
    if not numbers or not in_order or numbers[0] < 0 or numbers[-1] >= there:
        raise ValueError(
            f"layers are {quote(layers)}, expected integers from 0 to {there - 1}, "
            'each once and in order, or "every-second"'
        )
    new_number = {str(old): str(new) for new, old in enumerate(numbers)}
    kept = {}
    for name, tensor in tensors.items():
        before, prefix, rest = name.partition("transformer.layer.")
        number, dot, leaf = rest.partition(".")
        if not prefix:
            kept[name] = tensor
        elif number in new_number:
            kept[f"{before}{prefix}{new_number[number]}{dot}{leaf}"] = tensor
    return {**config, "n_layers": len(numbers)}, kept


def _fold_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the config, or say why this encoder cannot be folded."""
    for name, (default, *allowed) in _EXPECTED.items():
        if config.get(name, default) not in allowed:
            raise ValueError(
                f"{name} is {quote(config.get(name))}, expected "
                f"{' or '.join(map(repr, allowed))}: DistilBERT has nothing else, so "
                "this encoder cannot be folded into its shape"
            )
    needed = [name for name, (_, silent) in _SETTINGS.items() if silent is None]
    if absent := [name for name in needed if name not in config]:
        raise ValueError(
            f"the BERT config lacks {', '.join(absent)}; pass the whole config.json"
        )
    folded = {
        ours: config.get(name, silent) for name, (ours, silent) in _SETTINGS.items()
    }
    return {
        "model_type": "distilbert",
        "architectures": ["DistilBertModel"],
        **folded,
        "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": False,
        "tie_weights_": True,
    }


def _plain_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the tensors without prefix, the modern way, and without what is dropped."""
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        short = plain_name(name.removeprefix("bert."))
        if short is None or short in _LEFT_OUT:
            continue
        if short in plain:
            raise ValueError(
                f"two tensors are both {short!r} (one of them is given as {name!r}); "
                "pass the tensors of one encoder"
            )
        plain[short] = tensor
    return plain


def _check_tensors(
    given: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    problems = [
        f"{name} has shape {tuple(given[name].shape)}, expected {shape}"
        for name, shape in shapes.items()
        if name in given and tuple(given[name].shape) != shape
    ]
    if missing := sorted(shapes.keys() - given.keys()):
        problems.append(f"missing: {', '.join(missing)}")
    if unexpected := sorted(given.keys() - shapes.keys()):
        problems.append(
            f"unexpected: {', '.join(unexpected)} (leave out the tensors of a task "
            "head; check num_hidden_layers if layers are listed)"
        )
    if problems:
        title = (
            "these are not the tensors of the BERT encoder that the config describes"
        )
        raise ValueError("\n  ".join([title, *problems]))
