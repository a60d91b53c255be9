"""Match a checkpoint's tensors with a model's parameters, or say why they do not fit.

A checkpoint and a model must fit each other exactly: every tensor of the one is in the
other, with the same name and shape. What may differ is listed here and nowhere else:

- the prefix and the spelling of names (`minidistil.checkpoint.tensors.plain_name`);
- the bare encoder leaves out the head of a task checkpoint;
- a new head, if the caller asks for one, is drawn at random, not read; so are the
  layers that a subclass of the caller's own adds;
- the output matrix of masked language modelling may be the word embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import nullcontext
from inspect import signature
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from minidistil.checkpoint.advice import about_file_with_prefix, advice
from minidistil.checkpoint.conveniences import Conveniences
from minidistil.checkpoint.matching import (
    OUTPUT_EMBEDDINGS,
    WORD_EMBEDDINGS,
    fit,
    head_modules,
    heads_of,
    is_in,
    is_sized_by_labels,
    is_tied,
    own_layers,
    parameters,
)
from minidistil.checkpoint.tensors import CheckpointError, Contents, Weights
from minidistil.config import DistilBertConfig

Model = TypeVar("Model", bound=nn.Module)


class _ShapesOnly(TorchFunctionMode):
    """While it is active, parameters get a shape but no memory, and are not drawn.

    ``torch.device("meta")`` does nearly that, but torch then imports 800 modules (over
    a second, and 67 MB) to draw nothing in the end.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call every function but those two as it is."""
        kwargs = kwargs or {}
        if func in (nn.init.normal_, Tensor.normal_):
            return args[0] if args else kwargs["tensor"]
        if func is torch.empty:
            kwargs = kwargs | {"device": "meta"}
        return func(*args, **kwargs)


def skeleton(
    cls: Callable[..., Model], config: DistilBertConfig, attn_implementation: str
) -> Model:
    """Build a model that has shapes, but no memory and no numbers yet.

    A subclass of the caller's own may draw its layers in any way, and is built whole.
    """
    with nullcontext() if has_own_init(cls) else _ShapesOnly():
        if "attn_implementation" in signature(cls).parameters:
            return cls(config, attn_implementation=attn_implementation)
        return _attending(cls(config), attn_implementation)


def _attending(model: Model, attn_implementation: str) -> Model:
    """The same model, with a choice that its class does not pass on."""
    for module in model.modules():
        if isinstance(module, Conveniences):
            module.set_attn_implementation(attn_implementation)
    return model


def has_own_init(cls: Callable[..., Model]) -> bool:
    """Whether a class is built by code that is not this library's."""
    library = __name__.partition(".")[0]
    return cls.__init__.__module__.partition(".")[0] != library


def skeleton_like(
    weights: Weights,
    cls: Callable[..., Model],
    config: DistilBertConfig,
    attn_implementation: str,
) -> Model:
    """A skeleton whose two word matrices are one only if the checkpoint's are."""
    model = skeleton(cls, config, attn_implementation)
    both = WORD_EMBEDDINGS, OUTPUT_EMBEDDINGS
    if is_tied(model) and weights.entries.keys() >= set(both):
        of_one_type = len({weights.entries[name].dtype for name in both}) == 1
        if not of_one_type or not torch.equal(*map(weights.stored, both)):
            untied = config.replace(tie_word_embeddings=False)
            return skeleton(cls, untied, attn_implementation)
    return model


def check_fit(
    model: nn.Module, contents: Contents, drawn: Set[str], num_labels: int
) -> None:
    """Raise a `CheckpointError` that lists all that differs, if anything does."""
    found = fit(model, contents, drawn)
    if found.problems:
        title = f"{contents.source} does not fit {type(model).__name__}:"
        texts = [problem.text for problem in found.problems.values()]
        cure = about_file_with_prefix(contents) or advice(model, found, num_labels)
        raise CheckpointError("\n  ".join([title, *texts]) + "\n" + cure)


def fitting_skeleton(
    weights: Weights,
    cls: Callable[..., Model],
    config: DistilBertConfig,
    attn_implementation: str = "sdpa",
    *,
    new_head: bool = False,
    labels_given: bool = False,
    config_given: bool = False,
    ignore_mismatched_sizes: bool = False,
) -> tuple[Model, set[str]]:
    """A skeleton that the checkpoint fits, and the modules of its head to be drawn.

    The head, with the layers that a subclass adds, is drawn if ``new_head``. The head
    is drawn if labels are given and the checkpoint does not have it. A configuration
    in place of the file's gives labels, to a head that has one output for each. With
    ``ignore_mismatched_sizes``, so are its modules that have other sizes in the file.
    """
    model = skeleton_like(weights, cls, config, attn_implementation)
    names = parameters(model)
    head, layers = head_modules(names), own_layers(names)
    if not head and (labels_given or (new_head and not layers)):
        raise ValueError(
            f"{type(model).__name__} has no head: leave out new_head=, num_labels= and "
            "id2label=, or load one of the DistilBertFor… classes"
        )
    labels_given |= config_given and is_sized_by_labels(model, config.num_labels)
    drawn = set()
    if new_head:
        drawn = head | layers
    elif labels_given and head not in heads_of(weights).values():
        drawn = head
    elif ignore_mismatched_sizes:
        problems = fit(model, weights, drawn).problems
        drawn = head_modules(n for n in problems if problems[n].kind == "shape")
    if drawn:
        # Whether a new output matrix is tied, the configuration alone says.
        model = skeleton(cls, config, attn_implementation)
    check_fit(model, weights, drawn, config.num_labels)
    return model, drawn


def fill(
    model: nn.Module,
    weights: Weights,
    drawn: Set[str],
    dtype: torch.dtype,
    device: torch.device,
    draw: Callable[[nn.Module], None],
) -> None:
    """Give every parameter of a skeleton its numbers: read from the file, or drawn."""
    tied = is_tied(model)
    for name, module in model.named_children():
        if name in drawn and not has_own_init(type(model)):
            # On the CPU in full precision, so that the seed alone decides.
            for leaf, parameter in list(module.named_parameters()):
                empty = torch.empty(parameter.shape, device="cpu")
                setattr(module, leaf, nn.Parameter(empty))
            module.apply(draw).to(dtype=dtype, device=device)

    def read(name: str) -> Tensor:
        return weights.tensor(name, dtype=dtype, device=device)

    def read_buffer(name: str) -> Tensor:
        stored = weights.raw(name)
        kind = dtype if stored.is_floating_point() else stored.dtype
        return stored.to(device=device, dtype=kind, copy=True)

    _assign(model, read, drawn, tied, read_buffer)
    if has_own_init(type(model)):
        # What its class has drawn, and buffers that are in no file.
        model.to(dtype=dtype, device=device)


def map_weights(model: nn.Module, weights: Weights) -> None:
    """Make every parameter of a skeleton a place in the mapped file: no copies."""
    _assign(model, weights.stored, set(), is_tied(model), weights.raw)


def _assign(
    model: nn.Module,
    read: Callable[[str], Tensor],
    drawn: Set[str],
    tied: bool,
    read_buffer: Callable[[str], Tensor],
) -> None:
    """Replace each parameter that is not drawn by what is read for its plain name."""
    names = parameters(model)
    for name, own_name in names.items():
        if is_in(name, drawn) or (tied and name == OUTPUT_EMBEDDINGS):
            continue
        path, _, leaf = own_name.rpartition(".")
        module = model.get_submodule(path)
        if leaf in dict(module.named_buffers(recurse=False)):
            setattr(module, leaf, read_buffer(name))
            continue
        trained = model.get_parameter(own_name).requires_grad
        setattr(module, leaf, nn.Parameter(read(name), trained))
    if tied:
        words = model.get_parameter(names[WORD_EMBEDDINGS])
        model.get_submodule("vocab_projector").weight = words
