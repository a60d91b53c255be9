"""The last version 4 of transformers: it opens what we save, and trains our models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers4
from answers import assert_answers
from checkpoints import draw_lively
from snippets import HEADS, NO_DROPOUT, OURS, load

pytestmark = pytest.mark.full

PROGRAM = Path(transformers4.__file__).with_name("transformers4_trainer.py")


@pytest.fixture(scope="module")
def found(folder_of, tmp_path_factory):
    """What the program has found: by what it did, the head, and whose class it was."""
    saved, results = (tmp_path_factory.mktemp(name) for name in ("saved", "results"))
    for head, config in HEADS.items():
        folder = folder_of(
            f"DistilBertFor{head}", draw=draw_lively, **NO_DROPOUT, **config
        )
        model, tokenizer = load(OURS, head, folder)
        model.save_pretrained(saved / head)
        tokenizer.save_pretrained(saved / head)
    transformers4.run(PROGRAM, ",".join(HEADS), saved, results)
    return torch.load(results / "found.pt", weights_only=False)


def in_good_order(result):
    assert not isinstance(result, str), result
    return result


@pytest.mark.parametrize("head", HEADS)
def test_it_opens_what_we_save(found, head):
    ours = in_good_order(found["read", head, "minidistil"])
    theirs = in_good_order(found["read", head, "transformers"])
    assert_answers(ours, theirs, 1e-4, relative=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_its_trainer_trains_our_model_as_its_own(found, head):
    theirs = in_good_order(found["train", head, "transformers"])
    ours = in_good_order(found["train", head, "minidistil"])
    assert {"config.json", "model.safetensors"} <= ours.pop("files")
    assert {"config.json", "model.safetensors"} <= theirs.pop("files")
    assert len(theirs["losses"]) == 2
    assert_answers(ours, theirs, 1e-2, relative=1e-3)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("library", ["minidistil", "transformers"])
def test_what_one_has_trained_the_other_opens(found, head, library):
    trained = in_good_order(found["train", head, library])
    reopened = in_good_order(found["reopen", head, library])
    assert_answers(reopened["logits"], trained["logits"], 1e-4, relative=1e-4)
    assert reopened["ids"] == trained["ids"]
