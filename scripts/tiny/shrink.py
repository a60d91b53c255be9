r"""Make a smaller classifier out of a larger one: what a distillation begins with.

    python scripts/tiny/shrink.py TEACHER labelled.jsonl STUDENT

The teacher reads some of the texts. Its hidden states are then projected on the
directions in which they are widest, as in SliceGPT (Ashkboos et al. 2024,
arXiv:2401.15024); of every layer, the heads and the FFN neurons that do most are kept,
and what the others gave is replaced by its mean. A LayerNorm does not commute with a
projection: its weight and bias are fitted to the projected states.

The student's weights are float32. Its dropout is 0: it learns from a teacher that gives
every text an answer of its own, also those nobody has labelled, and for one epoch only,
so that it meets no text twice. There is little to overfit; and a small model does not
get near to its teacher's answers while a part of it is left out at random.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import click
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidistil import DistilBertForSequenceClassification, DistilBertTokenizer

DROPOUT = ("dropout", "attention_dropout", "seq_classif_dropout")
TEXTS, TOKENS = 600, 100  # that are read, and of each at most

Inputs = dict[str, Tensor]  # ids and mask of some texts, (B, T) each
Seen = dict[str, tuple[Tensor, Tensor]]  # by module: inputs and outputs, (tokens, D)


def some_inputs(
    tokenizer: DistilBertTokenizer, texts: list[str], seed: int
) -> list[Inputs]:
    """Tokenize some of the texts, 32 at a time; texts of like length come together."""
    some = random.Random(seed).sample(texts, min(TEXTS, len(texts)))
    some.sort(key=len)
    return [
        dict(
            tokenizer(
                some[i : i + 32],
                padding=True,
                truncation=True,
                max_length=TOKENS,
                return_tensors="pt",
            )
        )
        for i in range(0, len(some), 32)
    ]


@torch.inference_mode()
def watch(
    model: DistilBertForSequenceClassification, batches: Iterable[Inputs]
) -> Seen:
    """Record what goes into and comes out of some modules, at every real token.

    They are all LayerNorms, and each layer's ``out_lin`` and ``lin2``.
    """
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
    real = torch.empty(0)

    def record(name: str, inputs: tuple[Tensor], output: Tensor) -> None:
        seen.setdefault(name, []).append((inputs[0][real], output[real]))

    hooks = [
        module.register_forward_hook(
            lambda _, inputs, output, name=name: record(name, inputs, output)
        )
        for name, module in model.distilbert.named_modules()
        if isinstance(module, nn.LayerNorm) or name.endswith(("out_lin", "lin2"))
    ]
    for batch in batches:
        real = batch["attention_mask"].bool()
        model(**batch)
    for hook in hooks:
        hook.remove()
    return {
        name: (torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs]))
        for name, pairs in seen.items()
    }


def widest(states: Iterable[Tensor], dim: int) -> Tensor:
    """Give ``dim`` orthonormal directions, (D, dim), that hold most of the states."""
    moment = sum(x.T @ x / x.pow(2).sum() for x in states)
    # eigh sorts upwards: the last directions are the widest.
    return torch.linalg.eigh(cast(Tensor, moment))[1][:, -dim:]


def largest(values: Tensor, count: int) -> Tensor:
    """Give the places of the ``count`` largest values, in their order."""
    return values.topk(count).indices.sort().values


class Shrinking:
    """Makes a smaller model's tensors, one part after the other.

    Attributes:
        directions: What states are projected on, (D, dim), orthonormal columns.
        tensors: Those of the smaller model, by name.
    """

    def __init__(
        self,
        teacher: DistilBertForSequenceClassification,
        seen: Seen,
        dim: int,
        neurons: int,
    ) -> None:
        """Take a teacher, what was seen in it, and how large the student is to be."""
        head_size = teacher.config.dim // teacher.config.n_heads
        if not 0 < dim <= teacher.config.dim or dim % head_size:
            raise ValueError(
                f"dim is {dim}, expected a multiple of the size of a head, "
                f"{head_size}, up to the teacher's {teacher.config.dim}"
            )
        if not 0 < neurons <= teacher.config.hidden_dim:
            raise ValueError(
                f"neurons is {neurons}, expected 1 up to the teacher's "
                f"{teacher.config.hidden_dim}"
            )
        self.config = teacher.config.replace(
            dim=dim,
            n_heads=dim // head_size,
            hidden_dim=neurons,
            **dict.fromkeys(DROPOUT, 0.0),
        )
        self.tensors: dict[str, Tensor] = {}
        self._old, self._seen = teacher.state_dict(), seen
        self._head_size = head_size
        self._norms = [name for name in seen if name.lower().endswith("norm")]
        self.directions = widest([seen[name][1] for name in self._norms], dim)

    def model(self) -> DistilBertForSequenceClassification:
        """The smaller model."""
        self._embeddings()
        self._layer_norms()
        for i in range(self.config.n_layers):
            self._attention(f"transformer.layer.{i}.attention")
            self._feed_forward(f"transformer.layer.{i}.ffn")
        self._head()
        student = DistilBertForSequenceClassification(self.config)
        student.load_state_dict(self.tensors)
        return student.eval()

    def _embeddings(self) -> None:
        for table in ("word_embeddings", "position_embeddings"):
            name = f"distilbert.embeddings.{table}.weight"
            self.tensors[name] = self._old[name] @ self.directions

    def _layer_norms(self) -> None:
        """Fit each weight and bias by least squares, one dimension at a time."""
        for name in self._norms:
            before, after = (x @ self.directions for x in self._seen[name])
            before = F.layer_norm(before, before.shape[-1:])
            centred = before - before.mean(0)
            weight = (centred * after).mean(0) / centred.pow(2).mean(0)
            self.tensors[f"distilbert.{name}.weight"] = weight
            bias = after.mean(0) - weight * before.mean(0)
            self.tensors[f"distilbert.{name}.bias"] = bias

    def _attention(self, name: str) -> None:
        size, mixed = self._head_size, self._seen[f"{name}.out_lin"][0]
        weight = self._old[f"distilbert.{name}.out_lin.weight"]
        by_head = zip(mixed.split(size, 1), weight.split(size, 1), strict=True)
        energies = torch.stack([(x @ w.T).pow(2).sum() for x, w in by_head])
        heads = largest(energies, self.config.n_heads)
        rows = (heads[:, None] * size + torch.arange(size)).flatten()
        for part in ("q_lin", "k_lin", "v_lin"):
            self._take_outputs(f"distilbert.{name}.{part}", rows)
        self._take_inputs(f"distilbert.{name}.out_lin", rows, mixed)

    def _feed_forward(self, name: str) -> None:
        active = self._seen[f"{name}.lin2"][0]
        weight = self._old[f"distilbert.{name}.lin2.weight"]
        variance = active.var(0) * weight.pow(2).sum(0)
        neurons = largest(variance, self.config.hidden_dim)
        self._take_outputs(f"distilbert.{name}.lin1", neurons)
        self._take_inputs(f"distilbert.{name}.lin2", neurons, active)

    def _head(self) -> None:
        """Keep what tells labels apart most."""
        weight = self._old["classifier.weight"]
        spread = weight.amax(0) - weight.amin(0)
        norms = self._old["pre_classifier.weight"].norm(dim=1)
        rows = largest(spread * norms, self.config.dim)
        self._take_outputs("pre_classifier", rows)
        self.tensors["classifier.weight"] = weight[:, rows]
        self.tensors["classifier.bias"] = self._old["classifier.bias"]

    def _take_outputs(self, linear: str, rows: Tensor) -> None:
        """Of a linear layer that reads the states: some of what it gives."""
        weight, bias = self._old[f"{linear}.weight"], self._old[f"{linear}.bias"]
        self.tensors[f"{linear}.weight"] = weight[rows] @ self.directions
        self.tensors[f"{linear}.bias"] = bias[rows]

    def _take_inputs(self, linear: str, columns: Tensor, inputs: Tensor) -> None:
        """Of one that adds to the states: some of what it reads, of the rest a mean."""
        weight, bias = self._old[f"{linear}.weight"], self._old[f"{linear}.bias"]
        mean = inputs.mean(0)
        mean[columns] = 0
        across = self.directions.T
        self.tensors[f"{linear}.weight"] = across @ weight[:, columns]
        self.tensors[f"{linear}.bias"] = across @ (bias + weight @ mean)


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("teacher", type=click.Path(exists=True, file_okay=False))
@click.argument("texts", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("student", type=click.Path(file_okay=False, path_type=Path))
@click.option("--dim", default=256, show_default=True, help="The student's width.")
@click.option("--neurons", default=768, show_default=True, help="Of each FFN.")
@click.option("--seed", default=0, show_default=True, help="Which texts are read.")
def main(
    teacher: str, texts: Path, student: Path, dim: int, neurons: int, seed: int
) -> None:
    """Read a teacher and texts, and write a student."""
    lines = texts.read_text(encoding="utf-8").splitlines()
    try:
        model = DistilBertForSequenceClassification.from_pretrained(teacher)
        tokenizer = DistilBertTokenizer.from_pretrained(teacher)
        read = some_inputs(
            tokenizer, [json.loads(line)["text"] for line in lines], seed
        )
        small = Shrinking(model, watch(model, read), dim, neurons).model()
        small.save_pretrained(student)
        tokenizer.save_pretrained(student)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    parameters = sum(each.numel() for each in small.parameters())
    click.echo(f"{student}: {parameters:,} parameters")


if __name__ == "__main__":
    main()
