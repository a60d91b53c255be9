"""The loop: guess, measure, go back, take a step; again and again.

    for each step
        for each pass of its batch
            forward    how wrong is the student?            objectives
            backward   which way is every weight to go?     torch
        clip           no step may be too long
        step           AdamW                                optimizer

Everything that a step needs to know is a function of its number: which rows it learns
from (`plan`), which words are hidden, what dropout sets to zero (`keys`). What has been
learnt is in the weights and in the optimizer; with the number of the step, that is the
whole state of a training (`state`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from minidistil.training.keys import key
from minidistil.training.processes import Processes
from minidistil.training.recipe import Recipe

Inputs = dict[str, Tensor]  # of a forward pass, on the CPU


@dataclass(frozen=True)
class Step:
    """What one step learns from.

    Attributes:
        passes: Each makes the inputs of one forward pass.
        counts: For each term of the loss, how many rows or tokens all passes together
            sum it over.
    """

    passes: Sequence[Callable[[], Inputs]]
    counts: Mapping[str, int]


class Lessons(Protocol):
    """A task, its rows, and how much each term of the loss weighs.

    Attributes:
        weights: By the name of the term.
        steps: How many steps there are.
    """

    weights: Mapping[str, float]
    steps: int

    def tokens(self, number: int) -> int:
        """How many tokens a step reads."""

    def step(self, number: int) -> Step:
        """What a step learns from; the same whenever it is asked for."""


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        step: The steps that are done.
        tokens: The tokens that have been read.
        sums: Since the last report, for each term of the loss its sum over the steps,
            each step a mean; and the norm of the gradient. Tensors (), on the device,
            which nobody waits for; every process has the same.
        since: The number of those steps.
        diverged: The first step whose gradient was not finite, as a tensor (); -1 if
            none was.
    """

    step: int = 0
    tokens: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    since: int = 0
    diverged: Tensor | None = None


class Training:
    """A student that learns.

    Attributes:
        student: Makes, of the inputs of a pass, the sum of each term of the loss: a
            mapping from the term's name to a tensor ().
        optimizer: AdamW, over the student's weights; any other may take its place.
        progress: Where it stands.
    """

    def __init__(
        self,
        student: nn.Module,
        lessons: Lessons,
        recipe: Recipe,
        processes: Processes,
        device: torch.device,
    ) -> None:
        """Begin at the first step; `state.load` goes on from another."""
        self.student = student
        self.lessons = lessons
        self.recipe = recipe
        self.processes = processes
        self.device = device
        self.optimizer: torch.optim.Optimizer = adamw(student, recipe)
        # Numbers of 16 bits end at 65,504 and at 6e-8: gradients are scaled in between.
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=recipe.precision == "float16"
        )
        self.progress = Progress()
        self._computed = processes.shared(student)

    def steps(self) -> Iterator[int]:
        """Take all steps that are left; yield the number of each when it is done."""
        while (number := self.progress.step) < self.lessons.steps:
            self._take(number)
            self.progress.step += 1
            self.progress.tokens += self.lessons.tokens(number)
            yield self.progress.step

    def diverged_in(self) -> int | None:
        """The first step whose loss or gradient was not finite; waits for the device.

        From then on the weights are worth nothing.
        """
        found = self.progress.diverged
        return None if found is None or int(found) < 0 else int(found)

    def _take(self, number: int) -> None:
        recipe, processes = self.recipe, self.processes
        step = self.lessons.step(number)
        mine = range(processes.rank, len(step.passes), processes.count)
        means = {
            name: torch.zeros((), device=self.device) for name in self.lessons.weights
        }
        self.student.train()
        # A process without a pass of its own still takes part: it adds nothing.
        for place in mine or [0]:
            torch.manual_seed(key(recipe.seed, "dropout", number, place))
            is_last = place + processes.count >= len(step.passes)
            with processes.gathering(self._computed, is_last), self._autocast():
                sums = self._computed(**self._moved(step.passes[place]()))
                # Where nothing counts, as without a label, the sum is 0.
                found = {
                    name: sums[name] / max(1, step.counts[name]) * bool(mine)
                    for name in means
                }
                loss = sum(
                    weight * found[name]
                    for name, weight in self.lessons.weights.items()
                )
                self.scaler.scale(loss).backward()
            for name in means:
                means[name] += found[name].detach()
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.student.parameters(), recipe.largest_gradient)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate(number, self.lessons.steps)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self._note(number, processes.added_up(means) | {"gradient": norm})

    def _autocast(self) -> Any:
        """Products in the recipe's precision; sums and norms stay in float32."""
        dtype = getattr(torch, self.recipe.precision)
        return torch.autocast(
            self.device.type, dtype, enabled=dtype is not torch.float32
        )

    def _moved(self, inputs: Inputs) -> Inputs:
        if self.device.type == "cuda":  # which copies without a wait from such memory
            inputs = {name: value.pin_memory() for name, value in inputs.items()}
        return {
            name: value.to(self.device, non_blocking=True)
            for name, value in inputs.items()
        }

    def _note(self, number: int, found: Mapping[str, Tensor]) -> None:
        """Add to the sums of the next report, without waiting for the device."""
        progress = self.progress
        for name, value in found.items():
            progress.sums[name] = progress.sums.get(name, 0) + value
        progress.since += 1
        # In 16 bits a gradient may be too large: the scaler then takes no step.
        watched = [
            value.isfinite()
            for name, value in found.items()
            if name != "gradient" or not self.scaler.is_enabled()
        ]
        now = torch.where(torch.stack(watched).all(), -1, number)
        before = progress.diverged
        progress.diverged = (
            now if before is None else torch.where(before < 0, now, before)
        )


def adamw(student: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), as fast as there is."""
    options: dict[str, Any] = {
        "params": groups(student, recipe.weight_decay),
        "lr": recipe.learning_rate,
        "betas": recipe.betas,
        "eps": recipe.epsilon,
    }
    try:
        return torch.optim.AdamW(**options, fused=True)
    except RuntimeError:  # not on every device
        return torch.optim.AdamW(**options)


def groups(student: nn.Module, decay: float) -> list[dict[str, Any]]:
    """The weights for the optimizer: matrices decay, biases and norms do not.

    To pull the scale of a norm to zero would be to turn its layer off.
    """
    weights = [each for each in student.parameters() if each.requires_grad]
    return [
        {"params": [each for each in weights if each.ndim > 1], "weight_decay": decay},
        {"params": [each for each in weights if each.ndim < 2], "weight_decay": 0.0},
    ]
