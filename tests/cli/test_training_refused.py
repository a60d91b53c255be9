"""What cannot be trained: each mistake is one error, before anything is written."""

from __future__ import annotations

import json

import pytest
from checkpoints import write_checkpoint
from commands import assert_refused, run
from trained import SHORT, distil, encoder, table_of, train

from minidistil.training.recipe import RecipeError, recipe_of

TEXTS = "text-classification"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A classifier of neg and pos, with two layers."""
    labels = {"id2label": {0: "neg", 1: "pos"}, "label2id": {"neg": 0, "pos": 1}}
    folder = tmp_path_factory.mktemp("teacher")
    return write_checkpoint(folder, "DistilBertForSequenceClassification", **labels)


@pytest.fixture
def rows(tmp_path):
    return table_of(tmp_path, TEXTS)


# Options of `train`, and what the error says.
TRAINED = {
    "a column that is not there": (
        ("--text-column", "review"),
        ("rows.tsv, row 1", "'review'", "'text', 'label'"),
    ),
    "a column that the task does not have": (
        ("--words-column", "text"),
        ("'words'", "label, second, text"),
    ),
    "a metric that the task does not have": (
        ("--metric", "bleu"),
        ("'bleu'", "accuracy, f1, f1_macro, matthews, loss"),
    ),
    "a device that is not there": (("--device", "cuda:7"), ("cuda:7",)),
    "a number out of range": (("--learning-rate", "-1"), ("learning_rate", "-1")),
    "a recipe of another task": (
        ("--recipe", "squad"),
        ("squad is for question-answering", TEXTS),
    ),
    "a recipe that nobody knows": (
        ("--recipe", "bert"),
        ("'bert'", "sst2, squad, distilbert"),
    ),
    "a recipe to distil with": (("--recipe", "own.json"), ("use distil",)),
}


@pytest.mark.parametrize("mistake", TRAINED)
def test_train_refuses(mistake, start, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.json").write_text('{"soft": 0.5}')
    options, said = TRAINED[mistake]
    result = train(TEXTS, start, rows, tmp_path / "mine", *options)
    assert_refused(result, *said)
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, "it is one line"
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("name", ["lerning_rate", "tokenizer"])
def test_a_recipe_with_an_unknown_name_is_an_error(name, start, rows, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps({name: 1}))
    options = ("--recipe", tmp_path / "own.json")
    result = train(TEXTS, start, rows, tmp_path / "mine", *options)
    assert_refused(result, "own.json", repr(name))


@pytest.mark.parametrize(
    ("name", "expected"), [("betas", "two numbers"), ("layers", "the numbers of")]
)
def test_one_number_of_a_recipe_where_there_are_several(
    name, expected, start, rows, tmp_path
):
    (tmp_path / "own.json").write_text(json.dumps({name: 3}))
    options = ("--recipe", tmp_path / "own.json")
    result = train(TEXTS, start, rows, tmp_path / "mine", *options)
    assert_refused(result, f"own.json: {name} is 3, expected {expected}")


@pytest.mark.parametrize("odd", [{"epochs": 1}, 3])
def test_what_is_no_recipe_is_an_error(odd):
    with pytest.raises(RecipeError, match="expected one of sst2, squad, distilbert"):
        recipe_of(odd, None, {})


DISTILLED = {
    "no layers and no student": ((), ("name the layers", "or name a student")),
    "layers that the teacher does not have": (
        ("--layers", "0,2"),
        ("layers are [0, 2]", "from 0 to 1"),
    ),
    "nothing of the teacher": (
        ("--layers", "0", "--soft", "0"),
        ("soft and cosine are both 0",),
    ),
    "vectors where there are labels": (
        ("--layers", "0", "--cosine", "1"),
        ("cosine is 1", TEXTS),
    ),
    "a recipe of another task": (
        ("--layers", "0", "--recipe", "distilbert"),
        ("distilbert is for fill-mask", TEXTS),
    ),
}


@pytest.mark.parametrize("mistake", DISTILLED)
def test_distil_refuses(mistake, teacher, rows, tmp_path):
    options, said = DISTILLED[mistake]
    result = distil(teacher, rows, tmp_path / "small", *options)
    assert_refused(result, *said)
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "small").exists()


def test_a_teacher_of_another_vocabulary_is_an_error(teacher, rows, tmp_path):
    student = write_checkpoint(tmp_path / "s", "DistilBertModel", vocabulary=3999)
    result = distil(teacher, rows, tmp_path / "small", "--student", student)
    assert_refused(result, "another vocabulary", "4000", "3999")


def test_a_teacher_without_a_head_is_an_error(start, rows, tmp_path):
    result = distil(start, rows, tmp_path / "small", "--layers", "0")
    assert_refused(result, "DistilBertModel", "has no head")


def test_a_model_without_a_head_cannot_be_measured(start, rows):
    assert_refused(run("evaluate", start, rows), "DistilBertModel", "has no head")


def test_a_label_of_the_dev_rows_that_training_lacks_is_an_error(start, rows, tmp_path):
    dev = tmp_path / "dev.tsv"
    dev.write_text("text\tlabel\nthe film\tneg\nthe end\tso-so\n")
    files = ("--train", rows, "--dev", dev, "-o", tmp_path / "mine")
    result = run("train", TEXTS, "-m", start, *files)
    assert_refused(result, "dev.tsv, row 2", "'so-so'", "neg, pos")


@pytest.mark.parametrize("more", ["train", "dev"])
def test_single_texts_do_not_measure_what_pairs_are_learnt_from(more, start, tmp_path):
    single = "text\tlabel\nthe film\tneg\nthe end\tpos\n"
    pairs = "text\tlabel\ttext_pair\nthe film\tneg\ta\nthe end\tpos\ta\n"
    for name in ("train", "dev"):
        text = pairs if name == more else single
        (tmp_path / f"{name}.tsv").write_text(text)
    files = ("--train", tmp_path / "train.tsv", "--dev", tmp_path / "dev.tsv")
    result = run("train", TEXTS, "-m", start, *files, "-o", tmp_path / "mine")
    got, expected = ("pairs of texts", "single texts")[:: 1 if more == "dev" else -1]
    assert_refused(result, f"dev.tsv: got {got}, expected {expected}, as in")
    assert not (tmp_path / "mine").exists()


def test_a_folder_of_something_else_is_an_error(start, rows, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("Dear diary")
    result = train(TEXTS, start, rows, tmp_path / "mine", *SHORT)
    assert_refused(result, "mine is not empty", "diary.txt")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["diary.txt"]


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_a_result_that_is_no_folder_is_an_error(kind, start, rows, tmp_path):
    if kind == "file":
        (tmp_path / "mine").write_text("Dear diary")
    else:
        (tmp_path / "mine").symlink_to(tmp_path / "nowhere")
    result = train(TEXTS, start, rows, tmp_path / "mine", *SHORT)
    assert_refused(result, "mine is no folder: name another one")


def test_a_folder_of_another_training_is_an_error(start, rows, tmp_path):
    assert train(TEXTS, start, rows, tmp_path / "mine", *SHORT).exit_code == 0
    result = train(TEXTS, start, rows, tmp_path / "mine", *SHORT, "--seed", 1)
    assert_refused(result, "another training", "seed")


@pytest.mark.parametrize("option", ["metric", "patience"])
def test_what_looks_at_the_dev_rows_needs_some(option, start, rows, tmp_path):
    value = {"metric": "loss", "patience": 2}[option]
    files = ("--train", rows, "-o", tmp_path / "mine", f"--{option}", value)
    result = run("train", TEXTS, "-m", start, *files)
    assert_refused(result, f"{option} is given without dev rows")


def test_a_loss_that_is_no_number_is_an_error(start, rows, tmp_path):
    more = ("--learning-rate", "1e30", "--warm-up", 0, "--epochs", 3)
    result = train(TEXTS, start, rows, tmp_path / "mine", *SHORT, *more)
    assert_refused(result, "not finite in step", "try a lower learning rate")


USAGE = {
    "train without a model": ("train", TEXTS, "--train", "rows.tsv", "-o", "mine"),
    "train for no task": ("train", "-m", "tiny", "--train", "rows.tsv", "-o", "mine"),
    "train for an unknown task": (
        *("train", "translation", "-m", "tiny", "--train", "rows.tsv", "-o", "mine"),
    ),
    "distil without a teacher": ("distil", "--train", "rows.tsv", "-o", "mine"),
    "distil from layers that are no numbers": (
        *("distil", "-t", "tiny", "--train", "x", "-o", "mine", "--layers", "first"),
    ),
    "distil into layers and a student": (
        *("distil", "-t", "tiny", "--train", "x", "-o", "mine"),
        *("--layers", "0", "--student", "tiny"),
    ),
    "evaluate nothing": ("evaluate", "tiny"),
}


@pytest.mark.parametrize("mistake", USAGE)
def test_usage(mistake):
    result = run(*USAGE[mistake])
    assert_refused(result, "Usage: ", code=2)


def test_an_unknown_task_is_answered_with_those_there_are():
    result = run("train", "translation", "-m", "tiny", "--train", "x", "-o", "mine")
    assert_refused(result, "fill-mask", "question-answering", code=2)


def test_vectors_of_different_sizes_have_no_common_direction(tmp_path):
    kind = "DistilBertForMaskedLM"
    teacher = write_checkpoint(tmp_path / "teacher", kind)
    student = write_checkpoint(tmp_path / "student", kind, dim=12, n_heads=3)
    rows = table_of(tmp_path, "fill-mask")
    more = ("--student", student, "--soft", 1, "--cosine", 1)
    result = distil(teacher, rows, tmp_path / "small", *more)
    assert_refused(result, "12 numbers", "20", "set cosine to 0")
    assert not (tmp_path / "small").exists()
