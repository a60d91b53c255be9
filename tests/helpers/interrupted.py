"""A program for `test_weights_interrupted`: it converts, and comes to grief.

    python interrupted.py SOURCE TARGET REPORT

Each attempt is a child process of its own, which is killed at some point, or runs out
of disk, or has company. What is in the target afterwards is reported as JSON. The
children are forked: to import torch anew for each would take minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from minidistil import AutoModelForSequenceClassification
from minidistil.checkpoint import saving
from minidistil.weights.conversion import convert

torch.set_num_threads(1)  # a forked child has none of its parent's threads

SOURCE, TARGET, REPORT = map(Path, sys.argv[1:])
OLD, NEW = torch.float32, torch.bfloat16
RANDOM_KILLS = 10
# Those of the tokenizer, which are written before the weights unless they are there.
TOKENIZER = 2
FULL_AT = {"at once": 0, "in the config": 100, "in the weights": 30_000}


def digests() -> dict[str, str]:
    """What each file of the target holds; hidden ones are what was not finished."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(TARGET.iterdir())
        if not path.name.startswith(".")
    }


def fork(work: Callable[[], object]) -> int:
    """Do some work in a child, which ends with 0, or with 1 and a traceback."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    """Wait for a child; the signal that killed it is negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner: Any, name: str, number: int, *, after: bool = False) -> None:
    """Let a function kill the process at its n-th call, before or after its work."""
    real, calls = getattr(owner, name), []

    def function(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == number and not after:
            die()
        result = real(*arguments, **options)
        if len(calls) == number:
            die()
        return result

    setattr(owner, name, function)


def half_written() -> None:
    def write(path: Path, *_: Any) -> None:
        path.write_bytes(b"half of it" * 100)
        die()

    saving.write_tensors = write  # type: ignore[assignment]


# Each is given how many files are written before the weights.
POINTS: dict[str, Callable[[int], None]] = {
    "before the weights are written": lambda _: at_call(saving, "write_tensors", 1),
    "while the weights are written": lambda _: half_written(),
    "after the weights are written": lambda _: at_call(
        saving, "write_tensors", 1, after=True
    ),
    "at the first fsync": lambda n: at_call(os, "fsync", n + 1),
    "at the last fsync": lambda n: at_call(os, "fsync", n + 2),
    "before the first rename": lambda n: at_call(Path, "replace", n + 1),
    "between the renames": lambda n: at_call(Path, "replace", n + 2),
    "after the last rename": lambda n: at_call(Path, "replace", n + 2, after=True),
}


def fresh(dtype: torch.dtype | None) -> dict[str, str]:
    """Put the target back as it is to be found; None leaves it empty."""
    shutil.rmtree(TARGET, ignore_errors=True)
    if dtype is None:
        TARGET.mkdir()
    else:
        kept = TARGET.with_name(str(dtype))
        if not kept.exists():
            convert(SOURCE, kept, dtype=dtype)
        shutil.copytree(kept, TARGET)
    return digests()


def fresh_with_another_vocabulary() -> dict[str, str]:
    fresh(OLD)
    path = TARGET / "vocab.txt"
    words = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([*words[:1000], *reversed(words[1000:])]), "utf-8")
    return digests()


def loads() -> bool:
    AutoModelForSequenceClassification.from_pretrained(TARGET)
    return True


def killed(prepare: Callable[[int], None], before: int) -> Callable[[], None]:
    def work() -> None:
        prepare(before)
        convert(SOURCE, TARGET, dtype=NEW)

    return work


def on_a_full_disk(size: int) -> Callable[[], None]:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            convert(SOURCE, TARGET, dtype=NEW)
        except OSError:
            os._exit(0)
        os._exit(3)

    return work


def again_and_again() -> None:
    while True:
        for dtype in (NEW, OLD):
            convert(SOURCE, TARGET, dtype=dtype)


def main() -> None:
    new, old = fresh(NEW), fresh(OLD)
    report: dict[str, Any] = {"old": old, "new": new}
    for name, prepare in POINTS.items():
        for start in ("old", "none"):
            fresh(OLD if start == "old" else None)
            before = TOKENIZER if start == "none" else 0
            status = ended(fork(killed(prepare, before)))
            # Of a checkpoint that was not there before, half may be: no config.json.
            sound = not (TARGET / "config.json").exists() or loads()
            report[f"killed {name}, {start}"] = [status, digests(), sound]
    for name, size in FULL_AT.items():
        fresh(OLD)
        status = ended(fork(on_a_full_disk(size)))
        left = [path.name for path in TARGET.iterdir()]
        report[f"full {name}"] = [status, digests(), sorted(left)]
    report["other"] = fresh_with_another_vocabulary()
    # The vocabulary, the weights and the config.
    for number in (1, 2, 3):
        fresh_with_another_vocabulary()

        def prepare(_: int, number: int = number) -> None:
            at_call(Path, "replace", number)

        status = ended(fork(killed(prepare, 0)))
        report[f"other vocabulary, rename {number}"] = [status, digests()]
    fresh_with_another_vocabulary()
    status = ended(fork(on_a_full_disk(FULL_AT["in the weights"])))
    report["other vocabulary, full"] = [status, digests()]
    fresh(OLD)
    report["random"] = []
    for i in range(RANDOM_KILLS):
        child = fork(again_and_again)
        time.sleep(0.01 + 0.007 * i)
        os.kill(child, signal.SIGKILL)
        report["random"].append([ended(child), digests(), loads()])
    fresh(OLD)
    children = [
        fork(lambda: [convert(SOURCE, TARGET, dtype=NEW) for _ in range(5)])
        for _ in range(3)
    ]
    meanwhile = [loads() for _ in range(20)]
    statuses = [ended(child) for child in children]
    left = sorted(path.name for path in TARGET.iterdir())
    report["together"] = [statuses, digests(), meanwhile, left]
    REPORT.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
