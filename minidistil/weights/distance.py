"""How far the results of a model or an engine are from float64, and may be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.heads import DistilBertForMultipleChoice
from minidistil.model import DistilBertModel
from minidistil.outputs import BaseModelOutput
from minidistil.pipelines.running import as_one_tensor
from minidistil.progress import counting_seconds


class Allowed(NamedTuple):
    """How far numbers may be off that were computed in some type or precision.

    Attributes:
        states: The encoder's states, as a share of their own size (both are root mean
            squares). Honest ones, on trained and on random weights of any size, were
            off by at most 7e-7, 0.0023, 0.0125 and 0.054 in the last four.
        head: What the layers of a head round by themselves, as a share of the outputs'
            size; in int8 they are in float32.
        published: Published results of a trained checkpoint (its logits have a
            deviation of 2.6), beside what their printed digits allow: as much as the
            engine's own tests do.
    """

    states: float
    head: float
    published: float


# On another device than the CPU float32 may mean fewer bits (TF32).
ALLOWED = {
    "float64": Allowed(1e-9, 1e-9, 0.0),
    "float32 on a device": Allowed(5e-3, 1e-3, 1e-2),
    "float32": Allowed(1e-5, 1e-6, 0.0),
    "float16": Allowed(0.005, 1e-3, 0.05),
    "bfloat16": Allowed(0.03, 8e-3, 0.15),
    "int8": Allowed(0.12, 1e-6, 0.4),
}
# What a head gives may be off by this many times the sum of two errors: what it rounds
# itself, and what an exact head makes of the errors of the encoder's states.
_TIMES = 4
_LARGEST = 40  # how many times the allowed mean a single number may be off


@dataclass(frozen=True)
class Results:
    """What was made of some sequences: a tensor for each.

    Attributes:
        states: The encoder's, (T, D).
        outputs: What `Engine` describes; of a bare encoder the states.
    """

    states: list[Tensor]
    outputs: list[Tensor]


@torch.inference_mode()
def run_model(model: PreTrainedModel, sequences: Iterable[list[int]]) -> Results:
    """Run a model on one sequence after another; the results are as `Engine`'s."""
    results = Results([], [])
    for ids in sequences:
        inputs = torch.tensor([ids], device=model.device)
        if isinstance(model, DistilBertForMultipleChoice):
            inputs = inputs[None]
        # Every id is meant to be read, the padding's too.
        out = model(
            inputs,
            torch.ones_like(inputs),
            output_hidden_states=True,
            output_attentions=False,
            return_dict=True,
        )
        results.states.append(out.hidden_states[-1][0])
        results.outputs.append(as_one_tensor(out)[0])
    return results


class _GivenStates(nn.Module):
    """In place of an encoder: given states, of one sequence after another."""

    def __init__(self, states: Iterable[Tensor]) -> None:
        super().__init__()
        self._states = iter(states)

    def forward(self, *inputs: Any, **named: Any) -> BaseModelOutput:
        """Return the states of the next sequence, whatever the input."""
        states = next(self._states)[None].cpu().double()
        return BaseModelOutput(states, (states,))


def check_distance(
    found: Results, expected: Results, exact: PreTrainedModel, numbers: str
) -> tuple[bool, str]:
    """Compare the states, and then what the head made of them.

    How much a head enlarges small errors depends on its weights: where large numbers
    nearly cancel each other, much. So it is measured, with an exact head on the states
    that were found.

    Args:
        found: What is judged.
        expected: That of ``exact``.
        exact: The model in float64, on the CPU; it loses its encoder.
        numbers: What ``found`` was computed in, as `ALLOWED` calls it.

    Returns:
        Whether it is near enough, and the figures.
    """
    allowed = ALLOWED[numbers].states * _size(expected.states)
    off = _off(found.states, expected.states)
    parts = [_judge("the encoder's states", off, allowed)]
    if not isinstance(exact, DistilBertModel):
        exact.distilbert = _GivenStates(found.states)
        with counting_seconds("head"):
            blank = [[0] * len(states) for states in found.states]
            carried = run_model(exact, blank).outputs
        allowed = _size(_off(carried, expected.outputs))
        allowed += ALLOWED[numbers].head * _size(expected.outputs)
        off = _off(found.outputs, expected.outputs)
        parts.append(_judge("the outputs", off, _TIMES * allowed))
    return all(right for right, _ in parts), "; ".join(text for _, text in parts)


def _off(found: Sequence[Tensor], expected: Sequence[Tensor]) -> list[Tensor]:
    return [
        ours.cpu().double() - exact for ours, exact in zip(found, expected, strict=True)
    ]


def _size(numbers: Sequence[Tensor]) -> float:
    """The root of the mean of the squares."""
    count = sum(each.numel() for each in numbers)
    return math.sqrt(sum(float(each.square().sum()) for each in numbers) / count)


def _judge(what: str, off: Sequence[Tensor], allowed: float) -> tuple[bool, str]:
    """Whether differences are as small as allowed, and the figures."""
    mean, largest = _size(off), max(float(each.abs().max()) for each in off)
    return mean <= allowed and largest <= _LARGEST * allowed, (
        f"{what} are off from float64 by {mean:.1e} in the mean, at most {largest:.1e} "
        f"(allowed are {allowed:.1e} and {_LARGEST * allowed:.1e})"
    )
