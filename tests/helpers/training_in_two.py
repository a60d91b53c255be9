"""A program for `test_processes`: trainings in one process and in several.

    python training_in_two.py FOLDER REPORT

gloo opens sockets, and processes are forked: a test itself may do neither. What was
found is reported as JSON, results of trainings are folders in FOLDER.
"""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import stopped_training
import torch
from checkpoints import draw_lively
from faults import Faults
from lessons import HEADS
from trainings import RECIPE, checkpoint, rows_of, stop_after

from minidistil.training import running
from minidistil.training.loop import Training
from minidistil.training.processes import joined
from minidistil.training.training import distil, train

torch.set_num_threads(1)  # a forked child has none of its parent's threads

LONG = 60.0  # seconds, after which a process has stopped for ever
TEXTS = "text-classification"
# Of each: the task, and what is other than usual. Two passes a step, unless said.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    **{task: (task, {}) for task in HEADS},
    # Adam makes a whole step of hardly any gradient, whose sign is that of rounding,
    # but for its epsilon.
    "many passes": (TEXTS, {"pass_rows": 1, "epsilon": 1e-2}),
    "one pass": (TEXTS, {"pass_rows": 6}),
    "checkpointing": (TEXTS, {"gradient_checkpointing": True}),
    "float16": (TEXTS, {"precision": "float16"}),
    "patience": (
        TEXTS,
        stopped_training.CHANGES | {"warm_up": 0},
    ),
    "distilled": ("fill-mask", {"soft": 5.0, "hard": 2.0, "cosine": 1.0}),
    "kept answers": (TEXTS, {"soft": 0.5, "hard": 0.5}),
}


def run(kind: str, name: str, **options: Any) -> dict[str, Any]:
    """Train, and say how it ended."""
    task, changes = KINDS[kind]
    rows, dev, folder = rows_of(task, 14), rows_of(task, 9), FOLDER / name
    options = {**RECIPE, "task": task, **changes, **options}
    source = FOLDER / f"start {task}"
    if "soft" not in changes:
        result = train(source, rows, dev, folder, **options)
    else:
        del options["task"]
        stop = options.pop("stop", lambda: False)
        result = distil(source, rows, dev, folder, layers=(0,), stop=stop, **options)
    return {
        "state": result.state,
        "steps": result.steps,
        "results": {name: repr(x) for name, x in result.results.items()},
    }


def forked(count: int, work: Callable[[int], Any]) -> list[dict[str, Any]]:
    """Do some work in so many processes; say of each how it ended."""
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]
    children = []
    for rank in range(count):
        path = FOLDER / f"rank {rank}.json"
        path.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            place = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank}
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ.update({k: str(v) for k, v in (place | address).items()})
            faulthandler.dump_traceback_later(LONG, exit=True)
            try:
                found = {"result": work(rank)}
            except BaseException as error:
                traceback.print_exc(limit=-1)
                found = {"error": [type(error).__name__, str(error)]}
                # At once: gloo, when it is let go, may wait for who has died.
                path.write_text(json.dumps(found))
                os._exit(1)
            path.write_text(json.dumps(found))
            os._exit(0)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(x, 0)[1]) for x in children]
    return [
        {"status": status, **json.loads((FOLDER / f"rank {rank}.json").read_text())}
        for rank, status in enumerate(statuses)
    ]


def in_turn(kind: str, name: str) -> list[Any]:
    """Two steps in one process, two in two, and the rest in one."""
    return [
        run(kind, name, stop=stop_after(2)),
        forked(2, lambda _: run(kind, name, stop=stop_after(2))),
        run(kind, name),
    ]


def who_writes(rank: int) -> list[str]:
    """The operations on files of one of two processes that train."""
    faults = Faults(FOLDER / "written")
    faults.install()
    running.SECONDS = 0.0
    run(TEXTS, "written")
    return faults.operations


def with_an_error(rank: int) -> Any:
    """Let the first process have no room for a state."""
    if rank == 0:
        Faults(FOLDER / "full", "full", 100).install()
    return run(TEXTS, "full")


def with_a_late_first(rank: int) -> Any:
    """Let the first process be slow to begin, and to write."""
    if rank == 0:
        time.sleep(0.3)
        for name in ("save", "write_file"):
            real = getattr(running, name)

            def slow(*arguments: Any, real: Any = real) -> Any:
                time.sleep(0.1)
                return real(*arguments)

            setattr(running, name, slow)
    running.SECONDS = 0.0
    return run(TEXTS, "late")


def with_a_step_that_diverges(rank: int) -> Any:
    """Let one process alone compute what is no number."""
    real = Training._take

    def take(training: Training, number: int) -> None:
        if (rank, number) == (1, 4):
            with torch.no_grad():
                next(training.student.parameters()).fill_(float("nan"))
        real(training, number)

    Training._take = take  # type: ignore[method-assign]
    return run("float16", "diverged")


def with_one_who_wants_to_stop(rank: int) -> Any:
    return run(TEXTS, "asked", stop=lambda: rank == 1)


def caller_s_own_group(rank: int) -> Any:
    """What the caller has made is used, and is there afterwards."""
    import torch.distributed as dist

    dist.init_process_group("gloo")
    with joined(torch.device("cpu")) as processes:
        found = [processes.rank, processes.count]
    dist.barrier()  # the first has what the other one connects with
    return [*found, dist.is_initialized()]


def in_another(folder: str) -> Callable[[int], Any]:
    def work(rank: int) -> Any:
        (FOLDER / folder).mkdir(exist_ok=True)
        (FOLDER / folder / "letter.txt").write_text("Dear all,")
        return run(TEXTS, folder)

    return work


def main() -> None:
    for task in HEADS:
        checkpoint(FOLDER / f"start {task}", task, draw=draw_lively)
    report: dict[str, Any] = {}
    for kind in KINDS:
        alone = run(kind, f"{kind} in 1")
        both = forked(2, lambda _, kind=kind: run(kind, f"{kind} in 2"))
        report[kind] = {"alone": alone, "both": both}
    report["three"] = forked(3, lambda _: run("many passes", "three"))
    for kind in (TEXTS, "distilled"):
        report[f"{kind} in turn"] = in_turn(kind, f"{kind} in turn")
    report["writes"] = forked(2, who_writes)
    report["full"] = forked(2, with_an_error)
    report["full, again"] = run(TEXTS, "full")
    report["late"] = forked(2, with_a_late_first)
    report["diverged"] = forked(2, with_a_step_that_diverges)
    report["asked"] = forked(2, with_one_who_wants_to_stop)
    report["letter"] = forked(2, in_another("letter"))
    report["own group"] = forked(2, caller_s_own_group)
    REPORT.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    FOLDER, REPORT = map(Path, sys.argv[1:3])
    main()
