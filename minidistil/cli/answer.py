"""``minidistil answer``: the part of a text that answers a question."""

from __future__ import annotations

from typing import Any, BinaryIO

import click

from minidistil.cli.options import file_option, flag, number, option, pipeline_command
from minidistil.cli.output import one_line, print_json, print_line
from minidistil.cli.texts import numbered_from_one, standard_input
from minidistil.progress import counting_sequences


@pipeline_command(
    "Find answers to questions in a text.",
    number(
        "-k --top-k", "How many answers, the likeliest first.", minimum=1, default=1
    ),
    number(
        "--max-answer-len",
        "The most tokens that an answer may have.",
        minimum=1,
        default=15,
    ),
    number(
        "--max-seq-len",
        "The tokens of a window, question included.  [default: 384]",
        minimum=4,
    ),
    number(
        "--max-question-len",
        "The most tokens of a question that are read.  [default: all]",
        minimum=1,
    ),
    number(
        "--doc-stride",
        "The tokens that two windows share.  [default: 128, or half of a small window]",
        minimum=0,
    ),
    flag(
        "--impossible handle_impossible_answer",
        "Allow an empty answer: that the text has none.",
    ),
    option(
        "--align/--no-align align_to_words",
        "Whether an answer begins and ends with a whole word.",
        default=True,
    ),
    inputs=(
        click.argument("questions", nargs=-1, required=True),
        option("-c --context", "The text in which the answers are."),
        file_option("Read that text from a file, all of it; - is standard input."),
    ),
    default="DistilBERT distilled on SQuAD, cased, 261 MB",
    truncations=(),
)
def answer(
    questions: tuple[str, ...],
    context: str | None,
    source: BinaryIO | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Answer each QUESTION from --context, from a file, or from standard input.

    A line is printed for each answer: its score, its characters, and the answer.
    """
    if context is not None and source is not None:
        raise click.UsageError("give --context or --file, not both")
    if context is None:
        context = _read(
            source or standard_input("--context, --file, or a text to read from")
        )
    from minidistil.pipelines import pipeline

    ask = pipeline("question-answering", **options)
    with counting_sequences("reading"):
        with numbered_from_one("QUESTION"):
            found = ask(question=questions, context=context)
        for question, some in zip(questions, found, strict=True):
            answers = some if isinstance(some, list) else [some]
            if as_json:
                print_json({"question": question, "answers": answers})
            else:
                for each in answers:
                    place = f"{each['start']}-{each['end']}"
                    words = one_line(each["answer"])
                    print_line(f"{each['score']:.4f}  {place}  {words}")


def _read(source: BinaryIO) -> str:
    try:
        return source.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the text is not UTF-8 ({error.reason}, byte {error.start + 1}); convert "
            f"it to UTF-8"
        ) from None
