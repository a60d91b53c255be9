"""Progress bars for what takes more than a second, if standard error is a terminal."""

from __future__ import annotations

import sys
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

# The bar of `counting_sequences`. Each context, so each thread, has its own.
_sequences: ContextVar[Any] = ContextVar("sequences", default=None)


def can_be_shown() -> bool:
    """Whether there is a standard error; of a program without a console there is none.

    It may also be closed, or be an object that is no stream.
    """
    writable = callable(getattr(sys.stderr, "write", None))
    return writable and not getattr(sys.stderr, "closed", False)


def on_a_terminal() -> bool:
    """Whether standard error is a terminal, so that a bar can move there."""
    try:
        return can_be_shown() and sys.stderr.isatty()
    except (AttributeError, OSError, ValueError):
        return False


def _bar(what: str, **options: Any) -> Any:
    from tqdm.auto import tqdm

    hidden = not on_a_terminal()
    return tqdm(desc=what, delay=_DELAY, leave=False, disable=hidden, **options)


def steps(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Go through some items, with a bar that counts them."""
    yield from _bar(what, iterable=items)


@contextmanager
def counting_bytes(total: int, what: str) -> Iterator[Callable[[int], object]]:
    """A bar for bytes: the block calls what it is given with how many more are done."""
    with _bar(what, total=total, unit="B", unit_scale=True) as bar:
        yield bar.update


@contextmanager
def counting_seconds(what: str) -> Iterator[None]:
    """The seconds that the block takes, where nobody can say how far it is."""
    done = Event()
    with _bar(what, bar_format="{desc}: {elapsed}") as bar:

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

    A text may have many windows, and results are returned by the thousand: the engine
    alone knows how far it is. How many there will be is not known before the end.
    """
    with _bar(what, unit=" sequences") as bar:
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
