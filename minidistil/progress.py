"""A progress bar for what takes more than a second, if standard error is a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")
_DELAY = 1.0  # seconds: what is done by then needs no bar
_TICK = 1.0  # seconds

# The bar of `counting_sequences`. A context's own, so that threads do not meet in it.
_sequences: ContextVar[Any] = ContextVar("sequences", default=None)


def steps(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Go through some items, with a bar that counts them."""
    from tqdm.auto import tqdm

    # disable=None: nothing where standard error is no terminal
    bar: Any = tqdm(items, desc=what, delay=_DELAY, leave=False, disable=None)
    yield from bar


@contextmanager
def counting_bytes(total: int, what: str) -> Iterator[Callable[[int], object]]:
    """A bar for bytes: the block calls what it is given with how many more are done."""
    from tqdm.auto import tqdm

    with tqdm(
        total=total,
        desc=what,
        unit="B",
        unit_scale=True,
        delay=_DELAY,
        leave=False,
        disable=None,
    ) as bar:
        yield bar.update


@contextmanager
def counting_seconds(what: str) -> Iterator[None]:
    """The seconds that the block takes, where nobody can say how far it is."""
    from tqdm.auto import tqdm

    shown = "{desc}: {elapsed}"
    done = Event()
    with tqdm(
        desc=what, bar_format=shown, delay=_DELAY, leave=False, disable=None
    ) as bar:

        def tick() -> None:
            while not done.wait(_TICK):
                bar.update()

        clock = Thread(target=tick, daemon=True)
        if not bar.disable:
            clock.start()
        try:
            yield
        finally:
            done.set()
            if clock.is_alive():
                clock.join()


@contextmanager
def counting_sequences(what: str) -> Iterator[None]:
    """Count what an engine reads within the block: texts, pairs or windows.

    Answers come by the thousand, and a text may have many windows: the engine alone
    knows how far it is. How many there will be, nobody knows before the last is read.
    """
    from tqdm.auto import tqdm

    with tqdm(
        desc=what, unit=" sequences", delay=_DELAY, leave=False, disable=None
    ) as bar:
        before = _sequences.set(bar)
        try:
            yield
        finally:
            _sequences.reset(before)


def sequences_read(count: int) -> None:
    """Move the bar of `counting_sequences`, if there is one."""
    bar = _sequences.get()
    if bar is not None:
        bar.update(count)


def clear_bar() -> None:
    """Take that bar off the screen, before a line is printed; it comes back."""
    bar = _sequences.get()
    if bar is not None:
        bar.clear()
