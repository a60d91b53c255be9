"""CUDA graphs: the work of a short call, recorded once and played again at once.

Of one short text, the time goes into asking for some seventy kernels, one after the
other. A graph asks for all of them together. But it always does the same work on the
same memory: so there are a few shapes, a batch is filled up to the next larger one
(`minidistil.engine.gpu.packing.filled`), and its numbers are copied to where the graph
reads them.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from minidistil.engine.gpu.packing import Batch, Shape, filled
from minidistil.engine.gpu.transfers import Fetch, Transfers

# A call of more tokens keeps a GPU busy for longer than asking for its work takes.
MOST_TOKENS = 512
# Room for what fills a batch, so that a text of 512 tokens still fits; products are
# faster if the number of rows can be divided by 8.
TOKENS = tuple(size + 8 for size in (16, 32, 64, 128, 256, MOST_TOKENS))
SEQUENCES = (2, 8, 32)
ROWS = (*SEQUENCES, 128)
# What graphs keep: results of 4 MB each at most, and all share what is between.
MOST_GRAPHS = 48
MOST_NUMBERS = 2**20

Results = tuple[Tensor, Tensor]
Compute = Callable[[Tensor, Shape], Results]  # of the numbers of a batch


def bucket(shape: Shape, width: int) -> Shape | None:
    """The shape that a batch is filled up to, or None if it is too large for one."""
    tokens = _next(TOKENS, shape.tokens + 1)
    sequences = _next(SEQUENCES, shape.sequences + 1)
    if tokens is None or sequences is None:
        return None
    rows, most = None, tokens
    if shape.rows is not None:
        rows = _next(ROWS, max(shape.rows, sequences))
        if rows is None:
            return None
        most = rows
    if most * width > MOST_NUMBERS:
        return None
    return Shape(tokens, sequences, rows, tokens, most)


def _next(sizes: tuple[int, ...], least: int) -> int | None:
    return next((size for size in sizes if size >= least), None)


class Recorder(Protocol):
    """Records work and plays it, one at a time.

    Attributes:
        lock: Held from `begin` to `end`.
    """

    lock: threading.Lock

    def can_record(self) -> bool:
        """Whether this thread may use graphs now."""

    def record(self, work: Callable[[], Results]) -> tuple[Callable[[], Any], Results]:
        """Return what does some work again, and where its results will be."""

    def begin(self) -> None:
        """Wait, on the device, until what was played last is done and copied."""

    def end(self) -> None:
        """Say that all is asked for which must be done before something is played."""


class _OfDevice:
    """What the graphs of all engines on a device share.

    The products in them share a piece of memory, which cuBLAS has for each stream that
    it was recorded on. So there is one stream, and one graph is played after the other.
    It is of high priority, as few streams of other code are: what another thread asks
    of the very stream that is recorded would be recorded too.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stream = torch.cuda.Stream(priority=-1)  # type: ignore[no-untyped-call]
        self.done = torch.cuda.Event()  # type: ignore[no-untyped-call]


@functools.cache
def _of_device(number: int) -> _OfDevice:
    return _OfDevice()


class CudaRecorder:
    """Graphs of CUDA or ROCm on the current device, in one pool of memory."""

    def __init__(self) -> None:
        shared = _of_device(torch.cuda.current_device())
        self.lock, self._stream, self._done = shared.lock, shared.stream, shared.done
        self._pool = torch.cuda.graph_pool_handle()

    def can_record(self) -> bool:
        """Whether the caller is not recording a graph of their own."""
        return not torch.cuda.is_current_stream_capturing()

    def record(self, work: Callable[[], Results]) -> tuple[Callable[[], Any], Results]:
        """See `Recorder`."""
        caller = torch.cuda.current_stream()
        self._stream.wait_stream(caller)
        graph = torch.cuda.CUDAGraph()
        _register_generator(graph)
        try:
            with torch.cuda.stream(self._stream):
                for _ in range(2):
                    work()  # libraries prepare what they cannot while it is recorded
                # Not `torch.cuda.graph`, which waits for the device, collects garbage
                # and empties the caches of the process. Other threads go on meanwhile.
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    results = work()
                finally:
                    graph.capture_end()
        finally:
            # Also after an error: what is read is freed on the caller's stream.
            caller.wait_stream(self._stream)
        return graph.replay, results

    def begin(self) -> None:
        """See `Recorder`."""
        torch.cuda.current_stream().wait_event(self._done)

    def end(self) -> None:
        """See `Recorder`."""
        self._done.record()


def _register_generator(graph: torch.cuda.CUDAGraph) -> None:
    """Let a graph know the device's random numbers, outside of inference mode.

    Each graph knows them, whether it draws any or not. torch makes two tensors for that
    when the first graph of all is recorded, and every later one writes to them. If they
    were made in inference mode, the caller could record no graph of their own outside
    of it (https://github.com/pytorch/pytorch/issues/166792).
    """
    generators = torch.cuda.default_generators
    if hasattr(graph, "register_generator_state"):
        with torch.inference_mode(False):
            graph.register_generator_state(generators[torch.cuda.current_device()])


class Recording(NamedTuple):
    """A graph, where it reads, and where it writes."""

    numbers: Tensor
    replay: Callable[[], Any]
    results: Results


class Graphs:
    """The graphs of an engine. Threads share them, and their streams may differ."""

    def __init__(self, transfers: Transfers, recorder: Recorder, width: int) -> None:
        self._transfers, self._recorder, self._width = transfers, recorder, width
        self._recordings: dict[Shape, Recording] = {}
        self._usable = True

    def run(self, batch: Batch, compute: Compute) -> Fetch | None:
        """Compute a short batch; None if it has to be done without graphs.

        ``compute`` is not kept: what holds the graphs is freed as soon as it is let go.
        """
        shape = bucket(batch.shape, self._width)
        if shape is None or not self._usable or not self._recorder.can_record():
            return None
        numbers, rows = filled(batch, shape).numbers, len(batch.places)
        with self._recorder.lock:
            self._recorder.begin()
            recording = self._recordings.get(shape)
            if recording is None:
                recording = self._record(numbers, shape, compute)
            fetch = None if recording is None else self._play(recording, numbers, rows)
            self._recorder.end()
            return fetch

    def _play(self, recording: Recording, numbers: Tensor, rows: int) -> Fetch | None:
        self._transfers.sent(numbers, to=recording.numbers)
        try:
            recording.replay()
        except RuntimeError:
            # Older torch plays none while a graph is recorded anywhere in the process.
            return None
        return self._transfers.fetched(*(each[:rows] for each in recording.results))

    def _record(
        self, numbers: Tensor, shape: Shape, compute: Compute
    ) -> Recording | None:
        if len(self._recordings) >= MOST_GRAPHS:
            return None
        kept = self._transfers.sent(numbers).clone()  # on the CPU, it is the batch's
        try:
            replay, results = self._recorder.record(lambda: compute(kept, shape))
        except RuntimeError:
            # Graphs are faster, and nothing else: what they cannot do, is done without.
            self._usable = False
            return None
        self._recordings[shape] = Recording(kept, replay, results)
        return self._recordings[shape]
