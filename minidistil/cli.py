"""The ``minidistil`` command: it parses, calls the library and prints.

Nothing heavy is imported before a command runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Iterator
from itertools import tee
from typing import Any, BinaryIO
from unicodedata import category

import click

from minidistil import __version__
from minidistil.hub import CheckpointNotFoundError

# The library's errors explain themselves: bad input, a missing or damaged checkpoint.
EXPECTED = (ValueError, TypeError, OSError)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="minidistil")
def main() -> None:
    """DistilBERT to read, to trust and to use."""
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where a character cannot be printed, its code is; that is no error.
        sys.stdout.reconfigure(errors="backslashreplace")


@main.command(short_help="Label texts, with scores.")
@click.argument("texts", nargs=-1)
@click.option(
    "-f",
    "--file",
    "source",
    type=click.File("rb"),
    help="Read texts from a file, one a line; - is standard input.",
)
@click.option(
    "-m",
    "--model",
    help="'tiny' (in the package, no network), a folder, or a hub repository.  "
    "[default: the Hugging Face course's SST-2 checkpoint, 268 MB]",
)
@click.option("--revision", help="Branch, tag or commit of the hub repository.")
@click.option(
    "-k",
    "--top-k",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many labels, the best first.",
)
@click.option(
    "--truncation",
    type=click.Choice(["head", "head+tail", "window", "error"]),
    help="How to read a text that is too long.  [default: head, with a warning]",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "int8"]),
    default="float32",
    show_default=True,
    help="What to compute in; the others are nearly as exact, and faster where the "
    "processor has them.",
)
@click.option("--device", default="cpu", show_default=True, help="Such as cuda or mps.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def classify(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    model: str | None,
    revision: str | None,
    top_k: int,
    truncation: str | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Label each TEXT, or each line of a file or of standard input, with a score.

    Put -- before texts that begin with a dash.
    """
    if texts and source:
        raise click.UsageError("give texts or --file, not both")
    if not texts and source is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise click.UsageError("give a TEXT, --file, or lines on standard input")
        source = sys.stdin.buffer
    try:
        from minidistil.pipelines import pipeline

        classifier = pipeline(
            "text-classification",
            model,
            revision=revision,
            device=device,
            top_k=top_k,
            truncation=truncation,
            precision=precision,
        )
        to_show, to_classify = tee(_lines(source) if source else texts)
        for text, answers in zip(to_show, classifier(to_classify), strict=True):
            click.echo(_as_json(text, answers) if as_json else _as_line(text, answers))
    except BrokenPipeError:
        raise  # click ends quietly when nobody reads on
    except CheckpointNotFoundError as error:
        hint = "" if model else "\nOr use --model tiny, which needs no network."
        raise click.ClickException(f"{error}{hint}") from error
    except EXPECTED as error:
        raise click.ClickException(str(error)) from error


def _lines(source: BinaryIO) -> Iterator[str]:
    """Read one text a line; an empty line is an empty text, so that lines keep step."""
    for number, line in enumerate(source, start=1):
        try:
            yield line.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"line {number} is not UTF-8 text ({error.reason}, byte "
                f"{error.start + 1}); convert the file to UTF-8"
            ) from None


def _as_json(text: str, answers: list[dict[str, Any]]) -> str:
    best = answers[0]
    record = {"text": text, "label": best["label"], "score": best["score"]}
    if len(answers) > 1:
        record["labels"] = answers
    # ASCII: one line for every reader, and no codes that would steer the terminal.
    return json.dumps(record)


def _as_line(text: str, answers: list[dict[str, Any]]) -> str:
    scores = "  ".join(f"{each['label']}  {each['score']:.4f}" for each in answers)
    line = f"{scores}  {' '.join(text.split())}"
    # A line for each text, and no codes that would steer the terminal.
    return "".join(c for c in line if category(c) != "Cc")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    click.echo(f"Warning: {message}", err=True)
