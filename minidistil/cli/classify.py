"""``minidistil classify``: a label and a score for each text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from minidistil.cli.given import Reads, is_table
from minidistil.cli.options import (
    TEXTS,
    choice,
    flag,
    option,
    pipeline_command,
    table_options,
)
from minidistil.cli.output import one_line
from minidistil.cli.tables import print_answers


class _Count(click.IntRange):
    """A number of labels; None for all."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        if value == "all":
            return None
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message.rstrip('.')}, nor is it 'all'.", param, ctx)


@pipeline_command(
    "Label texts, with scores.",
    option(
        "-k --top-k",
        "How many labels, the best first, or 'all'.",
        type=_Count(min=1),
        metavar="N",
        default=1,
    ),
    choice(
        "--function function_to_apply",
        ("softmax", "sigmoid", "none"),
        "How logits become scores.  [default: what the model's problem asks for]",
    ),
    flag(
        "--pairs", "Each TEXT, or line, is a pair: two texts, with a tab between them."
    ),
    inputs=(
        TEXTS,
        *table_options(
            option("--second-column", "The column with the second texts of pairs.")
        ),
    ),
    default="the Hugging Face course's SST-2 checkpoint, 268 MB",
    tiny=True,
)
def classify(top_k: int | None, pairs: bool, **options: Any) -> None:
    """Label each TEXT, or each line of a file or row of a table, with a score.

    Put -- before texts that begin with a dash.
    """
    if pairs and (options["target"] is not None or is_table(options["source"])):
        raise click.UsageError(
            "--pairs is for TEXTs, or lines that are printed; of a table, the second "
            "texts are in --second-column"
        )
    print_answers(
        "text-classification",
        "classifying",
        reads=Reads(
            read=_read_pair if pairs else _read_text,
            columns={"text": "column", "text_pair": "second_column"},
        ),
        record=_best if top_k == 1 else _all,
        lines=_lines,
        top_k=top_k,
        **options,
    )


def _read_text(text: str) -> dict[str, str]:
    return {"text": text}


def _read_pair(text: str) -> dict[str, str]:
    first, _, second = text.partition("\t")
    # With nothing behind the tab the first text would be read alone.
    if not second or "\t" in second:
        raise ValueError(
            f"is {text!r:.60}, expected two texts with one tab between them, for "
            f"--pairs"
        )
    return {"text": first, "text_pair": second}


def _best(given: dict[str, str], labels: list[dict[str, Any]]) -> dict[str, Any]:
    best = labels[0] if labels else {"label": None, "score": None}
    return {**given, "label": best["label"], "score": best["score"]}


def _all(given: dict[str, str], labels: list[dict[str, Any]]) -> dict[str, Any]:
    return {**_best(given, labels), "labels": labels}


def _lines(given: dict[str, str], labels: list[dict[str, Any]]) -> Iterator[str]:
    scores = "  ".join(f"{each['label']}  {each['score']:.4f}" for each in labels)
    yield f"{scores}  {' / '.join(map(one_line, given.values()))}"
