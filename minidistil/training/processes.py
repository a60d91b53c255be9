"""Several processes that train one student: torchrun starts them, this joins them.

Process r of W takes the passes r, r + W, … of every step, and all add up what they have
found. With one process everything here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Value = TypeVar("Value")
# After so long without an answer the others are taken for dead: an evaluation, or a
# save to a slow disk, may take a while.
PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Processes:
    """The processes of a training, and which of them this is.

    Attributes:
        rank: The number of this one, from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1
    _shared: list[Any] = field(default_factory=list, repr=False, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes files and speaks to the user."""
        return self.rank == 0

    def shared(self, student: nn.Module) -> nn.Module:
        """The student, such that the gradients of all processes are added up."""
        if self.count == 1:
            return student
        from torch.nn.parallel import DistributedDataParallel

        shared = DistributedDataParallel(student, gradient_as_bucket_view=True)
        # By itself it averages, and in 16 bits a multiple of a loss may be too large.
        shared.register_comm_hook(None, lambda _, bucket: _added_up(bucket))
        self._shared.append(shared)
        return shared

    def gathering(
        self, student: nn.Module, is_last: bool
    ) -> AbstractContextManager[Any]:
        """Around a pass: gradients are exchanged once a step, with the last of them."""
        if self.count == 1 or is_last:
            return nullcontext()
        alone: AbstractContextManager[Any] = student.no_sync()  # type: ignore[operator]
        return alone

    def part(self) -> None:
        """Let go what would keep the group alive: nothing is shared any more.

        Who lets go a group last waits for a thread of it, which may wait for Python's
        lock; torch gives up the lock only where no reducer is the last one.
        """
        for shared in self._shared:
            del shared.reducer, shared.logger
        self._shared.clear()

    def sum(self, values: Tensor) -> Tensor:
        """Add up what all processes have; each gets the sum."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def added_up(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same for each of some numbers, tensors (), at once."""
        if self.count == 1:
            return dict(values)
        sums = self.sum(torch.stack([*values.values()]))
        return dict(zip(values, sums, strict=True))

    def gathered(self, value: Value) -> list[Value]:
        """What all processes have, in the order of their ranks."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def by_first(self, work: Callable[[], Value]) -> Value:
        """Do what one process alone may do, and give all what it returns.

        An error of the first process is one of all.
        """
        if self.count == 1:
            return work()
        found: list[Any] = [None, None]
        if self.is_first:
            try:
                found[0] = work()
            except Exception as error:
                found[1] = error
        dist.broadcast_object_list(found, src=0)
        if found[1] is not None:
            raise found[1]
        return found[0]  # type: ignore[no-any-return]


def _added_up(bucket: Any) -> Any:
    """Add up the gradients of a bucket, while the next ones are computed."""
    work: Any = dist.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun has started, while the block runs.

    Without torchrun there is one. A group that the caller has made is used, and kept.

    Args:
        device: Of this process: processes on GPUs speak over nccl, others over gloo.
    """
    is_cuda = device.type == "cuda"
    started = {"RANK", "WORLD_SIZE"} <= {*os.environ}
    ours = started and not (dist.is_available() and dist.is_initialized())
    # Without it nccl would send from the first GPU, whichever process asks.
    with torch.cuda.device(device) if is_cuda else nullcontext():
        if ours:
            dist.init_process_group("nccl" if is_cuda else "gloo", timeout=PATIENCE)
        processes = Processes()
        if dist.is_available() and dist.is_initialized():
            processes = Processes(dist.get_rank(), dist.get_world_size())
        try:
            yield processes
        finally:
            processes.part()
            if ours:
                dist.destroy_process_group()


def own_device(device: str) -> str:
    """The device of this process: each that torchrun starts has a GPU of its own."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if device == "cuda" and local is not None else device
