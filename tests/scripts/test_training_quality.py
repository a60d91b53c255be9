"""`scripts/benchmark/training_quality.py`, with `tiny` and a few rows."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from programs import SCRIPTS

from minidistil import DistilBertForMaskedLM, DistilBertForSequenceClassification
from minidistil.training.evaluating import evaluate

SCRIPT = SCRIPTS / "benchmark" / "training_quality.py"
WORDS = ["good", "bad", "warm", "cold", "new", "old", "fine", "poor", "great", "sad"]


@pytest.mark.parametrize(
    ("part", "metric", "students", "kind"),
    [
        (
            *("labels", "accuracy", ["small", "alone"]),
            DistilBertForSequenceClassification,
        ),
        ("words", "perplexity", ["layers", "drawn"], DistilBertForMaskedLM),
    ],
)
def test_the_table_says_what_the_models_come_to(tmp_path, part, metric, students, kind):
    sst2, work = tmp_path / "sst2", tmp_path / "work"
    sst2.mkdir()
    rows = [f"it is a {word} film to see\t{i % 2}\n" for i, word in enumerate(WORDS)]
    for name in ("train.tsv", "dev.tsv"):
        (sst2 / name).write_text("sentence\tlabel\n" + "".join(rows), "utf-8")
    options = ["--sst2", sst2, "--work", work, "--part", part]
    command = [sys.executable, SCRIPT, "tiny", *options, "--seed", "3", "--rows", "8"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (line,) = re.findall(r"^\| seed 3 \| (.*) \|$", done.stdout, re.M)
    layers = {"teacher": 6, **dict.fromkeys(students, 3)}
    for shown, (name, count) in zip(line.split(" | "), layers.items(), strict=True):
        folder = work / f"{part}-3" / name
        assert kind.from_pretrained(folder).config.n_layers == count
        found = evaluate(folder, str(sst2 / "dev.tsv")).results()[metric]
        assert float(shown) == pytest.approx(found, rel=1e-3)
