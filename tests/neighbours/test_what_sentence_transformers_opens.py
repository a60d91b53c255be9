"""sentence-transformers on what we save, and our pipeline on what it has made of it.

`tests/pipelines/test_sentence_transformers.py` begins with a folder of its own.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sentence_transformers import InputExample, SentenceTransformer, losses, models
from snippets import OURS, THEIRS, load
from texts import generated, words
from torch.utils.data import DataLoader

pytestmark = pytest.mark.full

TASK = "sentence-embeddings"
TEXTS = [*generated(12), "", "the film was good", words(30)]
LENGTH = 32


@pytest.fixture(scope="module", params=["encoder", "masked LM"])
def saved(request, folder_of, tmp_path_factory):
    """A checkpoint that our model and our tokenizer have written."""
    head = "MaskedLM" if request.param == "masked LM" else ""
    architecture = f"DistilBertFor{head}" if head else "DistilBertModel"
    model, tokenizer = load(OURS, head, folder_of(architecture))
    folder = tmp_path_factory.mktemp("saved")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def opened(folder: Any, pooling: str = "mean") -> SentenceTransformer:
    reader = models.Transformer(str(folder), max_seq_length=LENGTH)
    size = reader.get_embedding_dimension()
    modules = [reader, models.Pooling(size, pooling_mode=pooling)]
    return SentenceTransformer(modules=modules, device="cpu")


def vectors_of(theirs: SentenceTransformer) -> torch.Tensor:
    found = theirs.encode(TEXTS, convert_to_tensor=True, show_progress_bar=False)
    return found.clone()  # encode() leaves inference tensors


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_it_gives_the_vectors_of_our_pipeline(saved, pooling):
    options = {"truncation": "head", "max_length": LENGTH, "normalize": False}
    ours = OURS.pipeline(TASK, str(saved))(TEXTS, pooling=pooling, **options)
    assert ours.shape == (len(TEXTS), 20)
    torch.testing.assert_close(ours, vectors_of(opened(saved, pooling)))


def test_its_tokenizer_reads_ours_as_it_was(saved):
    theirs = opened(saved).tokenizer
    ours = OURS.AutoTokenizer.from_pretrained(saved)
    assert type(theirs).__name__.startswith("DistilBert")
    for text in TEXTS:
        assert theirs(text)["input_ids"] == ours(text)["input_ids"]


def test_what_it_saves_opens_here_and_there(saved, tmp_path):
    theirs = opened(saved)
    theirs.save(str(tmp_path), create_model_card=False)
    expected = vectors_of(theirs)
    ours = OURS.pipeline(TASK, str(tmp_path))(TEXTS, truncation="head")
    torch.testing.assert_close(ours, expected)
    again = SentenceTransformer(str(tmp_path), device="cpu")
    torch.testing.assert_close(vectors_of(again), expected)


def test_a_folder_by_its_name_alone_is_averaged(saved):
    theirs = SentenceTransformer(str(saved), device="cpu")
    options = {"truncation": "head", "normalize": False, "pooling": "mean"}
    ours = OURS.pipeline(TASK, str(saved))(TEXTS, **options)
    torch.testing.assert_close(ours, vectors_of(theirs))


def test_what_it_has_trained_opens_here(saved, tmp_path):
    theirs = opened(saved)
    before = vectors_of(theirs)
    examples = [InputExample(texts=[words(5), words(6, 2)], label=0.3)] * 4
    theirs.old_fit(
        [(DataLoader(examples, batch_size=2), losses.CosineSimilarityLoss(theirs))],
        epochs=1,
        warmup_steps=0,
        optimizer_params={"lr": 1e-2},
        show_progress_bar=False,
    )
    theirs.save(str(tmp_path), create_model_card=False)
    expected = vectors_of(theirs)
    assert (expected - before).abs().max() > 1e-3
    ours = OURS.pipeline(TASK, str(tmp_path))(TEXTS, truncation="head")
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
    reread, _ = load(THEIRS, "", tmp_path)
    assert type(reread).__name__ == "DistilBertModel"
