"""Sentence embeddings equal those of sentence-transformers, from its own folders."""

from __future__ import annotations

import pytest
import torch
from texts import generated, words

from minidistil import AutoModel, pipeline

TASK = "sentence-embeddings"
# Of many lengths, so that a batch is padded; the last is longer than is read.
TEXTS = [*generated(30), "", "a", "the film was good", words(10), words(29), words(100)]
SHORTENED = {"truncation": "head"}
LENGTH = 32


@pytest.fixture(scope="module", params=["mean", "cls"])
def pooling(request):
    return request.param


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "normalised"])
def normalize(request):
    return request.param


@pytest.fixture(scope="module")
def encoder(folder_of):
    return folder_of("DistilBertModel")


@pytest.fixture(scope="module")
def written(tmp_path_factory, encoder, pooling, normalize):
    """A folder that sentence-transformers has written, and its vectors of `TEXTS`."""
    # Here, not above: the import takes seconds, also where no test of this file runs.
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Normalize,
        Pooling,
        Transformer,
    )

    reader = Transformer(str(encoder), max_seq_length=LENGTH)
    modules = [reader, Pooling(20, pooling), *([Normalize()] if normalize else [])]
    theirs = SentenceTransformer(modules=modules, device="cpu")
    folder = tmp_path_factory.mktemp("written")
    theirs.save(str(folder), create_model_card=False)
    options = {"convert_to_tensor": True, "show_progress_bar": False}
    return folder, theirs.encode(TEXTS, batch_size=8, **options)


def assert_near(ours, theirs):
    assert ours.shape == theirs.shape == (len(TEXTS), 20)
    assert ours.dtype == theirs.dtype == torch.float32
    assert (ours - theirs).abs().max() <= 1e-6


def test_a_folder_of_sentence_transformers_gives_its_vectors(written):
    folder, theirs = written
    assert_near(pipeline(TASK, folder)(TEXTS, **SHORTENED), theirs)


def test_padding_is_left_out_as_sentence_transformers_does(written, pooling, normalize):
    folder, theirs = written
    model = AutoModel.from_pretrained(folder)  # whose batches are padded
    embed = pipeline(TASK, model, tokenizer=folder, batch_size=8)
    options = {"pooling": pooling, "normalize": normalize, "max_length": LENGTH}
    assert_near(embed(TEXTS, **options, **SHORTENED), theirs)


def test_each_text_alone_has_the_vector_of_the_batch(written):
    folder, theirs = written
    embed = pipeline(TASK, folder)
    assert_near(torch.stack([embed(text, **SHORTENED) for text in TEXTS]), theirs)
