"""What the engine's precisions cost: the labels that change, and how far logits move.

The file is one that ``minidistil evaluate`` reads, such as SST-2's ``dev.tsv``:
sentences with a label each. The model answers each sentence alone, in float32. The
engine answers all of them together and then one at a time, in each of its precisions,
and its logits are compared with the model's.

    python scripts/precisions.py --model tiny dev.tsv

It prints a line for each: the accuracy, the labels that are not the model's, and the
largest and the mean difference of a logit. ``--json`` prints the same as JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from torch import Tensor
from tqdm import tqdm

from minidistil import DistilBertForSequenceClassification, DistilBertTokenizer
from minidistil.engine import CPU_PRECISIONS, Engine
from minidistil.training.labels import Labels
from minidistil.training.recipe import Recipe
from minidistil.training.tasks.text_classification import TextClassification


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        answers: Who answers.
        together: Whether the sentences went through it together, or one at a time.
        accuracy: The share of the file's labels that it gives.
        changed: The sentences to which it gives another label than the model.
        share: The same, as a share of all.
        largest: The largest difference of a logit from the model's.
        mean: The mean difference.
    """

    answers: str
    together: bool
    accuracy: float
    changed: int
    share: float
    largest: float
    mean: float


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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(file: Path, source: str, revision: str | None, as_json: bool) -> None:
    """Compare the engine's precisions on a file."""
    try:
        kind = DistilBertForSequenceClassification
        model = kind.from_pretrained(source, revision=revision)
        tokenizer = DistilBertTokenizer.from_pretrained(source, revision=revision)
        table = TextClassification.read(
            file,
            tokenizer=tokenizer,
            recipe=Recipe(),
            config=model.config,
            labels=Labels.of(model.config),
        )
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    texts = torch.split(table.features.ids, table.lengths.tolist())
    ids = [text.tolist() for text in texts]
    rows = compare(model, ids, table.features.targets["labels"].long())
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    click.echo(f"{len(ids)} sentences, {source}")
    click.echo(
        f"{'':18}{'':12}{'accuracy':>8}{'changed':>18}{'largest':>10}{'mean':>10}"
    )
    for row in rows:
        together = "together" if row.together else "one by one"
        changed = f"{row.changed} ({row.share:.2%})"
        click.echo(
            f"{row.answers:18}{together:12}{row.accuracy:8.4f}{changed:>18}"
            f"{row.largest:10.6f}{row.mean:10.6f}"
        )


def compare(
    model: DistilBertForSequenceClassification, ids: list[list[int]], labels: Tensor
) -> list[Row]:
    """Answer by the model and by an engine of each precision, in both ways.

    Args:
        model: The model, in float32.
        ids: The token ids of each sentence.
        labels: The right label of each, (sentences,).
    """
    with torch.inference_mode():
        alone = [model(torch.tensor([each])).logits for each in tqdm(ids, delay=1)]
    reference = torch.cat(alone)  # (sentences, C)
    rows = [_row("model", False, reference, reference, labels)]
    for precision in CPU_PRECISIONS:
        engine = Engine(model, precision)
        name = f"engine, {precision}"
        logits = torch.stack(engine(ids))
        rows.append(_row(name, True, logits, reference, labels))
        logits = torch.stack([engine([each])[0] for each in tqdm(ids, delay=1)])
        rows.append(_row(name, False, logits, reference, labels))
    return rows


def _row(
    answers: str, together: bool, logits: Tensor, reference: Tensor, labels: Tensor
) -> Row:
    given, differences = logits.argmax(dim=1), (logits - reference).abs()
    changed = int((given != reference.argmax(dim=1)).sum())
    return Row(
        answers=answers,
        together=together,
        accuracy=(given == labels).double().mean().item(),
        changed=changed,
        share=changed / len(labels),
        largest=differences.max().item(),
        mean=differences.mean().item(),
    )


if __name__ == "__main__":
    main()
