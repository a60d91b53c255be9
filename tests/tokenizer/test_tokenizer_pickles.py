"""A tokenizer's pickle: the same bytes in every process, and an equal tokenizer."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minidistil.tokenizer import DistilBertTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a", "c", "x"]
VOCAB = {word: id for id, word in enumerate(WORDS)}
# Prints a digest of the pickle: at first, after use, and of the copy that it makes.
PROGRAM = """
import copy, hashlib, pickle, sys, warnings
from minidistil.tokenizer import DistilBertTokenizer
warnings.simplefilter("ignore")
tokenizer = DistilBertTokenizer.from_pretrained(sys.argv[1], backend=sys.argv[2])
tokenizer.add_special_tokens({"additional_special_tokens": ["<x>", "<y>", "<z>"]})
digest = lambda value: hashlib.sha256(pickle.dumps(value)).hexdigest()
print(digest(tokenizer))
tokenizer(["a <x> b"] * 3, padding=True)
tokenizer("a <y>", split_special_tokens=True)
tokenizer.decode([5, 6], skip_special_tokens=True)
tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
print(digest(tokenizer))
print(digest(pickle.loads(pickle.dumps(tokenizer))))
print(digest(copy.deepcopy(tokenizer)))
"""


def digests(folder: Path, backend: str, seed: str) -> set[str]:
    environment = os.environ | {"PYTHONHASHSEED": seed}
    run = [sys.executable, "-c", PROGRAM, str(folder), backend]
    done = subprocess.run(run, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {*done.stdout.split()}


@pytest.mark.parametrize("backend", ["rust", "python"])
def test_a_pickle_is_the_same_bytes_in_each_process_and_after_use(
    tmp_path: Path, backend: str
) -> None:
    DistilBertTokenizer(VOCAB).save_pretrained(tmp_path)
    found = [digests(tmp_path, backend, seed) for seed in ("1", "2", "77")]
    assert len(set.union(*found)) == 1


@pytest.mark.parametrize("backend", ["rust", "python"])
def test_a_copy_is_equal_and_of_its_own(backend: Any) -> None:
    settings: dict[str, Any] = {
        "do_lower_case": False,
        "model_max_length": 7,
        "padding_side": "left",
        "truncation_side": "left",
        "model_input_names": ["input_ids"],
        "bos_token": "x",
        "model_specific_special_tokens": {"image_token": "<i>"},
        "extra_special_tokens": ["<e>"],
        "clean_up_tokenization_spaces": True,
        "joining": "spaced",
        "name_or_path": "here",
    }
    ours = DistilBertTokenizer(VOCAB, backend=backend, **settings)
    ours.note = "kept"  # type: ignore[attr-defined]
    for other in (
        pickle.loads(pickle.dumps(ours)),
        copy.copy(ours),
        copy.deepcopy(ours),
    ):
        assert other.note == "kept"
        assert other.backend == backend
        assert other.init_kwargs == ours.init_kwargs
        assert other.image_token_id == ours.image_token_id == len(VOCAB)
        text = "A a <e> b a a a a a <i>"
        assert other(text, truncation=True) == ours(text, truncation=True)
        other.add_tokens("<o>", special_tokens=True)
        other.padding_side = "right"
        assert len(ours) == len(other) - 1
        assert ours.padding_side == "left"


def test_a_subclass_is_pickled_as_such() -> None:
    ours = Subclass("some note")
    other = pickle.loads(pickle.dumps(ours))
    assert type(other) is Subclass
    assert other.remark == "some note"
    assert other("a b") == ours("a b")


class Subclass(DistilBertTokenizer):
    """With arguments of its own."""

    def __init__(self, remark: str) -> None:
        super().__init__(VOCAB)
        self.remark = remark
