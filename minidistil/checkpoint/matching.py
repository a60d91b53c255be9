"""Which tensor of a checkpoint is which parameter of a model, by names and shapes.

- `parameters` and `tensors_of` list what a model has, `heads_of` what a checkpoint has;
- `fit` compares the two, both ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from torch import Tensor, nn

from minidistil.checkpoint.tensors import Contents, plain_name
from minidistil.messages import quote

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
ENCODER = ("embeddings.", "transformer.")


def parameters(model: nn.Module) -> dict[str, str]:
    """What a checkpoint holds of a model: from the plain name of each to its own."""
    return {plain_name(name) or name: name for name in tensors_of(model)}


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters by name, and the buffers that are saved along with them."""
    state = model.state_dict(keep_vars=True)
    return {name: each for name, each in state.items() if isinstance(each, Tensor)}


def is_tied(model: nn.Module) -> bool:
    """Whether the output matrix of a model is its word embeddings."""
    names = parameters(model)
    if OUTPUT_EMBEDDINGS not in names:
        return False
    output = model.get_parameter(names[OUTPUT_EMBEDDINGS])
    return output is model.get_parameter(names[WORD_EMBEDDINGS])


def head_module(name: str) -> str | None:
    """The module of a head that a tensor belongs to, by its plain name."""
    module, _, kind = name.partition(".")
    return module if module in _HEAD_MODULES and kind in ("weight", "bias") else None


def head_modules(names: Iterable[str]) -> set[str]:
    """The modules of heads that tensors belong to, by their plain names."""
    return {module for name in names if (module := head_module(name)) is not None}


def own_layers(names: Iterable[str]) -> set[str]:
    """What a subclass adds to the encoder and to the heads that are known here."""
    return {
        name.partition(".")[0]
        for name in names
        if not name.startswith(ENCODER) and head_module(name) is None
    }


def is_in(name: str, parts: Set[str]) -> bool:
    """Whether a tensor belongs to one of these parts of a model, by its plain name."""
    return not name.startswith(ENCODER) and name.partition(".")[0] in parts


def heads_of(contents: Contents) -> dict[str, set[str]]:
    """The heads that a checkpoint holds whole, with the modules of each."""
    left, found = head_modules(contents.entries), {}
    for task, head in HEADS.items():
        if head <= left:
            found[task] = head
            left -= head
    return found


def names_of(model: nn.Module, drawn: Set[str]) -> list[str]:
    """The parameters of the parts that were drawn, by the model's own names."""
    return [own for name, own in parameters(model).items() if is_in(name, drawn)]


def is_sized_by_labels(model: nn.Module, num_labels: int) -> bool:
    """Whether its head has one output for each label, not one per choice or word."""
    weight = tensors_of(model).get("classifier.weight")
    return weight is not None and len(weight) == num_labels


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
    in_model, tensors = parameters(model), tensors_of(model)
    own = head_modules(in_model)
    # Their modules are not the model's, even where they have the same name.
    others = {task: head for task, head in heads_of(contents).items() if head != own}
    read = {None, *own} - drawn - set().union(*others.values())
    new_layers = drawn & own_layers(in_model)
    in_file = {
        name: entry
        for name, entry in contents.entries.items()
        if head_module(name) in read and not is_in(name, new_layers)
    }
    tied = is_tied(model)
    placed: dict[str, str] = {}
    problems: dict[str, Problem] = {}
    for name, own_name in in_model.items():
        if is_in(name, drawn):
            continue
        shape = tuple(tensors[own_name].shape)
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
    return Fit(placed, problems, ignored, head_modules(in_file), [*others])
