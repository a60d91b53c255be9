"""``minidistil explain``: the way from text to label, as a page or in the terminal."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minidistil.cli.common import model_options, printable, told

if TYPE_CHECKING:
    from minidistil.explainer import Traces

PAGE = Path("explain.html")
STDOUT = Path("-")
OURS = b"<title>minidistil</title>"  # near the beginning of every page
# Numbers in a vector. The work on fewer is so short that threads mostly wait for each
# other: on two cores that were busy otherwise, two took three times as long as one.
SMALL = 384


@click.command(short_help="Show all that happens to a text, as a page.")
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@model_options("the Hugging Face course's SST-2 checkpoint, 268 MB")
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    help="The second text, where a model reads pairs; once for each TEXT.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Where to write the page, in place of what is there and in a folder that is "
    "created if it is missing; - is standard output.  "
    f"[default: {PAGE}, in place of an earlier page only]",
)
@click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
@click.option("--text", "as_text", is_flag=True, help="Print the way; write no page.")
@click.option(
    "--patient",
    is_flag=True,
    help="Tell why also where that takes minutes: for long texts, or many.",
)
@click.option("--padded", is_flag=True, help="Run the texts as one batch, padded.")
def explain(
    texts: tuple[str, ...],
    model: str | None,
    revision: str | None,
    pairs: tuple[str, ...],
    output: Path | None,
    opened: bool,
    as_text: bool,
    patient: bool,
    padded: bool,
) -> None:
    """Show every step of the model on its way from TEXT to a label, and why that one.

    Several texts are shown beside each other. The page needs no network. Put -- before
    texts that begin with a dash.
    """
    if as_text and (output or opened):
        raise click.UsageError("--text writes no page: leave out --output and --open")
    if output == STDOUT and opened:
        raise click.UsageError("--open needs a file: name another --output than -")
    with told(model):
        if not (as_text or output):
            _check_ours(PAGE)
        from minidistil.explainer import compare

        traces = compare(
            texts,
            model,
            text_pairs=pairs or None,
            padding=padded,
            revision=revision,
        )
        with _threads_for(traces):
            if as_text:
                _print(traces, patient)
            elif output == STDOUT:
                click.echo(traces.to_html(patient=patient, progress=_terminal()))
            else:
                _write(traces, output or PAGE, patient, opened)


def _check_ours(path: Path) -> None:
    """Refuse to write over a file that nobody named, unless it is a page."""
    if not path.exists():
        return
    with path.open("rb") as file:
        if OURS in file.read(4096):
            return
    raise FileExistsError(
        f"{path} is here already and is not a page of minidistil: name another file, "
        f"or this one to replace it, with -o"
    )


@contextmanager
def _threads_for(traces: Traces) -> Iterator[None]:
    """Compute the reasons with one thread where the model is small."""
    import torch

    before = torch.get_num_threads()
    if traces[0].subject.model.config.dim < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _terminal() -> bool:
    return sys.stderr.isatty()


def _print(traces: Traces, patient: bool) -> None:
    from minidistil.explainer.as_text import text_lines

    for line in text_lines(traces, patient=patient, progress=_terminal()):
        click.echo(line)


def _write(traces: Traces, path: Path, patient: bool, opened: bool) -> None:
    from minidistil.explainer.as_text import answer_line, title, why_no_answer

    traces.save(path, patient=patient, progress=_terminal())
    click.echo(printable(str(path)))
    for trace in traces:
        click.echo(f"{answer_line(trace)}  {title(trace)}")
    reasons = [why_no_answer(trace) for trace in traces if trace.head is None]
    for reason in dict.fromkeys(reasons):  # several texts may have the same
        click.echo(printable(reason))
    if opened and not webbrowser.open(path.resolve().as_uri()):
        click.echo("Warning: there is no browser to open it with", err=True)
