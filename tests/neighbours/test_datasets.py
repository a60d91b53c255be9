"""`datasets` with our tokenizer: its cache is hit, its columns are batches of texts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset
from transformers import DistilBertTokenizer as Reference

from minidistil.tokenizer import DistilBertTokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a"]
VOCAB = {token: id for id, token in enumerate(TOKENS)}
# What `Dataset.map` looks up: before and after the tokenizer was used.
PROGRAM = """
import sys
from datasets.fingerprint import Hasher
from minidistil import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], backend=sys.argv[2])
tokenize = lambda row: tokenizer(row["text"], truncation=True)
print(Hasher.hash(tokenize))
tokenize({"text": ["a b", "[MASK] a"]})
tokenizer.pad([{"input_ids": [5]}, {"input_ids": [5, 6]}])
print(Hasher.hash(tokenize))
"""


@pytest.mark.parametrize("backend", ["rust", "python"])
def test_a_map_is_looked_up_by_the_same_fingerprint_in_each_process(
    tmp_path: Path, backend: str
) -> None:
    DistilBertTokenizer(VOCAB, extra_special_tokens=["<x>"]).save_pretrained(tmp_path)
    found = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path), backend],
            env=os.environ | {"PYTHONHASHSEED": seed, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found |= {*done.stdout.split()}
    assert len(found) == 1


def test_another_tokenizer_has_another_fingerprint() -> None:
    from datasets.fingerprint import Hasher

    ours = DistilBertTokenizer(VOCAB)
    first = Hasher.hash(ours)
    ours.add_tokens("c", special_tokens=True)
    assert Hasher.hash(ours) != first
    assert Hasher.hash(DistilBertTokenizer(VOCAB, model_max_length=9)) != first
    assert Hasher.hash(DistilBertTokenizer(VOCAB)) == first


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("workers", [None, 2])
def test_a_dataset_is_tokenized_as_by_transformers(
    tmp_path: Path, batched: bool, workers: int | None
) -> None:
    texts = Dataset.from_dict({"text": ["a ba", "b", "", "[MASK] a a"]})
    columns = []
    for tokenizer in (DistilBertTokenizer(VOCAB), Reference(VOCAB)):
        mapped = texts.map(
            lambda row, tokenizer=tokenizer: tokenizer(
                row["text"], truncation=True, max_length=4
            ),
            batched=batched,
            num_proc=workers,
        )
        columns.append({name: mapped[name][:] for name in mapped.column_names})
    assert columns[0] == columns[1]


def test_a_column_goes_into_the_tokenizer_as_a_list() -> None:
    texts = Dataset.from_dict({"text": ["a ba", "b"], "other": ["b", "a"]})
    ours, theirs = DistilBertTokenizer(VOCAB), Reference(VOCAB)
    expected = dict(theirs(["a ba", "b"], ["b", "a"]))
    assert ours(texts["text"], texts["other"]) == expected
    for kind in ("numpy", "pandas", "arrow"):
        rows = texts.with_format(kind)[:]
        assert ours(rows["text"], rows["other"]) == expected
