"""A student that learns from a teacher: what it begins with, and what it is asked."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from checkpoints import SMALL, VOCABULARY, draw_lively
from lessons import HEADS, NO_DROPOUT, read
from trainings import CPU, RECIPE, checkpoint, log_of, rows_of, saved

import minidistil
from minidistil.training.evaluating import logits_of
from minidistil.training.labels import SEVERAL, Labels
from minidistil.training.lessons import KeptAnswers
from minidistil.training.rows import TrainingDataError
from minidistil.training.starting import StartError, start, student_of
from minidistil.training.training import distil, train

TEXTS = "text-classification"
CORPUS = [
    {"text": row["text"] + " and so it was that all of it was good for us"}
    for row in rows_of("fill-mask", 24)
]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("t"), TEXTS, draw=draw_lively, n_layers=6)


@pytest.fixture(scope="module")
def bert(tmp_path_factory, teacher):
    """A BERT of twelve small layers that has learnt nothing."""
    folder = tmp_path_factory.mktemp("bert")
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=SMALL["dim"],
        num_hidden_layers=12,
        num_attention_heads=SMALL["n_heads"],
        intermediate_size=SMALL["hidden_dim"],
        max_position_embeddings=SMALL["max_position_embeddings"],
    )
    torch.manual_seed(0)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer_config.json"):
        (folder / name).write_bytes((teacher / name).read_bytes())
    return folder


@pytest.mark.parametrize("task", [task for task in HEADS if task != "fill-mask"])
def test_answers_that_were_kept_are_those_that_a_teacher_gives(tmp_path, task):
    folder = checkpoint(tmp_path, task, draw=draw_lively)  # with dropout
    found = read(folder, task, rows_of(task))
    model = getattr(minidistil, HEADS[task][0]).from_pretrained(folder).train()
    kept = KeptAnswers(model, found, CPU)
    assert not model.training
    for rows in torch.randperm(len(found.lengths)).split(5):
        wanted = logits_of(model, found, rows, CPU)
        answers = kept(rows)
        assert not answers.is_inference()
        for place, length in enumerate(found.lengths[rows].tolist()):
            some = slice(length) if wanted.ndim == 3 else slice(None)
            torch.testing.assert_close(
                answers[place][some], wanted[place][some], rtol=1e-5, atol=1e-5
            )


def test_a_student_begins_with_layers_of_its_teacher(teacher):
    model = minidistil.AutoModelForSequenceClassification.from_pretrained(teacher)
    student = student_of(model, (0, 2, 4))
    mine, yours = student.state_dict(), model.state_dict()
    assert student.config.n_layers == 3
    for name, weight in mine.items():
        for new, old in {0: 0, 1: 2, 2: 4}.items():
            if f"layer.{new}." in name:
                name = name.replace(f"layer.{new}.", f"layer.{old}.")
                break
        assert weight.equal(yours[name]), name
        assert weight.data_ptr() != yours[name].data_ptr()


def test_a_student_learns_to_answer_as_its_teacher(teacher, tmp_path):
    before = saved(teacher)
    rows = rows_of(TEXTS, 30)
    distil(
        teacher,
        rows,
        rows,
        tmp_path / "a",
        layers=(0, 2, 4),
        **{**RECIPE, "epochs": 12, "soft": 1.0, "hard": 0.0, "learning_rate": 5e-3},
    )
    losses = [line["soft"] for line in log_of(tmp_path / "a") if "soft" in line]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert all(weight.equal(before[name]) for name, weight in saved(teacher).items())


def test_distilbert_is_distilled_from_a_bert(bert, tmp_path):
    options = {"batch_size": 8, "epochs": 12, "learning_rate": 3e-3}
    distil(bert, CORPUS, None, tmp_path / "a", recipe="distilbert", **options)
    log = log_of(tmp_path / "a")
    assert {"hard", "soft", "cosine"} < {*log[0]}
    line = log[0]
    total = 5 * line["soft"] + 2 * line["hard"] + line["cosine"]
    assert line["loss"] == pytest.approx(total)
    third = len(log) // 3
    first, last = (
        sum(x["loss"] for x in part) / third for part in (log[:third], log[-third:])
    )
    assert last < first
    model = transformers.DistilBertForMaskedLM.from_pretrained(tmp_path / "a")
    assert model.config.n_layers == 6


def test_a_student_of_its_own_may_have_learnt_nothing(teacher, tmp_path):
    """Who wants to begin with nothing saves a model that was never loaded."""
    config = minidistil.DistilBertConfig.from_pretrained(teacher)
    student = minidistil.DistilBertForSequenceClassification(config.replace(n_layers=1))
    student.save_pretrained(tmp_path / "student")
    tokenizer = minidistil.DistilBertTokenizer.from_pretrained(teacher)
    tokenizer.save_pretrained(tmp_path / "student")
    result = distil(
        teacher,
        rows_of(TEXTS),
        None,
        tmp_path / "a",
        student=tmp_path / "student",
        **RECIPE,
    )
    assert result.state == "finished"
    found = json.loads((tmp_path / "a" / "config.json").read_text())
    assert found["n_layers"] == 1


def test_a_bert_with_another_head_is_said_to_be_folded_and_fine_tuned_first(
    bert, tmp_path
):
    config = transformers.BertConfig.from_pretrained(bert)
    found = transformers.BertForSequenceClassification(config)
    found.save_pretrained(tmp_path / "bert")
    wanted = r"is a BertForSequenceClassification, .* --drop-heads .*bert FOLDED\)"
    with pytest.raises(StartError, match=wanted):
        distil(tmp_path / "bert", CORPUS, None, tmp_path / "a", **RECIPE)
    assert not (tmp_path / "a").exists()


def test_vectors_of_another_width_have_no_cosine(bert, tmp_path):
    student = checkpoint(tmp_path / "s", "fill-mask", dim=30, n_heads=3)
    options = {**RECIPE, "student": student, "soft": 1.0}
    with pytest.raises(StartError, match=r"30 numbers and the teacher's 20"):
        distil(bert, CORPUS, None, tmp_path / "a", cosine=1.0, **options)
    assert not (tmp_path / "a").exists()
    distil(bert, CORPUS, None, tmp_path / "a", **options)
    assert "cosine" not in log_of(tmp_path / "a")[0]


def test_a_teacher_that_has_changed_is_another_training(teacher, tmp_path):
    other = checkpoint(tmp_path / "t", TEXTS, draw=draw_lively, n_layers=6)
    options = {**RECIPE, "layers": (0,)}
    rows = rows_of(TEXTS)
    distil(other, rows, None, tmp_path / "a", stop=lambda: True, **options)
    model = minidistil.AutoModelForSequenceClassification.from_pretrained(other)
    with torch.no_grad():
        model.classifier.bias += 1
    model.save_pretrained(other)
    with pytest.raises(ValueError, match="teacher's weights was"):
        distil(other, rows, None, tmp_path / "a", **options)


def test_the_callers_random_numbers_are_as_they_were(teacher, tmp_path):
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    train(teacher, rows_of(TEXTS), None, tmp_path / "a", **RECIPE)
    assert torch.rand(2).equal(wanted)


def test_swapped_labels_are_seen(teacher, tmp_path):
    """A student knows what its training rows say, by the names that they have."""
    rows = [
        {"text": f"{word} {i}", "label": label}
        for i in range(15)
        for word, label in (("good", "pos"), ("bad", "neg"))
    ]
    source = checkpoint(
        tmp_path / "s",
        TEXTS,
        draw=draw_lively,
        **NO_DROPOUT,
        num_labels=2,
        id2label={0: "pos", 1: "neg"},
        label2id={"pos": 0, "neg": 1},
    )
    options = {"epochs": 12, "learning_rate": 5e-3, "batch_size": 6}
    result = train(source, rows, rows, tmp_path / "a", **options)
    assert result.results["accuracy"] == 1
    kind = transformers.AutoModelForSequenceClassification
    model = kind.from_pretrained(tmp_path / "a")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "a")
    for word, label in (("good", "pos"), ("bad", "neg")):
        logits = model.eval()(**tokenizer(f"{word} 3", return_tensors="pt")).logits
        assert model.config.id2label[int(logits.argmax())] == label


def test_a_head_for_the_same_labels_in_another_order_is_not_kept(tmp_path):
    names = {0: "neg", 1: "pos"}
    folder = checkpoint(tmp_path, TEXTS, num_labels=2, id2label=names)
    kind = minidistil.DistilBertForSequenceClassification
    before = kind.from_pretrained(folder).classifier.weight
    for labels, is_kept in (("neg", "pos"), True), (("pos", "neg"), False):
        model = start(folder, kind, Labels(labels), 0)
        assert torch.equal(model.classifier.weight, before) is is_kept


# Rows without a label


def test_a_row_without_a_label_is_learnt_from_the_teacher_alone(teacher, tmp_path):
    """The first step's losses, of a student without dropout, against torch's own."""
    student = checkpoint(tmp_path / "s", TEXTS, draw=draw_lively, **NO_DROPOUT)
    rows = rows_of(TEXTS, 6)
    labels = torch.tensor([row["label"] for row in rows])
    for place, none in ((1, None), (4, "")):
        rows[place]["label"] = none
        labels[place] = -100
    options = {**RECIPE, "batch_size": 6, "pass_rows": 2, "epochs": 1, "hard": 0.3}
    distil(teacher, rows, None, tmp_path / "a", student=student, **options, soft=0.7)
    line = log_of(tmp_path / "a")[0]
    texts = [row["text"] for row in rows]
    mine, yours = (logits(folder, texts) for folder in (student, teacher))
    wanted = torch.nn.functional.cross_entropy(mine, labels, ignore_index=-100)
    assert line["hard"] == pytest.approx(float(wanted), rel=1e-5)
    divergence = torch.nn.KLDivLoss(reduction="batchmean")
    soft = 4 * divergence((mine / 2).log_softmax(-1), (yours / 2).softmax(-1))
    assert line["soft"] == pytest.approx(float(soft), rel=1e-5)


def test_a_table_without_labels_is_learnt_from(teacher, tmp_path):
    rows = [{"text": row["text"]} for row in rows_of(TEXTS, 30)]
    options = {**RECIPE, "epochs": 12, "learning_rate": 5e-3, "layers": (0, 2, 4)}
    with pytest.warns(UserWarning, match="no column label or labels: all of it is"):
        result = distil(teacher, rows, rows_of(TEXTS), tmp_path / "a", **options)
    assert result.state == "finished"
    log = [line for line in log_of(tmp_path / "a") if "soft" in line]
    assert all(line["hard"] == 0 for line in log)
    assert log[-1]["soft"] < 0.5 * log[0]["soft"]


@pytest.mark.parametrize("lists", [slice(0, 4), slice(4, 8)])
def test_a_row_without_a_label_is_none_among_lists_of_labels(teacher, tmp_path, lists):
    """The labels of others would be taken for its own."""
    rows = [{"text": f"good {i}", "label": None} for i in range(8)]
    for row in rows[lists]:
        row["label"] = ["LABEL_0", "LABEL_2"]
    with pytest.raises(TrainingDataError, match="row 5: got the label"):
        distil(teacher, rows, None, tmp_path / "a", layers=(0,), **RECIPE)


@pytest.mark.parametrize("kind", [{"num_labels": 1}, {"problem_type": SEVERAL}])
def test_numbers_and_several_labels_need_a_column(tmp_path, kind):
    teacher = checkpoint(tmp_path / "t", TEXTS, **kind)
    rows = [{"text": "good"}] * 8
    with pytest.raises(TrainingDataError, match="row 1: got the columns 'text'"):
        distil(teacher, rows, None, tmp_path / "a", layers=(0,), **RECIPE)


@pytest.mark.parametrize("none", [None, ""])
def test_where_nobody_else_answers_a_row_needs_a_label(teacher, tmp_path, none):
    rows = [*rows_of(TEXTS), {"text": "good", "label": none}]
    with pytest.raises(TrainingDataError, match="row 17: got"):
        train(teacher, rows, None, tmp_path / "a", **RECIPE)
    with pytest.raises(TrainingDataError, match="row 17: got"):
        distil(teacher, rows_of(TEXTS), rows, tmp_path / "a", layers=(0,), **RECIPE)


def logits(folder, texts):
    kind = transformers.AutoModelForSequenceClassification
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return kind.from_pretrained(folder)(**batch).logits
