"""The calls that chapters 1 and 2 of the Hugging Face course make, on our classes.

Each test is one page's calls with `from transformers import …` changed to
`from minidistil import …`. On a checkpoint with random weights, written by
transformers, both libraries give the same; on `tiny` the answers make sense.
"""

from __future__ import annotations

import re

import pytest
import torch
import transformers
from checkpoints import write_checkpoint
from programs import run_script

import minidistil
from minidistil import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertModel,
    DistilBertTokenizer,
    pipeline,
)

SENTENCES = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I hate this so much!",
]
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}


@pytest.fixture(scope="module")
def checkpoint(folder_of):
    # The whole vocabulary, so that the ids are those that the course prints.
    return folder_of(vocabulary=30522, id2label=LABELS)


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return AutoTokenizer.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def model(checkpoint):
    return AutoModelForSequenceClassification.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def reference(checkpoint):
    cls = transformers.DistilBertForSequenceClassification
    return cls.from_pretrained(checkpoint)


def test_the_pipeline_of_chapter_1_takes_a_sentence_or_several(checkpoint):
    classifier = pipeline("sentiment-analysis", model=checkpoint)
    (one,) = classifier(SENTENCES[0])
    several = classifier(SENTENCES)
    assert len(several) == 2
    for answer in (one, *several):
        assert set(answer) == {"label", "score"}
        assert answer["label"] in LABELS.values()
        assert 0.5 <= answer["score"] <= 1


def test_the_tokenizer_gives_the_ids_that_the_course_prints(tokenizer):
    inputs = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="pt")
    assert list(inputs) == ["input_ids", "attention_mask"]
    first, second = inputs["input_ids"].tolist()
    assert first[:8] == [101, 1045, 1005, 2310, 2042, 3403, 2005, 1037]
    assert first[8:] == [17662, 12172, 2607, 2026, 2878, 2166, 1012, 102]
    assert second[:8] == [101, 1045, 5223, 2023, 2061, 2172, 999, 102]
    assert second[8:] == [0] * 8
    assert inputs["attention_mask"].tolist() == [[1] * 16, [1] * 8 + [0] * 8]


def test_the_bare_model_gives_hidden_states(checkpoint, tokenizer, reference):
    inputs = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="pt")
    model = AutoModel.from_pretrained(checkpoint)
    outputs = model(**inputs)
    assert outputs.last_hidden_state.shape == (2, 16, model.config.dim)
    assert outputs[0] is outputs["last_hidden_state"]
    theirs = reference.distilbert(**inputs).last_hidden_state
    torch.testing.assert_close(outputs.last_hidden_state, theirs)


def test_logits_become_probabilities_and_labels(tokenizer, model, reference):
    inputs = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="pt")
    outputs = model(**inputs)
    assert outputs.logits.shape == (2, 2)
    torch.testing.assert_close(outputs.logits, reference(**inputs).logits)
    predictions = torch.nn.functional.softmax(outputs.logits, dim=-1)
    torch.testing.assert_close(predictions.sum(dim=-1), torch.ones(2))
    assert model.config.id2label == LABELS


def test_a_model_is_made_of_a_configuration_saved_and_loaded(tmp_path):
    config = AutoConfig.from_pretrained("tiny").replace(n_layers=1)
    model = DistilBertModel(config)
    assert isinstance(config, DistilBertConfig)
    model.save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.json", "model.safetensors"}
    again = AutoModel.from_pretrained(tmp_path).state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(again[name], weight)


def test_text_goes_to_tokens_to_ids_and_back(tokenizer):
    sequence = "Using a Transformer network is simple"
    tokens = tokenizer.tokenize(sequence)
    assert tokens == ["using", "a", "transform", "##er", "network", "is", "simple"]
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert ids == [2478, 1037, 10938, 2121, 2897, 2003, 3722]
    assert tokenizer.decode(ids) == "using a transformer network is simple"
    assert tokenizer(sequence)["input_ids"] == [101, *ids, 102]


def test_a_tokenizer_is_saved_and_loaded(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = DistilBertTokenizer.from_pretrained(tmp_path)
    assert again(SENTENCES) == tokenizer(SENTENCES)


def test_one_sequence_is_an_error_that_names_the_cure(tokenizer, model, reference):
    ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(SENTENCES[0]))
    with pytest.raises(ValueError, match=r"shape \(14,\), expected \(batch, tokens\)"):
        model(torch.tensor(ids))
    batch = torch.tensor([ids])
    torch.testing.assert_close(model(batch).logits, reference(batch).logits)


def test_padding_needs_a_mask(tokenizer, model):
    long, short = torch.tensor([[200, 200, 200]]), torch.tensor([[200, 200]])
    pad = tokenizer.pad_token_id
    batch = torch.tensor([[200, 200, 200], [200, 200, pad]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    with pytest.warns(UserWarning, match="no attention_mask"):
        wrong = model(batch).logits
    right = model(batch, attention_mask=mask).logits
    torch.testing.assert_close(right[:1], model(long).logits)
    torch.testing.assert_close(right[1:], model(short).logits)
    assert not torch.allclose(wrong[1:], model(short).logits, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "longest"},
        {"padding": "max_length"},
        {"padding": "max_length", "max_length": 8},
        {"truncation": True},
        {"max_length": 8, "truncation": True},
        {"padding": True, "return_tensors": "pt"},
        {"padding": True, "return_tensors": "np"},
    ],
    ids=str,
)
def test_padding_and_truncation_are_transformers_own(checkpoint, tokenizer, options):
    theirs = transformers.AutoTokenizer.from_pretrained(checkpoint)
    expected = theirs(SENTENCES, **options)
    ours = tokenizer(SENTENCES, **options)
    assert type(ours["input_ids"]) is type(expected["input_ids"])
    for name in ("input_ids", "attention_mask"):
        got, wanted = ours[name], expected[name]
        if "return_tensors" in options:
            got, wanted = got.tolist(), wanted.tolist()
        assert got == wanted


def test_all_together_gives_logits(tokenizer, model, reference):
    sequences = [SENTENCES[0], "So have I!"]
    tokens = tokenizer(sequences, padding=True, truncation=True, return_tensors="pt")
    torch.testing.assert_close(model(**tokens).logits, reference(**tokens).logits)


@pytest.mark.parametrize(
    ("cls", "field", "shape"),
    [
        (AutoModelForMaskedLM, "logits", (2, 16, 30522)),
        (AutoModelForSequenceClassification, "logits", (2, 2)),
        (AutoModelForTokenClassification, "logits", (2, 16, 2)),
        (AutoModelForQuestionAnswering, "start_logits", (2, 16)),
        (AutoModelForMultipleChoice, "logits", (1, 2)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_head_has_its_name_and_its_shape(
    checkpoint, tokenizer, cls, field, shape
):
    inputs = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    if cls is AutoModelForMultipleChoice:
        inputs = {name: value[None] for name, value in inputs.items()}
    head = cls.from_pretrained(checkpoint, new_head=True)
    assert getattr(head(**inputs), field).shape == shape


# scripts/behind_the_pipeline.py


def numbers_after(title, printed):
    """Return the tensor printed under a title."""
    text = printed.split(f"{title}:\ntensor(")[1].split("\n", 9)
    rows = re.match(r"\[\[.*?\]\]", "\n".join(text), re.DOTALL)
    return torch.tensor(eval(rows[0]))


@pytest.fixture(scope="module")
def printed(checkpoint):
    result = run_script("behind_the_pipeline.py", "--model", checkpoint)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_script_prints_what_transformers_computes(printed, tokenizer, reference):
    inputs = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    ids = torch.tensor([[200, 200, 200], [200, 200, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    with torch.no_grad():
        logits = reference(**inputs).logits
        expected = {
            "input_ids": inputs["input_ids"],
            "attention_mask (0 hides the padding)": inputs["attention_mask"],
            "logits": logits,
            "probabilities": logits.softmax(dim=-1),
            "logits, one sequence": reference(inputs["input_ids"][:1, 1:-1]).logits,
            "logits, row 1 alone": reference(ids[:1]).logits,
            "logits, row 2 alone": reference(ids[1:, :2]).logits,
            "logits, no mask": reference(ids).logits,
            "logits, with mask": reference(ids, attention_mask=mask).logits,
        }
    for title, values in expected.items():
        got = numbers_after(title, printed)
        torch.testing.assert_close(got, values, atol=1e-4, rtol=1e-4, msg=title)


def test_the_script_names_the_error_the_shape_and_the_labels(printed):
    assert "last_hidden_state: (2, 16, 20) (batch, tokens, dim)" in printed
    assert "input_ids has shape (14,), expected (batch, tokens)" in printed
    assert "{0: 'NEGATIVE', 1: 'POSITIVE'}" in printed
    assert "the course prints" not in printed, "these are not the course's weights"


def test_the_script_refuses_what_softmax_is_not_for(tmp_path):
    write_checkpoint(tmp_path, problem_type="multi_label_classification")
    refused = run_script("behind_the_pipeline.py", "--model", tmp_path)
    assert refused.exit_code == 1
    assert "does not choose one of several labels" in refused.stderr
    assert refused.stdout == ""


def test_the_script_runs_on_the_embedded_checkpoint_from_any_folder(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    printed = run_script("behind_the_pipeline.py").stdout
    assert re.search(rf"POSITIVE  0\.\d+  {re.escape(SENTENCES[0])}", printed)
    assert re.search(rf"NEGATIVE  0\.\d+  {re.escape(SENTENCES[1])}", printed)


def test_a_course_snippet_needs_only_its_import_line_changed():
    names = {name for name in minidistil.__all__ if name.startswith("Auto")}
    assert names <= set(dir(transformers))
