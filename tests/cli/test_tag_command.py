"""``minidistil tag``."""

from __future__ import annotations

import pytest
from checkpoints import draw_lively, write_checkpoint
from commands import assert_refused, records, run as run_command

from minidistil import pipeline
from minidistil.pipelines.token_classification import STRATEGIES

TEXT = "Ada Lovelace's friend  Charles lived\tin London ☕."
LONG = " ".join([TEXT] * 6)
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    head = "DistilBertForTokenClassification"
    labels = dict(enumerate(NAMES))
    return str(write_checkpoint(folder, head, draw=draw_lively, id2label=labels))


@pytest.fixture(scope="module")
def pipe(folder):
    return pipeline("ner", folder, aggregation_strategy="simple")


@pytest.fixture
def run(folder):
    def run(*arguments, stdin=None):
        return run_command("tag", "--model", folder, *arguments, stdin=stdin)

    return run


def line(text, found):
    label = found.get("entity_group", found.get("entity"))
    start, end = found["start"], found["end"]
    words = " ".join(text[start:end].split())
    return f"{label}  {found['score']:.4f}  {start}-{end}  {words}"


def test_each_entity_gets_a_line(run, pipe):
    result = run(TEXT, "", "Paris")
    assert result.exit_code == 0, result.output
    expected = [line(text, one) for text in (TEXT, "Paris") for one in pipe(text)]
    assert result.stdout.splitlines() == expected
    assert len(expected) > 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_aggregation_can_be_chosen(run, pipe, strategy):
    found = pipe(TEXT, aggregation_strategy=strategy)
    result = run("--aggregation", strategy, TEXT)
    assert result.stdout.splitlines() == [line(TEXT, one) for one in found]


def test_labels_can_be_left_out(run, pipe):
    found = [one for one in pipe(TEXT) if one["entity_group"] != "LOC"]
    assert 0 < len(found) < len(pipe(TEXT))
    result = run(TEXT, "--ignore", "LOC", "--ignore", "O")
    assert result.stdout.splitlines() == [line(TEXT, one) for one in found]
    assert run(TEXT, "--ignore", "LOC", "--ignore", "PER").stdout == ""


def test_json_has_a_line_for_each_text(run, pipe, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("London\n\nAda ☕\n", "utf-8")
    result = run("--file", str(file), "--json")
    found = records(result)
    assert [record["text"] for record in found] == ["London", "", "Ada ☕"]
    for record in found:
        assert record["entities"] == [
            one | {"score": pytest.approx(one["score"], abs=1e-5)}
            for one in pipe(record["text"])
        ]
    assert run("--json", stdin="London\n\nAda ☕\n").stdout == result.stdout


def test_a_long_text_is_read_whole_with_a_stride(run, pipe):
    result = run("--stride", "9", LONG)
    expected = [line(LONG, one) for one in pipe(LONG, stride=9)]
    assert result.stdout.splitlines() == expected
    assert result.stderr == ""
    cut = run(LONG)
    assert cut.stderr.startswith("Warning: a text is longer than the model can read")
    assert len(cut.stdout) < len(result.stdout)


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--aggregation", "mean", TEXT], "aggregation", 2),
        (["--stride", "46", TEXT], "stride is 46, expected less than 46", 1),
        (["--file", "-", TEXT], "texts or --file, not both", 2),
    ],
    ids=str,
)
def test_a_mistake_is_one_clear_error(run, arguments, message, code):
    assert_refused(run(*arguments), message, code=code)


def test_a_model_is_needed():
    assert_refused(run_command("tag", TEXT), "--model", code=2)


def test_a_model_without_such_a_head_is_refused():
    assert_refused(run_command("tag", "--model", "tiny", TEXT), "classifier")
