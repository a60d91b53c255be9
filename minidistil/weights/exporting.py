"""Write a model as a program that runs without this library: ONNX or ``.pt2``.

Both take ``input_ids`` and ``attention_mask``, (B, T) integers, or (B, C, T) for
multiple choice, of any batch and any number of tokens that the model has positions
for. Both are compared with the model, over that whole range, before the file gets
its name.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minidistil.auto import load
from minidistil.checkpoint.fitting import skeleton
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.files import replacing
from minidistil.heads import (
    DistilBertForMultipleChoice,
    DistilBertForSequenceClassification,
)
from minidistil.messages import MinidistilError
from minidistil.outputs import ModelOutput
from minidistil.progress import counting_seconds, steps

# The oldest in which torch writes every operator that the model has.
OPSET = 17
# Of the largest number in a result, or of 1 if that is larger.
TOLERANCE = 1e-5
_NEEDED = ("onnx", "onnxruntime")  # to write ONNX, and to check it

# (input_ids, attention_mask) -> the results, in the order that the model has them
Program = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


class ExportError(MinidistilError, ValueError):
    """A model cannot be exported, or what was exported gives other numbers."""


@dataclass(frozen=True)
class Checked:
    """How the exported program was compared with the model.

    Attributes:
        kind: The class of the model.
        batches: How many batches both were given.
        tokens: The most tokens in one of them.
        difference: The largest, as a share of the largest number in the result (or of
            1 if that is larger).
    """

    kind: str
    batches: int
    tokens: int
    difference: float


def export(
    source: PreTrainedModel | str | os.PathLike[str],
    file: str | os.PathLike[str],
    **where: Any,
) -> Checked:
    """Write a model to a file, ``.onnx`` or ``.pt2`` by its name, and check it.

    Args:
        source: A model, or a checkpoint: ``"tiny"``, a folder, or a hub repository.
        file: Where to; it is written whole or not at all.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``, for a
            repository.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError: as `from_pretrained`,
            for a checkpoint.
        ExportError: if the numbers differ by more than `TOLERANCE`; no file is written.
        ValueError: for a name with another ending, or a model that is not in float32,
            on the CPU and in ``eval()``.
        ImportError: for ``.onnx``, if onnx or onnxruntime is not installed.
    """
    path = Path(file)
    if path.suffix not in _FORMATS:
        raise ValueError(
            f"'{path}' ends in {path.suffix!r}, expected {' or '.join(_FORMATS)}"
        )
    needed = _NEEDED if path.suffix == ".onnx" else ()
    if absent := [name for name in needed if find_spec(name) is None]:
        raise ImportError(
            f"exporting to ONNX needs {' and '.join(absent)}, not installed here: "
            "pip install 'minidistil[onnx]'"
        )
    model = source if isinstance(source, nn.Module) else load(source, **where)
    if model.dtype != torch.float32 or model.device.type != "cpu" or model.training:
        raise ValueError(
            f"the model is {model.dtype} on {model.device}, "
            f"{'in training' if model.training else 'in eval()'}; expected float32 on "
            "the CPU in eval(), as from_pretrained() loads it"
        )
    write, read = _FORMATS[path.suffix]
    with replacing(path) as temporary:
        with counting_seconds("writing"):
            write(_TupleOutput(model).eval(), temporary)
        with counting_seconds("reading again"):
            program = read(temporary)
        return check_program(model, program)


class _TupleOutput(nn.Module):
    """A model that takes two tensors and returns a tuple of tensors."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Run the model."""
        return _run(self.model, input_ids, attention_mask).to_tuple()


def _run(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> ModelOutput:
    """What a program gives: whatever else the model's configuration asks for."""
    result: ModelOutput = model(
        input_ids=ids,
        attention_mask=mask,
        output_hidden_states=False,
        output_attentions=False,
        return_dict=True,
    )
    return result


def _axes(model: nn.Module) -> list[str]:
    """The names of the axes of ``input_ids``."""
    choices = ["choices"] if isinstance(model, DistilBertForMultipleChoice) else []
    return ["batch", *choices, "tokens"]


def _example(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Inputs to trace with; some tokens are hidden, so that hiding is traced."""
    tokens = min(4, model.config.max_position_embeddings)
    shape = (2, 3, tokens) if len(_axes(model)) == 3 else (2, tokens)
    mask = torch.ones(shape, dtype=torch.long)
    mask[0, ..., -1] = 0
    return torch.zeros(shape, dtype=torch.long), mask


def _write_onnx(wrapped: _TupleOutput, file: Path) -> None:
    """Write ONNX by tracing.

    torch's newer exporter needs onnxscript, whose versions go with torch's, and takes
    fifty times as long; tracing is the same in every torch this library runs on. What
    it could miss, a branch that depends on the input, `check_program` would find.
    """
    # Step by step: older versions of torch cannot write the fused attention.
    model = skeleton(type(wrapped.model), wrapped.model.config, "eager").eval()
    model.load_state_dict(wrapped.model.state_dict(), assign=True)
    inputs, axes = ["input_ids", "attention_mask"], _axes(model)
    # Of a result, those that can be of any size.
    per_text = isinstance(model, DistilBertForSequenceClassification)
    result_axes = axes[: 1 if per_text else 2]
    # Newer versions of torch trace only if asked to.
    known = inspect.signature(torch.onnx.export).parameters.keys()
    tracing: dict[str, Any] = {"dynamo": False} if "dynamo" in known else {}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of values that become constants; see above
        outputs = [*_run(model, *_example(model))]
        torch.onnx.export(
            _TupleOutput(model).eval(),
            _example(model),
            str(file),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={
                **{name: dict(enumerate(axes)) for name in inputs},
                **{name: dict(enumerate(result_axes)) for name in outputs},
            },
            opset_version=OPSET,
            **tracing,
        )


def _load_onnx(file: Path) -> Program:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(
        file.read_bytes(), options, providers=["CPUExecutionProvider"]
    )

    def run(input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        given = {
            "input_ids": input_ids.numpy(),
            "attention_mask": attention_mask.numpy(),
        }
        return tuple(map(torch.from_numpy, session.run(None, given)))

    return run


def _write_program(wrapped: _TupleOutput, file: Path) -> None:
    model = wrapped.model
    limits = {"tokens": model.config.max_position_embeddings}
    sizes = {
        axis: torch.export.Dim(name, min=1, max=limits.get(name, 2**20))
        for axis, name in enumerate(_axes(model))
    }
    with torch.no_grad():
        program = torch.export.export(
            wrapped, _example(model), dynamic_shapes=(sizes, sizes)
        )
    # To an open file: by a name, torch insists on an ending.
    with file.open("wb") as stream:
        torch.export.save(program, stream)


def _load_program(file: Path) -> Program:
    with file.open("rb") as stream:
        program: Any = torch.export.load(stream).module()
    return torch.no_grad()(program)  # type: ignore[no-any-return]


_FORMATS: dict[
    str, tuple[Callable[[_TupleOutput, Path], None], Callable[[Path], Program]]
] = {
    ".onnx": (_write_onnx, _load_onnx),
    ".pt2": (_write_program, _load_program),
}


@torch.no_grad()
def check_program(model: PreTrainedModel, program: Program) -> Checked:
    """Run a program beside the model it was made from, over the range of shapes.

    Raises:
        ExportError: if the numbers differ by more than `TOLERANCE`.
    """
    batches = list(_batches(model))
    largest = 0.0
    for ids, mask in steps(batches, "checking"):
        ours = _run(model, ids, mask).items()
        for (name, our), their in zip(ours, program(ids, mask), strict=True):
            difference = _difference(our, their)
            if not difference <= TOLERANCE:
                raise ExportError(
                    f"{name} of the exported program differs from the model's by "
                    f"{difference:.1e} for input_ids of shape {tuple(ids.shape)}, "
                    f"expected at most {TOLERANCE}; nothing was written"
                )
            largest = max(largest, difference)
    tokens = max(ids.shape[-1] for ids, _ in batches)
    return Checked(type(model).__name__, len(batches), tokens, largest)


def _difference(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    if ours.numel() == 0:
        return 0.0
    return float((ours - theirs).abs().max() / ours.abs().max().clamp(min=1))


def _batches(model: PreTrainedModel) -> Iterator[tuple[Tensor, Tensor]]:
    """Random ids and masks: of every size near a small one, then of ever longer ones.

    Masks hide nothing, the end, the beginning, every third token, or all of a row.
    """
    limit = model.config.max_position_embeddings
    sizes = {1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, limit - 1, limit}
    generator = torch.Generator().manual_seed(0)
    for tokens in sorted(size for size in sizes if 1 <= size <= limit):
        # Of long texts few: they take long, and a batch is a batch.
        for batch in (1, 2, 5) if tokens < 100 else (1, 2):
            choices = (batch % 3 + 1,) * (len(_axes(model)) - 2)
            shape = (batch, *choices, tokens)
            ids = torch.randint(model.config.vocab_size, shape, generator=generator)
            yield ids, _mask(ids)


def _mask(ids: Tensor) -> Tensor:
    tokens = ids.shape[-1]
    places = torch.arange(tokens)
    kinds = [
        places >= 0,
        places <= tokens // 2,
        places >= tokens // 2,
        places % 3 != 0,
        places < 0,
    ]
    rows = ids.numel() // tokens
    first = tokens if rows == 1 else 0  # so that one text alone meets each kind
    chosen = [kinds[(first + row) % len(kinds)] for row in range(rows)]
    return torch.stack(chosen).long().view(ids.shape)
