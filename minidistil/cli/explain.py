"""``minidistil explain``: the way from text to label, as a page or in the terminal."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minidistil.cli.options import command, flag, model_options, option
from minidistil.cli.output import (
    is_standard_output,
    print_line,
    print_text,
    print_warning,
)
from minidistil.progress import on_a_terminal

if TYPE_CHECKING:
    from minidistil.explainer import Traces

PAGE = Path("explain.html")
STDOUT = Path("-")
TITLE = b"<title>minidistil</title>"  # near the beginning of every page
# Numbers in a vector. The work on fewer is so short that threads mostly wait for each
# other: on two cores that were busy otherwise, two took three times as long as one.
SMALL = 384


@command(
    "Show all that happens to a text, as a page.",
    click.argument("texts", nargs=-1, required=True, metavar="TEXT..."),
    *model_options("the Hugging Face course's SST-2 checkpoint, 268 MB", tiny=True),
    option(
        "--pair pairs",
        "The second text, where a model reads pairs; once for each TEXT.",
        multiple=True,
    ),
    option(
        "-o --output",
        "Where to write the page, in place of what is there and in a folder that is "
        "created if it is missing; - is standard output.  "
        f"[default: {PAGE}, in place of an earlier page only]",
        type=click.Path(
            dir_okay=False, readable=False, allow_dash=True, path_type=Path
        ),
    ),
    flag("--open opened", "Open the page in the browser."),
    flag("--text as_text", "Print the steps; write no page."),
    flag(
        "--patient",
        "Give the reasons even where that takes minutes: for long texts, or many.",
    ),
    flag("--padded padding", "Run the texts as one batch, padded."),
    offers_tiny=True,
)
def explain(
    texts: tuple[str, ...],
    pairs: tuple[str, ...],
    output: Path | None,
    opened: bool,
    as_text: bool,
    patient: bool,
    **options: Any,
) -> None:
    """Show every step of the model on its way from TEXT to a label, and why that one.

    Several texts are shown beside each other. The page needs no network. Put -- before
    texts that begin with a dash.
    """
    if as_text and (output or opened):
        raise click.UsageError("--text writes no page: leave out --output and --open")
    if output == STDOUT and opened:
        raise click.UsageError("--open needs a file: name another --output than -")
    if not (as_text or output):
        _check_replaceable(PAGE)
    from minidistil.explainer import compare
    from minidistil.explainer.as_text import (
        answer_line,
        text_lines,
        title,
        why_no_answer,
    )

    traces = compare(texts, text_pairs=pairs or None, **options)
    how = {"patient": patient, "progress": on_a_terminal()}
    with _threads_for(traces):
        if as_text:
            for line in text_lines(traces, **how):
                print_line(line)
            return
        if output == STDOUT:
            print_text(traces.to_html(**how))
            return
        path = output or PAGE
        traces.save(path, **how)
    if is_standard_output(path):
        return
    print_line(str(path))
    for trace in traces:
        print_line(f"{answer_line(trace)}  {title(trace)}")
    reasons = [why_no_answer(trace) for trace in traces if trace.head is None]
    for reason in dict.fromkeys(reasons):  # several texts may have the same
        print_line(reason)
    if opened and not webbrowser.open(path.resolve().as_uri()):
        print_warning("Warning: there is no browser to open it with")


def _check_replaceable(path: Path) -> None:
    """Refuse to write over a file that nobody named, unless it is a page."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        if TITLE in file.read(4096):
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
