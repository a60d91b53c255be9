"""A progress bar for what takes more than a second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")
_DELAY = 1.0  # seconds: what is done by then needs no bar


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
