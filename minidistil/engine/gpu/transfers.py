"""Between the host and a device: copies that the host does not wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch
from torch import Tensor

Fetch = Callable[[], tuple[Tensor, ...]]  # waits for results, and returns them


class Transfers:
    """Copies to a device and back, as far as possible while both do something else.

    CUDA and ROCm copy from and to pages of the host that are pinned. They come from
    torch, which lends them again only when the copies that it was told of are done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pinned = device.type == "cuda"

    def sent(self, numbers: Tensor, to: Tensor | None = None) -> Tensor:
        """Numbers of the host on the device: in ``to``, or in a tensor of their own."""
        if self.pinned:
            numbers = _pinned(numbers).copy_(numbers)
        if to is None:
            return numbers.to(self.device, non_blocking=self.pinned)
        return to.copy_(numbers, non_blocking=self.pinned)

    def fetched(self, *results: Tensor) -> Fetch:
        """Begin to copy results to the host."""
        if not self.pinned:
            # Where a copy waits for the device, it is made when it is asked for. On the
            # CPU it is a copy as well: what is recorded is written again.
            kept = tuple(each.clone() for each in results)
            return lambda: tuple(each.cpu() for each in kept)
        pages = tuple(map(_pinned, results))
        for page, each in zip(pages, results, strict=True):
            page.copy_(each, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()  # on the caller's stream, as the copies are

        def wait() -> tuple[Tensor, ...]:
            done.synchronize()
            return pages

        return wait


def _pinned(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device="cpu", pin_memory=True)


@contextmanager
def computing_on(device: torch.device) -> Iterator[None]:
    """Inference on a device, in the engine's own types: no autocast of the caller's."""
    with ExitStack() as stack:
        for context in _contexts(device):
            stack.enter_context(context)
        yield


def _contexts(device: torch.device) -> Iterator[AbstractContextManager[object]]:
    yield torch.inference_mode()
    if device.type == "cuda":
        yield torch.cuda.device(device)
    try:
        autocast = torch.is_autocast_enabled(device.type)
    except RuntimeError:  # a device that has no autocast
        autocast = False
    if autocast:
        yield torch.autocast(device.type, enabled=False)
