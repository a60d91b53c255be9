"""How often a classifier is right, on a file of labelled sentences.

The file has a line for each sentence, ``sentence<TAB>label``, under a first line that
says just that; labels are the numbers of the model's classes. SST-2's ``dev.tsv``, as
the GLUE benchmark has it, is such a file.

    python scripts/evaluate.py --model tiny dev.tsv

It prints the accuracy, the mean loss (cross entropy, in nats) and the confusion matrix.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import click
import torch
from tqdm import tqdm

from minidistil import pipeline

HEADER = ["sentence", "label"]


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model",
    "source",
    default="tiny",
    show_default=True,
    help="'tiny', a folder, or a hub repository.",
)
@click.option("--revision", help="Branch, tag or commit of the hub repository.")
def main(file: Path, source: str, revision: str | None) -> None:
    """Evaluate a model on a file."""
    try:
        classify = pipeline(
            model=source, revision=revision, top_k=None, truncation="head"
        )
        names = list(classify.model.config.id2label.values())
        sentences, labels = read(file, len(names))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    confusion = torch.zeros(len(names), len(names), dtype=torch.long)
    loss = 0.0
    answers = tqdm(classify(iter(sentences)), total=len(sentences), delay=1)
    for label, answer in zip(labels, answers, strict=True):
        scores = {each["label"]: each["score"] for each in answer}
        confusion[label, names.index(answer[0]["label"])] += 1
        # The smallest float32 stands for a score so small that it became 0.
        score = max(scores[names[label]], torch.finfo(torch.float32).tiny)
        loss -= math.log(score)
    right = int(confusion.diagonal().sum())
    click.echo(f"accuracy  {right / len(labels):.4f}  ({right} of {len(labels)})")
    click.echo(f"loss      {loss / len(labels):.5f}")
    click.echo("confusion matrix: a row is what is true, a column what the model says")
    width = max(map(len, names))
    for name, row in zip(names, confusion.tolist(), strict=True):
        click.echo(f"  {name:{width}}  " + "".join(f"{count:7}" for count in row))


def read(file: Path, classes: int) -> tuple[list[str], list[int]]:
    """Read the sentences and their labels, numbers below ``classes``."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or rows[0] != HEADER:
        raise ValueError(f"{file}: the first line is not sentence<TAB>label")
    if len(rows) == 1:
        raise ValueError(f"{file} holds no sentences")
    known = [str(i) for i in range(classes)]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != 2 or row[1] not in known:
            raise ValueError(
                f"{file}, line {number}: expected a sentence, a tab and one of "
                f"{', '.join(known)}; got {row}"
            )
    return [row[0] for row in rows[1:]], [int(row[1]) for row in rows[1:]]


if __name__ == "__main__":
    main()
