"""The embedded checkpoint."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors import safe_open

from minidistil import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    evaluate,
    pipeline,
)
from minidistil.hub import BUNDLED

FOLDER = BUNDLED["tiny"]
# What the course's checkpoint says of them.
SENTENCES = {
    "I've been waiting for a HuggingFace course my whole life.": "POSITIVE",
    "I enjoy learning stuff": "POSITIVE",
    "I hate this so much!": "NEGATIVE",
    "Not bad": "POSITIVE",
    "Deepseek misinformation sent the stock market in a frenzy": "NEGATIVE",
}


@pytest.fixture(scope="module", params=["rust", "python"])
def classify(request):
    tokenizer = AutoTokenizer.from_pretrained("tiny", backend=request.param)
    return pipeline("sentiment-analysis", model="tiny", tokenizer=tokenizer)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_it_labels_the_courses_sentences_as_the_courses_checkpoint(classify, sentence):
    (answer,) = classify(sentence)
    assert answer["label"] == SENTENCES[sentence]


def test_it_is_small():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 25_000_000


def test_it_has_the_files_of_a_hub_repository():
    names = {file.name for file in FOLDER.iterdir()}
    needed = {"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"}
    assert needed <= names
    assert "README.md" in names, "the model card"


def test_its_weights_are_stored_as_float16():
    with safe_open(FOLDER / "model.safetensors", framework="pt") as weights:
        names = weights.keys()
        types = {weights.get_slice(name).get_dtype() for name in names}
    assert types == {"F16"}


def test_its_configuration_names_what_it_is():
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["architectures"] == ["DistilBertForSequenceClassification"]
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}


def test_transformers_reads_it_and_agrees():
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    inputs = tokenizer([*SENTENCES], padding=True, return_tensors="pt")
    ours = AutoModelForSequenceClassification.from_pretrained("tiny")
    ids = AutoTokenizer.from_pretrained("tiny")([*SENTENCES], padding=True)
    assert ids["input_ids"] == inputs["input_ids"].tolist()
    cls = transformers.AutoModelForSequenceClassification
    theirs = cls.from_pretrained(FOLDER, dtype=torch.float32)
    mask = inputs["attention_mask"]
    with torch.no_grad():
        got = ours(inputs["input_ids"], attention_mask=mask).logits
        wanted = theirs(inputs["input_ids"], attention_mask=mask).logits
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


def test_it_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (answer,) = pipeline(model="tiny")("I hate this so much!")
    assert answer["label"] == "NEGATIVE"


def test_it_is_measured_as_transformers_would(tmp_path):
    # The labels that the checkpoint gives, but for one that is made wrong.
    labels = [int(label == "POSITIVE") for label in SENTENCES.values()]
    labels[0] = 0
    rows = [f"{text}\t{label}" for text, label in zip(SENTENCES, labels, strict=True)]
    file = tmp_path / "labelled.tsv"
    file.write_text("\n".join(["sentence\tlabel", *rows, ""]))

    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        FOLDER, dtype=torch.float32
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    inputs = tokenizer([*SENTENCES], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(inputs["input_ids"], inputs["attention_mask"]).logits
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).item()

    measure = evaluate("tiny", file)
    assert measure.results()["accuracy"] == 0.8
    assert measure.results()["loss"] == pytest.approx(loss, abs=2e-5)
    assert measure.details()["confusion"]["counts"] == [[2, 1], [0, 2]]
