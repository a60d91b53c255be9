"""Compute in a process that was forked from one where torch had computed.

OpenMP gives each thread of a process a team of its own to compute with. The team that
a thread had when the process was forked has stayed behind, and libgomp would wait for
it for ever. A thread that is new gets a new team.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import copy_context
from threading import current_thread, main_thread
from typing import TypeVar

Made = TypeVar("Made")
# Where this module was imported: a process of another number was forked from it.
_PROCESS = os.getpid()


def has_lost_its_team() -> bool:
    """Whether this thread was forked: it is the main one of its process."""
    return os.getpid() != _PROCESS and current_thread() is main_thread()


def computed(work: Callable[[], Made]) -> Made:
    """Do some work and return its result; where it must be, in a new thread."""
    if not has_lost_its_team():
        return work()
    from concurrent.futures import ThreadPoolExecutor  # seldom needed

    with ThreadPoolExecutor(1) as another_thread:
        return another_thread.submit(copy_context().run, work).result()
