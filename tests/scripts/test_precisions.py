"""`scripts/precisions.py`."""

from __future__ import annotations

import json
import sys

import pytest
import torch
import transformers
from programs import SCRIPTS, run_script

from minidistil.hub import BUNDLED

# Each with what the checkpoint says of it, but for the last, which is made wrong.
LABELLED = {
    "a moving and beautiful film": 1,
    "i hate this so much !": 0,
    "dull , and far too long": 0,
    "not bad": 1,
    "a delight": 0,
}


@pytest.fixture
def file(tmp_path):
    rows = [f"{text}\t{label}" for text, label in LABELLED.items()]
    file = tmp_path / "labelled.tsv"
    file.write_text("\n".join(["sentence\tlabel", *rows, ""]))
    return file


def test_the_models_row_is_what_transformers_says(file):
    cls = transformers.AutoModelForSequenceClassification
    model = cls.from_pretrained(BUNDLED["tiny"], dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(BUNDLED["tiny"])
    inputs = tokenizer([*LABELLED], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(inputs["input_ids"], inputs["attention_mask"]).logits
    right = (logits.argmax(1) == torch.tensor([*LABELLED.values()])).double().mean()

    model_row, *rows = json.loads(run_script("precisions.py", file, "--json").stdout)
    assert model_row["answers"] == "model"
    assert model_row["accuracy"] == right == 0.8
    assert model_row["changed"] == model_row["largest"] == model_row["mean"] == 0
    kinds = [(row["answers"], row["together"]) for row in rows]
    assert kinds == [
        (f"engine, {precision}", together)
        for precision in ("float32", "bfloat16", "int8")
        for together in (True, False)
    ]
    for row in rows:
        assert row["changed"] == row["share"] == 0
        assert row["accuracy"] == 0.8
        assert 0 < row["mean"] <= row["largest"]
    largest = [row["largest"] for row in rows]
    assert max(largest[:2]) < 1e-5 < min(largest[2:])
    assert max(largest) < 0.5


def test_the_table_has_a_line_for_each(file):
    first, header, *lines = run_script("precisions.py", file).stdout.splitlines()
    assert first == "5 sentences, tiny"
    assert header.split() == ["accuracy", "changed", "largest", "mean"]
    assert len(lines) == 7
    assert lines[0].split()[:4] == ["model", "one", "by", "one"]
    assert all("0.8000" in line and "0 (0.00%)" in line for line in lines)


def test_labels_that_change_are_counted():
    sys.path.insert(0, str(SCRIPTS))
    try:
        from precisions import _row
    finally:
        sys.path.pop(0)
    reference = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    logits = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    row = _row("it", True, logits, reference, torch.tensor([1, 1, 1, 1]))
    assert (row.accuracy, row.changed, row.share) == (0.75, 1, 0.25)
    assert (row.largest, row.mean) == (1.0, 0.25)


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path):
    file = tmp_path / "labelled.tsv"
    file.write_text("text\tlabel\nfine\t1\nodd\t2\n")
    result = run_script("precisions.py", file)
    assert result.exit_code == 1
    assert "row 2: got the label '2', expected one of" in result.stderr
    assert isinstance(result.exception, SystemExit)
