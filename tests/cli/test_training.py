"""What `train`, `distil` and `evaluate` make and print."""

from __future__ import annotations

import io
import json
import shlex

import pytest
import sklearn.metrics
import torch
import tqdm
import transformers
from checkpoints import same_weights, write_checkpoint
from commands import assert_refused, records, run
from trained import (
    SHORT,
    TASKS,
    distil,
    encoder,
    logits_of_transformers,
    row,
    table_of,
    train,
    write_table,
)

import minidistil
from minidistil.cli.training_options import _beside
from minidistil.progress import counting_steps
from minidistil.training.recipe import Recipe

FILES = {
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    *("README.md", "report.html", "recipe.json", "metrics.jsonl", "training.json"),
}
TEXTS = "text-classification"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module", params=TASKS)
def trained(request, start, tmp_path_factory):
    """The task, its rows, a folder with what was trained, and how that ended."""
    folder = tmp_path_factory.mktemp("trained")
    rows = table_of(folder, request.param)
    result = train(request.param, start, rows, folder / "mine", *SHORT)
    assert result.exit_code == 0, result.output
    return request.param, rows, folder / "mine", result


def test_the_folder_has_all_that_belongs_to_a_model(trained):
    _, _, folder, _ = trained
    assert {path.name for path in folder.iterdir()} - {"vocab.txt"} == FILES


def test_quotes_are_characters_where_it_is_said(start, tmp_path):
    rows, folder = tmp_path / "rows.tsv", tmp_path / "mine"
    lines = [f'" {i} is one\t{"ab"[i % 2]}\n' for i in range(8)]
    rows.write_text("text\tlabel\n" + "".join(lines))
    assert_refused(train(TEXTS, start, rows, folder, *SHORT), "--no-quotes")
    options = ("--no-quotes", "--dev", rows)
    done = train(TEXTS, start, rows, folder, *SHORT, *options)
    assert done.exit_code == 0, done.output
    assert "rows.tsv" in (folder / "README.md").read_text("utf-8")
    found = run("evaluate", folder, rows, "--no-quotes")
    (accuracy,) = (line for line in found.stdout.splitlines() if "accuracy" in line)
    assert accuracy in done.stdout


def test_transformers_opens_it_with_the_same_logits(trained):
    task, _, folder, _ = trained
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(["the film was good", "far too long"], padding=True)
    assert minidistil.AutoTokenizer.from_pretrained(folder)(
        ["the film was good", "far too long"], padding=True
    ) == dict(inputs)
    tensors = {name: torch.tensor(ids) for name, ids in inputs.items()}
    tensors.pop("token_type_ids", None)
    if task == "multiple-choice":
        tensors = {name: ids[None] for name, ids in tensors.items()}
    model = minidistil.load(folder)
    with torch.inference_mode():
        ours = [each for each in model(**tensors).values() if each is not None]
    theirs = logits_of_transformers(task, folder, tensors)
    assert len(ours) == len(theirs) > 0
    assert all(map(torch.equal, ours, theirs))


def test_it_learns(trained, start):
    """Every weight is another than at the beginning, but of what is never read."""
    folder = trained[2]
    before = minidistil.AutoModel.from_pretrained(start).state_dict()
    after = minidistil.AutoModel.from_pretrained(folder).state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same <= {"embeddings.position_ids"}


def test_the_figures_are_printed_and_evaluate_prints_the_same(trained):
    task, rows, folder, result = trained
    first, *lines = result.stdout.splitlines()
    assert first == "finished: 3 of 3 steps"
    assert lines[-2:] == [f"the model: {folder}", f"the report: {folder}/report.html"]
    assert lines[-3].startswith("loss ") or task == "fill-mask"
    again = run("evaluate", folder, rows)
    assert again.exit_code == 0, again.output
    assert again.stdout.splitlines()[: len(lines) - 2] == lines[:-2]


def test_evaluate_can_print_one_json_object(trained):
    _, rows, folder, _ = trained
    (found,) = records(run("evaluate", folder, rows, "--json"))
    about = json.loads((folder / "training.json").read_text())
    assert found.pop("details") == about["details"]
    assert found == about["results"]


def test_what_is_finished_is_not_trained_again(trained, start):
    task, rows, folder, result = trained
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = train(task, start, rows, folder, *SHORT)
    assert again.exit_code == 0, again.output
    first, *lines = again.stdout.splitlines()
    assert first == "finished, before this command: 3 of 3 steps"
    assert lines == result.stdout.splitlines()[1:]
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_the_report_and_the_card_say_what_repeats_the_run(trained, start, tmp_path):
    folder = trained[2]
    card = (folder / "README.md").read_text()
    (command,) = (line for line in card.splitlines() if line.startswith("minidistil "))
    assert command in (folder / "report.html").read_text()
    arguments = shlex.split(command)[1:]
    place = arguments.index(str(folder))
    arguments[place] = tmp_path / "again"
    assert run(*arguments).exit_code == 0
    assert same_weights(minidistil.load(folder), minidistil.load(tmp_path / "again"))


def test_a_student_of_any_task_begins_with_layers_of_its_teacher(trained, tmp_path):
    task, rows, folder, _ = trained
    still = ("--layers", "0,2", "--learning-rate", "1e-30", *SHORT)
    result = distil(folder, rows, tmp_path / "small", *still)
    assert result.exit_code == 0, result.output
    small, large = minidistil.load(tmp_path / "small"), minidistil.load(folder)
    assert type(small) is type(large)
    assert small.config.n_layers == 2
    assert small.config.id2label == large.config.id2label
    of_small, of_large = (each.distilbert.transformer.layer for each in (small, large))
    for mine, yours in ((of_small[0], of_large[0]), (of_small[1], of_large[2])):
        pairs = zip(mine.parameters(), yours.parameters(), strict=True)
        assert all(torch.allclose(a, b, rtol=0, atol=1e-20) for a, b in pairs)
    recipe = Recipe.from_file(tmp_path / "small" / "recipe.json")
    assert (recipe.task, recipe.soft, recipe.hard) == (task, 0.5, 0.5)


def test_the_accuracy_is_that_of_scikit_learn(start, tmp_path):
    rows = table_of(tmp_path, TEXTS)
    train(TEXTS, start, rows, tmp_path / "mine", *SHORT)
    (found,) = records(run("evaluate", tmp_path / "mine", rows, "--json"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "mine")
    real, guessed = [], []
    for place in range(24):
        each = row(TEXTS, place)
        inputs = tokenizer(each["text"], return_tensors="pt")
        inputs.pop("token_type_ids", None)
        (logits,) = logits_of_transformers(TEXTS, tmp_path / "mine", inputs)
        real.append(each["label"])
        guessed.append(("neg", "pos")[int(logits.argmax())])
    assert found["accuracy"] == sklearn.metrics.accuracy_score(real, guessed)
    matrix = sklearn.metrics.confusion_matrix(real, guessed).tolist()
    assert found["details"]["confusion"] == {"labels": ["neg", "pos"], "counts": matrix}


def test_a_terminal_gets_tables_of_labels(start, tmp_path):
    rows = table_of(tmp_path, TEXTS)
    train(TEXTS, start, rows, tmp_path / "mine", *SHORT)
    (found,) = records(run("evaluate", tmp_path / "mine", rows, "--json"))
    (a, b), (c, d) = found["details"]["confusion"]["counts"]
    _, tables, confusion = run("evaluate", tmp_path / "mine", rows).stdout.split("\n\n")
    cells = [line.split() for line in tables.splitlines()]
    assert cells[0] == ["label", "precision", "recall", "f1", "support"]
    assert [line[0] for line in cells] == ["label", "neg", "pos"]
    assert [line[-1] for line in cells[1:]] == [str(a + b), str(c + d)]
    cells = [line.split() for line in confusion.splitlines()]
    assert cells[1:] == [["neg", str(a), str(b)], ["pos", str(c), str(d)]]
    assert len({len(line) for line in confusion.splitlines()}) == 1, "it is aligned"


def test_what_is_given_changes_the_recipe(start, tmp_path):
    rows = table_of(tmp_path, TEXTS)
    options = {
        "epochs": 2,
        "batch_size": 4,
        "pass_rows": 2,
        "learning_rate": 1e-3,
        "warm_up": 0.0,
        "weight_decay": 0.0,
        "precision": "bfloat16",
        "max_length": 7,
        "seed": 0,
        "patience": 1,
        "metric": "loss",
    }
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    given += ["--gradient-checkpointing", "--recipe", "sst2"]
    assert train(TEXTS, start, rows, tmp_path / "mine", *given).exit_code == 0
    found = Recipe.from_file(tmp_path / "mine" / "recipe.json")
    assert found == Recipe(**options, gradient_checkpointing=True)


def test_what_is_not_given_is_as_in_the_recipe(start, tmp_path):
    rows = table_of(tmp_path, "token-classification")
    wanted = {"epochs": 1, "batch_size": 8, "seed": 3, "warm_up": 0.5}
    (tmp_path / "own.json").write_text(json.dumps(wanted))
    more = ("--recipe", tmp_path / "own.json", "--seed", 0)
    result = train("token-classification", start, rows, tmp_path / "mine", *more)
    assert result.exit_code == 0, result.output
    found = Recipe.from_file(tmp_path / "mine" / "recipe.json")
    changed = {**wanted, "task": "token-classification", "seed": 0}
    assert found == Recipe(**changed)


def test_columns_of_any_name_are_learnt_from(start, tmp_path):
    table_of(tmp_path, TEXTS)
    text = (tmp_path / "rows.tsv").read_text()
    other = tmp_path / "other.tsv"
    other.write_text(text.replace("text\tlabel", "review\tstars"))
    columns = ("--text-column", "review", "--label-column", "stars")
    for rows, folder, more in ((other, "a", columns), (tmp_path / "rows.tsv", "b", ())):
        result = train(TEXTS, start, rows, tmp_path / folder, *SHORT, *more)
        assert result.exit_code == 0, result.output
    one, two = (minidistil.load(tmp_path / name) for name in "ab")
    assert same_weights(one, two)
    found = run("evaluate", tmp_path / "a", other, *columns)
    assert found.stdout == run("evaluate", tmp_path / "b", tmp_path / "rows.tsv").stdout


def test_a_second_column_is_read(start, tmp_path):
    rows = tmp_path / "pairs.jsonl"
    write_table(rows, TEXTS)
    pairs = [json.loads(line) | {"other": "end"} for line in rows.open()]
    rows.write_text("".join(json.dumps(each) + "\n" for each in pairs))
    more = ("--second-column", "other", *SHORT)
    assert train(TEXTS, start, rows, tmp_path / "mine", *more).exit_code == 0
    log = (tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()
    tokens = [line["tokens"] for line in map(json.loads, log) if "tokens" in line]
    read = sum(len(row(TEXTS, place)["text"].split()) + 4 for place in range(24))
    assert tokens[-1] == read, "[CLS] text [SEP] end [SEP]"


def test_without_dev_rows_the_last_weights_are_kept(start, tmp_path):
    rows = table_of(tmp_path, TEXTS)
    result = run(
        *("train", TEXTS, "-m", start, "--train", rows, "-o", tmp_path / "mine"), *SHORT
    )
    assert result.stdout.splitlines() == [
        "finished: 3 of 3 steps",
        f"the model: {tmp_path / 'mine'}",
        f"the report: {tmp_path / 'mine' / 'report.html'}",
    ]
    assert minidistil.load(tmp_path / "mine").config.id2label == {0: "neg", 1: "pos"}


def test_a_bert_is_distilled_as_distilbert_was(tmp_path):
    folder = write_bert(tmp_path / "bert")
    more = ("--recipe", "distilbert", "--layers", "0,2", "--epochs", 1)
    long = tmp_path / "long.txt"
    long.write_text("the film was good but its end was far too long\n" * 8)
    result = distil(folder, long, tmp_path / "base", *more, "--batch-size", 4)
    assert result.exit_code == 0, result.output
    model = minidistil.load(tmp_path / "base")
    assert type(model) is minidistil.DistilBertForMaskedLM
    assert model.config.n_layers == 2
    line = json.loads((tmp_path / "base" / "metrics.jsonl").read_text().split("\n")[0])
    assert line["loss"] == pytest.approx(
        5 * line["soft"] + 2 * line["hard"] + line["cosine"]
    )


def write_bert(folder):
    """A BERT with its head for hidden words, and the tokenizer of the others."""
    write_checkpoint(folder, "DistilBertModel")
    config = transformers.BertConfig(
        vocab_size=4000,
        hidden_size=20,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=44,
        max_position_embeddings=48,
    )
    torch.manual_seed(0)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return folder


def test_a_students_labels_have_its_teachers_order(start, tmp_path):
    """Whose answers would otherwise be compared with those of other labels."""
    rows = table_of(tmp_path, TEXTS)
    config = json.loads((start / "config.json").read_text())
    labels = {"id2label": {0: "pos", 1: "neg"}, "label2id": {"pos": 0, "neg": 1}}
    teacher = write_checkpoint(
        tmp_path / "teacher", "DistilBertForSequenceClassification", **labels
    )
    assert "id2label" not in config, "the student has no labels of its own"
    more = ("--student", start, *SHORT)
    result = distil(teacher, rows, tmp_path / "small", *more)
    assert result.exit_code == 0, result.output
    made = minidistil.load(tmp_path / "small")
    assert made.config.id2label == {0: "pos", 1: "neg"}
    assert made.config.n_layers == 4


def test_a_label_that_the_teacher_has_not_is_an_error(start, tmp_path):
    rows = table_of(tmp_path, TEXTS)
    labels = {"id2label": {0: "good", 1: "bad"}, "label2id": {"good": 0, "bad": 1}}
    teacher = write_checkpoint(
        tmp_path / "teacher", "DistilBertForSequenceClassification", **labels
    )
    result = distil(teacher, rows, tmp_path / "small", "--layers", 0)
    assert_refused(result, "rows.tsv, row 1", "'pos'", "good, bad")
    assert not (tmp_path / "small").exists()


class Terminal(io.StringIO):
    """A standard error on which a bar can move."""

    def isatty(self):
        return True


def test_a_bar_shows_steps_figures_speed_and_the_time_left(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    now = [0.0]
    monkeypatch.setattr(tqdm.std, "time", lambda: now[0])
    line = {"loss": 0.25, "metric": "accuracy", "best": 0.5, "tokens_per_second": 1e4}
    with counting_steps("training") as show:
        for step in (101, 102, 103):  # it goes on
            now[0] += 2.0
            show(step, 203, _beside(line))
    last = screen.getvalue().rstrip().split("\r")[-1]
    assert "103/203" in last
    assert "loss 0.2500, best accuracy 0.5000, tokens/s 10,000" in last
    assert "03:20" in last, "a hundred steps of two seconds"


def test_the_bar_gets_what_the_log_gets(start, tmp_path):
    lines = []
    rows = str(table_of(tmp_path, TEXTS))
    recipe = Recipe(epochs=2, batch_size=8)
    folder = tmp_path / "mine"
    minidistil.train(start, rows, rows, folder, recipe=recipe, report=lines.append)
    log = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    assert [
        {name: each[name] for name in of} for each, of in zip(lines, log, strict=True)
    ] == log
    assert [line["steps"] for line in lines] == [6] * 8
    values = [line["evaluation"]["accuracy"] for line in log if "evaluation" in line]
    assert [line["best"] for line in lines][:4] == [None] * 3 + values[:1]
    assert lines[-1]["best"] == max(values)


def test_a_python_call_is_written_out_and_repeats_the_run(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table_of(tmp_path, TEXTS)
    recipe = Recipe(batch_size=8, warm_up=0.0)
    columns = {"text": "text"}
    more = {"recipe": recipe, "columns": columns, "epochs": 1}
    minidistil.train(str(start), "rows.tsv", None, "mine", **more)
    card = (tmp_path / "mine" / "README.md").read_text()
    (call,) = (line for line in card.splitlines() if line.startswith("minidistil."))
    assert call == (
        f"minidistil.train({str(start)!r}, 'rows.tsv', None, 'mine', "
        f"recipe=minidistil.Recipe(batch_size=8, warm_up=0.0), "
        f"columns={{'text': 'text'}}, epochs=1)"
    )
    exec(call.replace("'mine'", "'again'"), {"minidistil": minidistil})
    assert same_weights(minidistil.load("mine"), minidistil.load("again"))
