r"""How good what is trained becomes, on SST-2's dev sentences.

    python scripts/benchmark/training_quality.py MODEL --sst2 SST2 --work WORK
    python scripts/benchmark/training_quality.py MODEL --sst2 SST2 --work WORK2 \
        --part words --rows 20000 --seed 0
    python scripts/benchmark/training_quality.py tiny --sst2 SST2 --work A --rows 64

MODEL is a checkpoint of six layers, such as MiniLM folded into DistilBERT's form
(`minidistil weights convert`). SST2 holds GLUE's ``train.tsv`` and ``dev.tsv``. WORK
keeps every model with its report; what was stopped goes on with the same command.

Part "labels": for each seed a teacher is fine-tuned on the labels; a student that
begins with its layers 0, 2 and 4 is distilled from it; and the same student learns from
the labels alone. Part "words": for each seed MODEL learns to guess hidden words; two
students of three layers are distilled from it as DistilBERT was, one beginning with its
layers 0, 2 and 4, one with random weights: both see the same words hidden, in as many
steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean

import click
import torch
from table_runs import table
from training_runs import write_rows

from minidistil import DistilBertConfig, DistilBertForMaskedLM, distil, train
from minidistil.weights import convert

LAYERS = (0, 2, 4)
LABELS = {
    "batch_size": 32,
    "precision": "bfloat16",
    "max_length": 128,
    "epochs": 2,
    "learning_rate": 1e-4,
}
# The published numbers are for batches of 4,000 texts of books; these are phrases.
WORDS = {
    "batch_size": 32,
    "pass_rows": None,
    "precision": "bfloat16",
    "max_length": 128,
    "epochs": 1,
    "learning_rate": 3e-4,
    "fewest_tokens": 5,
}

Figures = Mapping[str, float]
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("model")
@click.option("--sst2", type=FOLDER, required=True)
@click.option("--work", type=FOLDER, required=True)
@click.option("--part", type=click.Choice(["labels", "words"]), default="labels")
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2))
@click.option(
    "--rows", type=click.IntRange(min=1), help="Learn from the first so many only."
)
@click.option("--threads", type=click.IntRange(min=1), default=torch.get_num_threads())
def main(
    model: str,
    sst2: Path,
    work: Path,
    part: str,
    seeds: tuple[int, ...],
    rows: int | None,
    threads: int,
) -> None:
    """Train, and print a table in Markdown."""
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    source = sst2 / "train.tsv"
    if rows is not None:
        source = write_rows(work / "train.tsv", source, rows)
    data = (str(source), str(sst2 / "dev.tsv"))
    compare = {"labels": by_labels, "words": by_words}[part]
    found = {
        seed: compare(model, data, work / f"{part}-{seed}", seed) for seed in seeds
    }
    click.echo(written(part, found))


def by_labels(
    model: str, data: tuple[str, str], work: Path, seed: int
) -> dict[str, Figures]:
    """The accuracy of a teacher, of its student, and of one without a teacher."""
    teacher, start = work / "teacher", work / "start"
    options = {**LABELS, "seed": seed}

    def alone() -> Figures:
        convert(teacher, start, layers=LAYERS)
        return train(start, *data, work / "alone", **options).results

    return said(
        {
            "teacher": lambda: train(model, *data, teacher, **options).results,
            "distilled": lambda: (
                distil(teacher, *data, work / "small", layers=LAYERS, **options).results
            ),
            "labels alone": alone,
        }
    )


def by_words(
    model: str, data: tuple[str, str], work: Path, seed: int
) -> dict[str, Figures]:
    """The perplexity of a teacher, and of students with two kinds of start."""
    teacher, random = work / "teacher", work / "random"
    options = {**WORDS, "seed": seed}

    def learn() -> Figures:
        return train(model, *data, teacher, task="fill-mask", **options).results

    def from_layers() -> Figures:
        followed = {"recipe": "distilbert", "layers": LAYERS, **options}
        return distil(teacher, *data, work / "layers", **followed).results

    def from_random() -> Figures:
        convert(teacher, random, layers=LAYERS)  # for all but the weights
        torch.manual_seed(seed)
        config = DistilBertConfig.from_pretrained(random)
        DistilBertForMaskedLM(config).save_pretrained(random)
        followed = {"recipe": "distilbert", "student": random, **options}
        return distil(teacher, *data, work / "drawn", **followed).results

    return said(
        {"teacher": learn, "begun from layers": from_layers, "from random": from_random}
    )


def said(steps: Mapping[str, Callable[[], Figures]]) -> dict[str, Figures]:
    """Do one step after the other, and say what each came to."""
    found = {}
    for name, step in steps.items():
        found[name] = step()
        click.echo(json.dumps({name: {**found[name]}}), err=True)
    return found


def written(part: str, found: Mapping[int, Mapping[str, Figures]]) -> str:
    """A row for each seed, and one for their mean."""
    metric = {"labels": "accuracy", "words": "perplexity"}[part]
    names = [*next(iter(found.values()))]
    rows = [
        (f"seed {seed}", *(each[name][metric] for name in names))
        for seed, each in found.items()
    ]
    means = [mean(column) for column in [*zip(*rows, strict=True)][1:]]
    return table(
        f"{metric} on the dev sentences",
        ("", *names),
        [[name, *(f"{x:.4f}" for x in numbers)] for name, *numbers in rows]
        + [["mean", *(f"{x:.4f}" for x in means)]],
    )


if __name__ == "__main__":
    main()
