"""What ``train`` and ``distil`` share: their options, and how a training is shown.

The options are called as in a recipe: what was given is passed on as its changes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from minidistil.cli.failures import as_one_line
from minidistil.cli.figures import figures
from minidistil.cli.options import DEVICE, NO_QUOTES, choice, flag, number, option
from minidistil.cli.output import as_typed, print_line, print_warning
from minidistil.progress import counting_steps, no_bars
from minidistil.training.recipe import PRECISIONS, RECIPES

INTERRUPTED = 130  # the exit status of what Ctrl-C has ended
# torchrun ends the others when the first process has failed; only who is still there
# after so many seconds has an error of its own.
_SECONDS = 5.0

_ROLES = {
    "text": "text",
    "second": "second text of a pair",
    "label": "label; of a column for each label, all of them with commas between",
    "words": "words (token-classification)",
    "tags": "tags of the words",
    "question": "question",
    "context": "context (question-answering)",
    "answers": "answers, as SQuAD has them",
    "answer": "answer, a text",
    "answer-start": "character where the answer starts",
    "prompt": "prompt (multiple-choice)",
    "choices": "choices; of a column for each choice, all of them with commas between",
}
_COLUMN = "_column"
COLUMNS = tuple(
    option(f"--{role}-column", f"The column of the {what}.", metavar="NAME")
    for role, what in _ROLES.items()
)


def _share(names: str, help: str) -> Any:
    return option(names, help, type=float, metavar="X")


TRAINING = (
    option("--train rows", "The table to learn from.", required=True, metavar="FILE"),
    option("--dev", "The table to measure with, after each epoch.", metavar="FILE"),
    option("-o --output folder", "Where the result goes.", required=True),
    option(
        "--recipe",
        f"All numbers: {', '.join(RECIPES)}, or a file of JSON. The options below "
        f"change one each.",
    ),
    *COLUMNS,
    NO_QUOTES,
    number("--epochs", "How often each row is learnt from.", minimum=1),
    number("--batch-size", "The rows of a step.", minimum=1),
    number(
        "--pass-rows",
        "The rows that are computed at once: a matter of memory alone.",
        minimum=1,
    ),
    _share("--learning-rate", "The highest, after the warm-up."),
    _share("--warm-up", "The steps until it is reached; below 1, a share of all."),
    _share("--weight-decay", "Of matrices."),
    choice("--precision", PRECISIONS, "What products are computed in."),
    number("--max-length", "The tokens of a row that are read.", minimum=4),
    number("--seed", "What all random numbers come from.", minimum=0),
    number("--patience", "End after so many evaluations without gain.", minimum=1),
    option("--metric", "What says which weights are best."),
    flag("--gradient-checkpointing", "Less memory, a third more work."),
    DEVICE,
)


def given_tables(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a command was given, with its tables and columns as the library takes them.

    Columns are by their roles; tables without quotes are opened.
    """
    given = {name: options[name] for name in options if not name.endswith(_COLUMN)}
    given["columns"] = {
        name.removesuffix(_COLUMN): value
        for name, value in options.items()
        if name.endswith(_COLUMN) and value is not None
    }
    if given.pop("no_quotes"):
        from minidistil.tables.sources import open_source

        for name in ("rows", "dev"):
            if given.get(name) is not None:
                given[name] = open_source(given[name], quotes=False)
    return given


def followed(learn: Callable[..., Any], what: str, options: Mapping[str, Any]) -> None:
    """Train as the options say, show how far it is, and what has come of it.

    Args:
        learn: `training.train` or `training.distil`.
        what: What the bar is called.
        options: What the command was given.
    """
    with (
        _one_of_several(),
        counting_steps(what) as show,
        _stoppable(options["folder"]) as stop,
    ):
        tables = given_tables(options)
        dev = tables.pop("dev")
        # What was not given is the recipe's.
        given = {
            name: value
            for name, value in tables.items()
            if value is not None and value is not False  # 0 is given
        }
        result = learn(
            **given,
            dev=dev,
            command=_command(),
            stop=stop,
            report=lambda line: show(line["step"], line["steps"], _beside(line)),
        )
    if _rank() == 0:
        for line in _ending(result):
            print_line(line)
    if result.state == "interrupted":
        if _rank() == 0:
            print_warning(
                f"Stopped after step {result.steps[0]:,} of {result.steps[1]:,}; the "
                f"state is kept in {result.folder}, and the same command goes on"
            )
        raise click.exceptions.Exit(INTERRUPTED)


def _ending(result: Any) -> Iterator[str]:
    """What has come of a training."""
    if result.state != "interrupted":
        before = ", before this command" if result.was_done else ""
        done, steps = result.steps
        yield f"{result.state}{before}: {done:,} of {steps:,} steps"
        yield from figures(result.results)
    yield f"the model: {result.folder}"
    yield f"the report: {result.folder / 'report.html'}"


def _beside(line: Mapping[str, Any]) -> str:
    """What stands beside the steps that are done: the newest figures."""
    shown = {}
    if "loss" in line:
        shown["loss"] = f"{line['loss']:.4f}"
    if line["best"] is not None:
        shown[f"best {line['metric']}"] = f"{line['best']:.4f}"
    if "tokens_per_second" in line:
        shown["tokens/s"] = f"{line['tokens_per_second']:,.0f}"
    return ", ".join(f"{name} {value}" for name, value in shown.items())


@contextmanager
def _stoppable(folder: str) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, or SIGTERM, end a training after the present step.

    The second one ends it at once, and so does the first one if no step was taken.

    Yields:
        What is asked after each step: whether to end.
    """
    asked, stepping = threading.Event(), threading.Event()

    def ask(number: int, frame: Any) -> None:
        if asked.is_set() or not stepping.is_set():
            raise KeyboardInterrupt
        asked.set()

    def stop() -> bool:
        stepping.set()
        return asked.is_set()

    before = {}
    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGINT, signal.SIGTERM):
            # What is started in the background may have to ignore Ctrl-C.
            if signal.getsignal(each) not in (signal.SIG_IGN, None):
                before[each] = signal.signal(each, ask)
    try:
        yield stop
    except KeyboardInterrupt:
        if _rank() == 0:
            print_warning(
                f"Stopped at once; from what is kept in {folder}, the same command "
                f"goes on"
            )
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


# Several processes, of torchrun


def _rank() -> int:
    """The number of this process among those that torchrun has started."""
    return int(os.environ.get("RANK", "0"))


def _command() -> str:
    """What repeats the run."""
    each = os.environ.get("LOCAL_WORLD_SIZE")
    typed = as_typed()
    if each is None:
        return typed
    return f"torchrun --nproc-per-node {each} -m {typed}"


@contextmanager
def _one_of_several() -> Iterator[None]:
    """Let the first process alone speak; of the others, an error that it has not."""
    rank = _rank()
    if rank == 0:
        yield
        return
    with no_bars(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:
            text = as_one_line(error)
            if text is None:
                raise
            time.sleep(_SECONDS)
            print_warning(f"Error in process {rank}: {text}")
            raise click.exceptions.Exit(1) from error
