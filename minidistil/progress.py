"""Progress bars for what takes more than a second, if standard error is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")
_DELAY = 1.0  # seconds: what is done by then needs no bar
_TICK = 1.0  # seconds

# The bar that is on the screen while lines are printed, and whether it counts what an
# engine reads. Each context, so each thread, has its own.
_shown: ContextVar[tuple[Any, bool]] = ContextVar("shown", default=(None, False))
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


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

    hidden = _hidden.get() or not on_a_terminal()
    return tqdm(desc=what, delay=_DELAY, leave=False, disable=hidden, **options)


@contextmanager
def no_bars() -> Iterator[None]:
    """Show none within the block: of several processes, one alone does."""
    before = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(before)


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
def _on_the_screen(bar: Any, *, counts_sequences: bool) -> Iterator[None]:
    """Let the bar be the one that `clear_bar` takes off, within the block."""
    before = _shown.set((bar, counts_sequences))
    try:
        yield
    finally:
        _shown.reset(before)


@contextmanager
def counting_sequences(what: str) -> Iterator[None]:
    """Count what an engine reads within the block: texts, pairs or windows.

    A text may have many windows, and results are returned by the thousand: the engine
    alone knows how far it is. How many there will be is not known before the end.
    """
    with (
        _bar(what, unit=" sequences") as bar,
        _on_the_screen(bar, counts_sequences=True),
    ):
        yield


@contextmanager
def counting_rows(
    what: str, total: int | None, done: int = 0
) -> Iterator[Callable[[int], object]]:
    """A bar for the rows of a table: rows done, rows a second, and the time left.

    The block calls what it is given with how many more are done. Meanwhile nobody
    counts sequences: one bar is on the screen.

    Args:
        what: What is done with them.
        total: The rows in all; None where they cannot be known.
        done: Those of them that were done before.
    """
    with (
        _bar(what, unit=" rows", total=total, initial=done) as bar,
        _on_the_screen(bar, counts_sequences=False),
    ):
        yield bar.update


@contextmanager
def counting_steps(what: str) -> Iterator[Callable[[int, int, str], object]]:
    """A bar for the steps of a training, with the time left.

    The block calls what it is given with the steps that are done, how many there are in
    all, and what stands beside them. The first call says where it begins, so that the
    time left is of the steps since. From then on nobody counts sequences.
    """
    bar: Any = None
    with ExitStack() as shown:

        def show(done: int, total: int, beside: str) -> None:
            nonlocal bar
            if bar is None:
                bar = shown.enter_context(
                    _bar(what, unit=" steps", total=total, initial=done)
                )
                shown.enter_context(_on_the_screen(bar, counts_sequences=False))
            bar.set_postfix_str(beside, refresh=False)
            bar.update(done - bar.n)

        yield show


def sequences_read(count: int) -> None:
    """Move the bar of `counting_sequences`, if that is on the screen."""
    bar, counts_sequences = _shown.get()
    if counts_sequences:
        bar.update(count)


def clear_bar() -> None:
    """Take the bar off the screen, before a line is printed; it comes back."""
    bar, _ = _shown.get()
    if bar is not None:
        bar.clear()
