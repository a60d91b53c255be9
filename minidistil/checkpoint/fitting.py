"""Put a checkpoint's tensors in their places in a model, or say why they do not fit.

A checkpoint and a model must fit each other exactly: every tensor of the one is in the
other, with the same name and shape. What may differ is listed here and nowhere else:

- the prefix and the spelling of names (`minidistil.checkpoint.tensors.plain_name`);
- the bare encoder leaves out the head of a task checkpoint;
- a head that the caller asks to be new is drawn at random, not read;
- the output matrix of masked language modelling may be the word embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from minidistil.checkpoint.tensors import (
    CheckpointError,
    Contents,
    Entry,
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


class _ShapesOnly(TorchFunctionMode):
    """While it is active, parameters get a shape but no memory, and are not drawn.

    ``torch.device("meta")`` does nearly that, but for it torch imports 800 modules, to
    draw nothing in the end: over a second, and 67 MB.
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


def same_matrix(weights: Weights) -> bool:
    """Whether a checkpoint has no output matrix but its word embeddings."""
    words = weights.entries.get(WORD_EMBEDDINGS)
    output = weights.entries.get(OUTPUT_EMBEDDINGS)
    if words is None or output is None:
        return True
    stored = weights.stored
    return words.dtype == output.dtype and torch.equal(
        stored(WORD_EMBEDDINGS), stored(OUTPUT_EMBEDDINGS)
    )


def skeleton_like(
    weights: Weights,
    cls: Callable[..., Model],
    config: DistilBertConfig,
    attn_implementation: str,
) -> Model:
    """A skeleton whose two word matrices are one only if the checkpoint's are."""
    model = skeleton(cls, config, attn_implementation)
    if is_tied(model) and not same_matrix(weights):
        untied = config.replace(tie_word_embeddings=False)
        return skeleton(cls, untied, attn_implementation)
    return model


def _head_module(name: str) -> str | None:
    """The module of a head that a tensor belongs to, by its plain name."""
    module, _, kind = name.partition(".")
    known = any(module in modules for modules in HEADS.values())
    return module if known and kind in ("weight", "bias") else None


def _head_modules(names: Iterable[str]) -> set[str]:
    return {module for name in names if (module := _head_module(name)) is not None}


def _own_head(model: nn.Module) -> set[str]:
    return _head_modules(parameters(model))


def _heads(modules: set[str]) -> dict[str, set[str]]:
    """The heads that are complete among some modules."""
    left, found = set(modules), {}
    for task, head in HEADS.items():
        if head <= left:
            found[task] = head
            left -= head
    return found


def heads_of(contents: Contents) -> dict[str, set[str]]:
    """The heads that a checkpoint holds whole, with the modules of each."""
    return _heads(_head_modules(contents.entries))


def _other_heads(model: nn.Module, contents: Contents) -> dict[str, set[str]]:
    """The complete heads in a checkpoint that are not of the model's kind.

    Their modules are not the model's, even where they have the same name.
    """
    own = _own_head(model)
    found = heads_of(contents)
    return {task: head for task, head in found.items() if head != own}


def fresh_head(
    model: nn.Module, contents: Contents, new_head: bool, labels_given: bool
) -> set[str]:
    """The head modules to draw at random: all of the model's, or none."""
    own = _own_head(model)
    if not own and (new_head or labels_given):
        raise ValueError(
            f"{type(model).__name__} has no head: leave out new_head=, num_labels= and "
            "id2label=, or load one of the DistilBertFor… classes"
        )
    has_it = own in heads_of(contents).values()
    return own if new_head or (labels_given and not has_it) else set()


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
        ignored: Tensors of heads that the model does not read, as the file names
            them.
    """

    placed: dict[str, str]
    problems: dict[str, Problem]
    ignored: list[str]


def fit(model: nn.Module, contents: Contents, fresh: set[str]) -> Fit:
    """Compare names and shapes, both ways; ``fresh`` as `fresh_head` returns it."""
    in_model = {
        name: full
        for name, full in parameters(model).items()
        if _head_module(name) not in fresh
    }
    in_file = _meant_for(model, contents, fresh)
    tied = is_tied(model)
    placed: dict[str, str] = {}
    problems: dict[str, Problem] = {}
    for name, full in in_model.items():
        shape = tuple(model.get_parameter(full).shape)
        if name in in_file:
            placed[in_file[name].name] = full
            found = in_file[name].shape
            if found != shape:
                text = f"{full} is {quote(found)} in the file, {shape} in the model"
                problems[name] = Problem("shape", text)
        elif not (tied and name == OUTPUT_EMBEDDINGS):
            text = f"{full} {shape} is missing from the file"
            problems[name] = Problem("missing", text)
    for name, entry in in_file.items():
        if name not in in_model:
            text = f"{quote(entry.name)} {quote(entry.shape)} is only in the file"
            problems[name] = Problem("unexpected", text)
    ignored = [
        entry.name for name, entry in contents.entries.items() if name not in in_file
    ]
    return Fit(placed, problems, ignored)


def check_fit(
    model: nn.Module, contents: Contents, fresh: set[str], num_labels: int
) -> None:
    """Compare names and shapes, both ways.

    Raises:
        CheckpointError: one, that lists all that differs and says what to do.
    """
    problems = fit(model, contents, fresh).problems
    if problems:
        title = f"{contents.source} does not fit {type(model).__name__}:"
        texts = [problem.text for problem in problems.values()]
        in_file = _meant_for(model, contents, fresh)
        cures = _cures(model, contents, in_file, problems, num_labels)
        raise CheckpointError("\n  ".join([title, *texts]) + "\n" + cures)


def _meant_for(
    model: nn.Module, contents: Contents, fresh: set[str]
) -> dict[str, Entry]:
    """A checkpoint's tensors without those of heads that the model does not read."""
    own = _own_head(model)
    taken = set().union(*_other_heads(model, contents).values())
    wanted = own - fresh - taken
    return {
        name: entry
        for name, entry in contents.entries.items()
        if _head_module(name) in wanted | {None}
    }


def _sized_by_labels(model: nn.Module, num_labels: int) -> bool:
    """Whether a model has one output for each label, and not one per choice or word."""
    names = parameters(model)
    return "classifier.weight" in names and (
        len(model.get_parameter("classifier.weight")) == num_labels
    )


def _cures(
    model: nn.Module,
    contents: Contents,
    in_file: dict[str, Entry],
    problems: Iterable[str],
    num_labels: int,
) -> str:
    """What to do about tensors that are missing, unexpected or of another shape."""
    cures = []
    if any(_head_module(name) is None for name in problems):
        cures.append(
            "The config.json and the weights are of two different models: compare its "
            "n_layers, dim, hidden_dim, vocab_size and max_position_embeddings with "
            "these names and shapes."
        )
    own = _own_head(model)
    if list(problems) == [OUTPUT_EMBEDDINGS] and OUTPUT_EMBEDDINGS not in in_file:
        cures.append(
            "The config.json says that tie_word_embeddings is false, so the output "
            "matrix must be in the file; if it is the word embeddings, say true there."
        )
    elif own & _head_modules(problems) and not own & _head_modules(in_file):
        others = " and for ".join(_other_heads(model, contents))
        has = f"a head for {others}" if others else "no head"
        ask = "new_head=True" + (
            " or num_labels=" if _sized_by_labels(model, num_labels) else ""
        )
        cures.append(
            f"The checkpoint has {has}, and this model needs one of its own: {ask} "
            "gives it a new one, to be trained."
        )
    elif _head_modules(problems):
        cures.append("new_head=True gives the model a new head, to be trained.")
        if _sized_by_labels(model, num_labels) and own <= _head_modules(in_file):
            cures.append("Or ask for as many labels as the head in the file has.")
    return " ".join(cures)


def fill(
    model: nn.Module,
    weights: Weights,
    fresh: set[str],
    dtype: torch.dtype,
    device: torch.device,
    draw: Callable[[nn.Module], None],
) -> None:
    """Give every parameter its numbers: read from the file, or drawn if fresh."""
    tied = is_tied(model)
    for name, full in parameters(model).items():
        if _head_module(name) in fresh:
            _assign(model, full, torch.empty(model.get_parameter(full).shape))
        elif not (tied and name == OUTPUT_EMBEDDINGS):
            _assign(model, full, weights.tensor(name, dtype=dtype, device=device))
    for name, module in model.named_children():
        if name in fresh:
            # Drawn on the CPU in full precision, so that the seed alone decides.
            module.apply(draw).to(dtype=dtype, device=device)
    if tied:
        words = model.get_parameter("distilbert." + WORD_EMBEDDINGS)
        _assign(model, OUTPUT_EMBEDDINGS, words)


def lay_over(model: nn.Module, weights: Weights) -> None:
    """Give every parameter its place in the mapped file; nothing is copied."""
    tied = is_tied(model)
    for name, full in parameters(model).items():
        if not (tied and name == OUTPUT_EMBEDDINGS):
            _assign(model, full, weights.stored(name))
    if tied:
        words = model.get_parameter("distilbert." + WORD_EMBEDDINGS)
        _assign(model, OUTPUT_EMBEDDINGS, words)


def _assign(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of a parameter; a parameter is shared, not copied."""
    module, _, leaf = name.rpartition(".")
    if not isinstance(tensor, nn.Parameter):
        tensor = nn.Parameter(tensor, model.get_parameter(name).requires_grad)
    setattr(model.get_submodule(module), leaf, tensor)
