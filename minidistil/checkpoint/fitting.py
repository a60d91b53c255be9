"""Match a checkpoint's tensors with a model's parameters, or say why they do not fit.

A checkpoint and a model must fit each other exactly: every tensor of the one is in the
other, with the same name and shape. What may differ is listed here and nowhere else:

- the prefix and the spelling of names (`minidistil.checkpoint.tensors.plain_name`);
- the bare encoder leaves out the head of a task checkpoint;
- a new head, if the caller asks for one, is drawn at random, not read;
- the output matrix of masked language modelling may be the word embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from minidistil.checkpoint.tensors import (
    CheckpointError,
    Contents,
    Weights,
    plain_name,
)
from minidistil.config import DistilBertConfig
from minidistil.messages import quote

Model = TypeVar("Model", bound=nn.Module)

# The two names that one matrix may have.
WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
OUTPUT_EMBEDDINGS = "vocab_projector.weight"

# The modules that make up each head. A classifier that follows a pre_classifier is not
# a token classifier, so the larger head comes first.
HEADS = {
    "masked language modelling": {
        "vocab_transform",
        "vocab_layer_norm",
        "vocab_projector",
    },
    "sequence classification or multiple choice": {"pre_classifier", "classifier"},
    "token classification": {"classifier"},
    "question answering": {"qa_outputs"},
}
_HEAD_MODULES = set().union(*HEADS.values())


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
    """Build a model that has shapes, but no memory and no numbers yet."""
    with _ShapesOnly():
        return cls(config, attn_implementation=attn_implementation)


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


def parameters(model: nn.Module) -> dict[str, str]:
    """A model's parameters: from the plain name of each to the model's own."""
    names = (name for name, _ in model.named_parameters(remove_duplicate=False))
    return {plain_name(name) or name: name for name in names}


def is_tied(model: nn.Module) -> bool:
    """Whether the output matrix of a model is its word embeddings."""
    names = parameters(model)
    if OUTPUT_EMBEDDINGS not in names:
        return False
    output = model.get_parameter(names[OUTPUT_EMBEDDINGS])
    return output is model.get_parameter(names[WORD_EMBEDDINGS])


def _head_module(name: str) -> str | None:
    """The module of a head that a tensor belongs to, by its plain name."""
    module, _, kind = name.partition(".")
    return module if module in _HEAD_MODULES and kind in ("weight", "bias") else None


def _head_modules(names: Iterable[str]) -> set[str]:
    return {module for name in names if (module := _head_module(name)) is not None}


def heads_of(contents: Contents) -> dict[str, set[str]]:
    """The heads that a checkpoint holds whole, with the modules of each."""
    left, found = _head_modules(contents.entries), {}
    for task, head in HEADS.items():
        if head <= left:
            found[task] = head
            left -= head
    return found


@dataclass(frozen=True)
class Problem:
    """A tensor that has no place in the model, or a place that has no tensor."""

    kind: str  # "missing", "shape" or "unexpected"
    text: str


@dataclass(frozen=True)
class Fit:
    """How a checkpoint's tensors and a model's parameters correspond.

    Attributes:
        placed: The tensors that have their place: from the name that the file gives
            to the one that the model gives.
        problems: What does not fit, by plain name.
        ignored: Tensors of heads that the model does not read, as the file names them.
        head: The modules of the model's own head that the file has.
        other_heads: The complete heads in the file that are not of the model's kind.
    """

    placed: dict[str, str]
    problems: dict[str, Problem]
    ignored: list[str]
    head: set[str]
    other_heads: list[str]


def fit(model: nn.Module, contents: Contents, drawn: Set[str]) -> Fit:
    """Compare names and shapes, both ways.

    ``drawn`` are the modules of a new head, which is not read but drawn at random.
    """
    in_model = parameters(model)
    own = _head_modules(in_model)
    # Their modules are not the model's, even where they have the same name.
    others = {task: head for task, head in heads_of(contents).items() if head != own}
    read = {None, *own} - drawn - set().union(*others.values())
    in_file = {
        name: entry
        for name, entry in contents.entries.items()
        if _head_module(name) in read
    }
    tied = is_tied(model)
    placed: dict[str, str] = {}
    problems: dict[str, Problem] = {}
    for name, own_name in in_model.items():
        if _head_module(name) in drawn:
            continue
        shape = tuple(model.get_parameter(own_name).shape)
        if name in in_file:
            placed[in_file[name].name] = own_name
            found = in_file[name].shape
            if found != shape:
                text = f"{own_name} is {quote(found)} in the file, {shape} in the model"
                problems[name] = Problem("shape", text)
        elif not (tied and name == OUTPUT_EMBEDDINGS):
            text = f"{own_name} {shape} is missing from the file"
            problems[name] = Problem("missing", text)
    for name, entry in in_file.items():
        if name not in in_model:
            text = f"{quote(entry.name)} {quote(entry.shape)} is only in the file"
            problems[name] = Problem("unexpected", text)
    ignored = [
        entry.name for name, entry in contents.entries.items() if name not in in_file
    ]
    return Fit(placed, problems, ignored, _head_modules(in_file), [*others])


def check_fit(
    model: nn.Module, contents: Contents, drawn: Set[str], num_labels: int
) -> None:
    """Raise a `CheckpointError` that lists all that differs, if anything does."""
    found = fit(model, contents, drawn)
    if found.problems:
        title = f"{contents.source} does not fit {type(model).__name__}:"
        texts = [problem.text for problem in found.problems.values()]
        advice = _advice(model, found, num_labels)
        raise CheckpointError("\n  ".join([title, *texts]) + "\n" + advice)


def _advice(model: nn.Module, found: Fit, num_labels: int) -> str:
    """What to do about tensors that are missing, unexpected or of another shape."""
    advice = []
    problems, names = found.problems, parameters(model)
    if any(_head_module(name) is None for name in problems):
        advice.append(
            "The config.json and the weights are of two different models: compare its "
            "n_layers, dim, hidden_dim, vocab_size and max_position_embeddings with "
            "these names and shapes."
        )
    own, wrong = _head_modules(names), _head_modules(problems)
    # One output for each label, and not one per choice or word.
    sized_by_labels = "classifier.weight" in names and (
        len(model.get_parameter("classifier.weight")) == num_labels
    )
    if [*problems] == [OUTPUT_EMBEDDINGS] and (
        problems[OUTPUT_EMBEDDINGS].kind == "missing"
    ):
        advice.append(
            "The config.json says that tie_word_embeddings is false, so the output "
            "matrix must be in the file; if it is the word embeddings, say true there."
        )
    elif own & wrong and not own & found.head:
        others = " and for ".join(found.other_heads)
        has = f"a head for {others}" if others else "no head"
        ask = "new_head=True or num_labels=" if sized_by_labels else "new_head=True"
        advice.append(
            f"The checkpoint has {has}, and this model needs one of its own: {ask} "
            "gives it a new one, to be trained."
        )
    elif wrong:
        advice.append("new_head=True gives the model a new head, to be trained.")
        if sized_by_labels and own <= found.head:
            advice.append("Or ask for as many labels as the head in the file has.")
    return " ".join(advice)


def fitting_skeleton(
    weights: Weights,
    cls: Callable[..., Model],
    config: DistilBertConfig,
    attn_implementation: str = "sdpa",
    *,
    new_head: bool = False,
    labels_given: bool = False,
) -> tuple[Model, set[str]]:
    """A skeleton that the checkpoint fits, and the modules of its head to be drawn.

    The head is drawn if ``new_head``, or if labels are given and the checkpoint does
    not have it.
    """
    model = skeleton_like(weights, cls, config, attn_implementation)
    head = _head_modules(parameters(model))
    if not head and (new_head or labels_given):
        raise ValueError(
            f"{type(model).__name__} has no head: leave out new_head=, num_labels= and "
            "id2label=, or load one of the DistilBertFor… classes"
        )
    drawn = set()
    if new_head or (labels_given and head not in heads_of(weights).values()):
        drawn = head
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
        if name in drawn:
            # On the CPU in full precision, so that the seed alone decides.
            for leaf, parameter in list(module.named_parameters()):
                empty = torch.empty(parameter.shape, device="cpu")
                setattr(module, leaf, nn.Parameter(empty))
            module.apply(draw).to(dtype=dtype, device=device)

    def read(name: str) -> Tensor:
        return weights.tensor(name, dtype=dtype, device=device)

    _assign(model, read, drawn, tied)


def map_weights(model: nn.Module, weights: Weights) -> None:
    """Make every parameter of a skeleton a place in the mapped file: no copies."""
    _assign(model, weights.stored, set(), is_tied(model))


def _assign(
    model: nn.Module, read: Callable[[str], Tensor], drawn: Set[str], tied: bool
) -> None:
    """Replace each parameter that is not drawn by what is read for its plain name."""
    names = parameters(model)
    for name, own_name in names.items():
        if _head_module(name) in drawn or (tied and name == OUTPUT_EMBEDDINGS):
            continue
        module, _, leaf = own_name.rpartition(".")
        trained = model.get_parameter(own_name).requires_grad
        parameter = nn.Parameter(read(name), trained)
        setattr(model.get_submodule(module), leaf, parameter)
    if tied:
        words = model.get_parameter(names[WORD_EMBEDDINGS])
        model.get_submodule("vocab_projector").weight = words
