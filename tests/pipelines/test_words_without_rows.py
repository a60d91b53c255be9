"""A word without a row in the model: no harm until a text has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import write_checkpoint
from transformers import AutoTokenizer as ReferenceTokenizer

from minidistil import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TextClassificationPipeline,
    pipeline,
    weights,
)

TEXT = "the film"
ROWS = 300


def checkpoint(tmp_path: Path, more: str, kind: str = "SequenceClassification") -> Path:
    """A checkpoint whose vocab.txt goes on behind the rows of its model."""
    folder = write_checkpoint(
        tmp_path, f"DistilBertFor{kind}", vocabulary=ROWS, vocab_size=ROWS
    )
    (folder / "tokenizer.json").unlink(missing_ok=True)
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write(more)
    return folder


@pytest.mark.parametrize(
    "more", ["\n", "\n\n\n", "zyzzyva\n", "zyzzyva\n[unused9]\n\n"]
)
def test_a_few_words_without_rows_do_not_stop_a_checkpoint(
    tmp_path: Path, more: str
) -> None:
    folder = checkpoint(tmp_path, more)
    theirs = ReferenceTokenizer.from_pretrained(folder)
    assert len(theirs) > ROWS  # they are there
    before = AutoTokenizer.from_pretrained(folder)(TEXT).input_ids
    assert before == theirs(TEXT)["input_ids"]
    answers = pipeline("text-classification", model=folder)(TEXT)
    assert answers[0]["score"] > 0
    checks = weights.verify(str(folder)).checks
    assert not [check.name for check in checks if check.status == "WRONG"]


def test_a_text_that_has_such_a_word_is_an_error_that_names_its_id(
    tmp_path: Path,
) -> None:
    folder = checkpoint(tmp_path, "zyzzyva\n")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("zyzzyva") == ["zyzzyva"]
    for classify in (
        pipeline("text-classification", model=folder),  # on an engine
        TextClassificationPipeline(model, tokenizer),  # on the model itself
    ):
        assert classify(TEXT)
        with pytest.raises(IndexError, match=f"{ROWS}, expected 0 to {ROWS - 1}"):
            classify("the zyzzyva")


def test_added_words_without_rows_may_be_many(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<{i}>" for i in range(100)], special_tokens=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    classify = TextClassificationPipeline(model, tokenizer)
    assert classify(TEXT)
    with pytest.raises(IndexError, match="resize_token_embeddings"):
        classify("the <7>")
    model.resize_token_embeddings(len(tokenizer))
    assert classify("the <7>")


def test_a_target_without_a_row_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "zyzzyva\n", "MaskedLM")
    fill = pipeline("fill-mask", model=folder)
    assert fill(f"{TEXT} [MASK]", targets=["the"])
    with pytest.raises(IndexError, match=f"target 'zyzzyva' has the id {ROWS}"):
        fill(f"{TEXT} [MASK]", targets=["the", "zyzzyva"])


def test_a_tokenizer_of_another_checkpoint_is_still_refused(tmp_path: Path) -> None:
    """Far more words than rows, and none of them added."""
    folder = checkpoint(tmp_path, "".join(f"word{i}\n" for i in range(17)), "MaskedLM")
    with pytest.raises(ValueError, match="317 tokens and the model 300"):
        pipeline("fill-mask", model=folder)


def test_what_stands_around_every_text_must_have_a_row(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"sep_token": "</s>"})
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with pytest.raises(ValueError, match="two different checkpoints"):
        TextClassificationPipeline(model, tokenizer)
