"""The command line."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import unicodedata

import pytest
from checkpoints import write_checkpoint
from commands import assert_refused, run, run_program

from minidistil import __version__, pipeline, progress
from minidistil.cli import main
from minidistil.engine import CPU_PRECISIONS, PRECISIONS
from minidistil.pipelines import DEFAULT_MODEL, DEFAULT_REVISION

LABELS = {0: "NEGATIVE", 1: "POSITIVE"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_checkpoint(tmp_path_factory.mktemp("model"), id2label=LABELS))


@pytest.fixture(scope="module")
def classifier(folder):
    return pipeline(model=folder)


@pytest.fixture
def classify(folder):
    """Run `minidistil classify` in this process, on the small checkpoint."""

    def classify(*arguments, stdin=None):
        return run("classify", "--model", folder, *arguments, stdin=stdin)

    return classify


def line(classifier, text):
    """Return what the command prints for a text."""
    (answer,) = classifier(text)
    return f"{answer['label']}  {answer['score']:.4f}  {text}"


# Texts


def test_a_text_gets_a_line(classify, classifier):
    result = classify("I enjoy learning stuff")
    assert result.exit_code == 0
    assert result.stdout == line(classifier, "I enjoy learning stuff") + "\n"
    assert result.stderr == ""


def test_each_text_gets_a_line(classify, classifier):
    texts = ["Not bad", "", "Bad"]
    assert classify(*texts).stdout.splitlines() == [line(classifier, t) for t in texts]


def test_after_two_dashes_a_text_may_begin_with_one(classify, classifier):
    assert classify("--", "-5 of 10").stdout == line(classifier, "-5 of 10") + "\n"
    refused = classify("-5 of 10")
    assert refused.exit_code == 2
    assert "Put -- before texts" in classify("--help").stdout


def test_top_k_prints_that_many_labels(classify, classifier):
    (answers,) = classifier(["Not bad"], top_k=2)
    shown = "  ".join(f"{each['label']}  {each['score']:.4f}" for each in answers)
    assert classify("-k", "99", "Not bad").stdout == f"{shown}  Not bad\n"


def test_truncation_reaches_the_pipeline(classify, classifier):
    long = "good film " * 50
    (answer,) = classifier([long], truncation="window")
    result = classify("--truncation", "window", "--json", long)
    assert json.loads(result.stdout)["score"] == pytest.approx(
        answer["score"], abs=1e-5
    )


@pytest.mark.parametrize("precision", CPU_PRECISIONS)
def test_the_precision_can_be_chosen(classify, folder, precision):
    expected = line(pipeline(model=folder, precision=precision), "Not bad")
    assert classify("--precision", precision, "Not bad").stdout == expected + "\n"


def test_the_command_offers_every_precision():
    options = {each.name: each for each in main.commands["classify"].params}
    assert [*options["precision"].type.choices] == [*PRECISIONS]


def test_a_cut_text_is_told_on_standard_error(classify):
    result = classify("good film " * 50)
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: a text is longer than the model can read")
    assert "\n" not in result.stderr.strip()


# JSON


def test_json_has_the_text_as_it_was_and_the_answer(classify, classifier):
    text = ' “quoted"\t\x1b[31m\u2028\x85 ☕ '
    result = classify("--json", text)
    (answer,) = classifier(text)
    assert len(result.stdout.splitlines()) == 1
    assert json.loads(result.stdout) == {"text": text, **answer}


def test_all_labels_of_a_model_with_one_are_a_list_too(tmp_path):
    folder = write_checkpoint(tmp_path, num_labels=1)
    call = ["classify", "--model", folder, "--json", "-k"]
    (every, one) = (
        json.loads(run(*call, count, "Bad").stdout) for count in ("all", "1")
    )
    assert every == one | {"labels": [{key: one[key] for key in ("label", "score")}]}


def test_json_with_top_k_has_the_other_labels_too(classify, classifier):
    record = json.loads(classify("--json", "-k", "2", "Bad").stdout)
    (answers,) = classifier(["Bad"], top_k=2)
    assert record == {"text": "Bad", **answers[0], "labels": answers}


# Lines


def test_lines_come_from_standard_input_or_a_file(classify, classifier, tmp_path):
    lines = "Not bad\nBad\n"
    (tmp_path / "texts").write_text(lines)
    expected = [line(classifier, "Not bad"), line(classifier, "Bad")]
    for result in (
        classify(stdin=lines),
        classify("--file", "-", stdin=lines),
        classify("--file", str(tmp_path / "texts")),
    ):
        assert result.stdout.splitlines() == expected


def test_lines_keep_step_with_the_input(classify):
    stdin = b"\xef\xbb\xbfa\r\n\r\n\nb\x00\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8c\n \nlast"
    records = [
        json.loads(x) for x in classify("--json", stdin=stdin).stdout.splitlines()
    ]
    texts = ["a", "", "", "b\x00\x0b\x0c\x1c\x85\u2028c", " ", "last"]
    assert [record["text"] for record in records] == texts


def test_no_input_no_output(classify):
    result = classify(stdin=b"")
    assert (result.exit_code, result.stdout) == (0, "")


def test_nothing_in_a_text_steers_the_terminal(classify, tmp_path):
    text = "".join(map(chr, range(0xA0))) + "\u2028\u2029end"
    shown = classify(stdin=text.replace("\n", "").encode()).stdout
    assert shown.endswith("end\n")
    assert not any(unicodedata.category(c)[0] == "C" for c in shown[:-1])
    assert len(shown.splitlines()) == 1


def test_nothing_in_a_label_steers_the_terminal(tmp_path):
    labels = {0: "\x1b[2J\nA", 1: "\x1b[2J\nB"}
    folder = write_checkpoint(tmp_path, id2label=labels)
    result = run("classify", "-m", folder, "text")
    assert result.stdout.startswith("[2J")
    assert "\x1b" not in result.stdout


# Mistakes: what is wrong, on standard error, and never a traceback


def test_a_line_that_is_not_utf8_is_named(classify):
    result = classify(stdin=b"fine\ncaf\xe9\n")
    assert_refused(result, "Error: line 2 is not UTF-8 text")


def test_what_comes_before_a_mistake_is_answered(classify):
    result = classify(stdin=b"fine\nalso fine\ncaf\xe9\n")
    assert_refused(result, "Error: line 3 is not UTF-8 text")
    assert [line.split("  ")[-1] for line in result.stdout.splitlines()] == [
        "fine",
        "also fine",
    ]


def test_an_argument_that_is_not_utf8_is_refused(classify):
    assert_refused(classify("caf\udce9"), "surrogate")


def test_texts_and_a_file_are_too_much(classify):
    assert_refused(classify("text", "-f", "-"), "not both", code=2)


def test_a_terminal_is_not_waited_for(classify, monkeypatch):
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False
    )
    assert_refused(classify(), "give a TEXT, --file, or lines", code=2)


@pytest.mark.parametrize("path", [".", "no-such-file"])
def test_what_is_no_file_is_refused(classify, path):
    assert_refused(classify("--file", path), "--file", path, code=2)


def test_a_device_that_does_not_exist_is_refused(classify):
    assert_refused(classify("--device", "gpu", "text"), "device 'gpu' cannot be used")


def test_truncation_error_refuses_a_long_text(classify):
    result = classify("--truncation", "error", "good film " * 50)
    assert_refused(result, "100 tokens", "at most 46")


@pytest.mark.parametrize(
    "arguments",
    [["-k", "0"], ["--precision", "half"], ["--truncation", "tail"], ["--jsn"]],
)
def test_a_wrong_option_is_refused(classify, arguments):
    assert_refused(classify(*arguments, "text"), code=2)


def test_a_folder_without_a_model_is_refused(tmp_path):
    result = run("classify", "-m", tmp_path, "text")
    assert_refused(result, str(tmp_path), "A checkpoint folder holds")


def test_a_revision_of_a_folder_is_refused(classify):
    assert_refused(classify("--revision", "v1", "text"), "'v1'")


def test_a_reader_that_has_gone_ends_the_command_quietly(classify, monkeypatch):
    def gone(*_, **__):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("minidistil.cli.click.echo", gone)
    result = classify("text")
    assert result.exit_code == 1
    assert result.stderr == ""


# Progress

CLASSIFIER = "DistilBertForSequenceClassification"
ANSWERER = "DistilBertForQuestionAnswering"
# What each command is given beside --model, its model, and what its bar is called.
WATCHED = {
    "classify": (["Bad", "Good"], CLASSIFIER, "classifying"),
    "answer": (["-c", "a film", "Who?", "What?"], ANSWERER, "reading"),
    "tag": (["Bad", "Good"], "DistilBertForTokenClassification", "tagging"),
    "fill-mask": (["a [MASK]", "[MASK]"], "DistilBertForMaskedLM", "filling"),
    "zero-shot": (["-l", "film,food", "Bad", "Good"], CLASSIFIER, "classifying"),
    "embed": (["--json", "Bad", "Good"], "DistilBertModel", "embedding"),
    "features": (["--json", "Bad", "Good"], "DistilBertModel", "reading"),
}


@pytest.fixture
def terminal(monkeypatch):
    """All streams are a terminal, and what takes a moment has a bar."""
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False
    )


@pytest.fixture(params=WATCHED)
def watched(request, tmp_path):
    """A command that works for a while: its words, and its bar's name."""
    arguments, kind, name = WATCHED[request.param]
    labels = {"id2label": {0: "contradiction", 1: "entailment"}}
    labels = labels if kind == CLASSIFIER else {}
    folder = write_checkpoint(tmp_path, kind, **labels)
    return [request.param, "--model", str(folder), *arguments], name


def test_a_bar_is_shown_on_a_terminal(watched, terminal):
    command, name = watched
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert f"{name}: 0 sequences" in result.stderr


def test_no_bar_is_shown_where_nobody_looks(watched, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    result = run(*watched[0])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""


def test_no_bar_is_shown_for_what_is_done_at_once(watched, terminal, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 60.0)
    assert run(*watched[0]).stderr.strip() == ""


def test_on_a_terminal_the_answers_stand_where_the_bar_stood(watched, terminal):
    command, _ = watched
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: False)
        expected = run(*command).stdout
    result = run(*command)
    assert result.stdout == expected
    # What is left of a line is what was written after going back to its beginning.
    lines = [each.rsplit("\r", 1)[-1] for each in result.output.split("\n")]
    assert "\n".join(lines) == expected


def test_on_a_terminal_a_warning_stands_where_the_bar_stood(classify, terminal):
    first, *_ = classify("good film " * 50).output.split("\n")
    assert "classifying" in first
    assert first.rsplit("\r", 1)[-1].startswith("Warning: a text is longer")


def test_the_engine_says_how_far_it_is(folder, terminal, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    engine = pipeline(model=folder).model
    with progress.counting_sequences("reading"):
        time.sleep(0.2)  # a bar is not drawn anew for every batch
        engine([[2, 5, 3], [2, 3], [2, 6, 7, 3]])
    assert "reading: 3 sequences" in capsys.readouterr().err
    engine([[2, 3]])  # and without a bar it is silent
    assert capsys.readouterr().err == ""


# As a program


def test_the_version_is_the_packages():
    assert run_program("--version").stdout.decode().split()[-1] == __version__


def test_help_lists_the_commands():
    result = run_program("--help", text=True)
    assert result.returncode == 0
    assert "classify" in result.stdout


def test_offline_the_error_names_the_command_that_helps(tmp_path):
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    result = run_program("classify", "text", env=environment, text=True)
    assert result.returncode == 1
    assert f"hf download {DEFAULT_MODEL} --revision {DEFAULT_REVISION}" in result.stderr
    assert "Or use --model tiny, which needs no network." in result.stderr
    assert "Traceback" not in result.stderr


def test_without_standard_input_a_text_is_asked_for(folder):
    arguments = [sys.executable, "-m", "minidistil", "classify"]
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", *arguments]
    result = subprocess.run(closed, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "give a TEXT" in result.stderr


def test_a_character_that_cannot_be_printed_is_no_error(folder):
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    result = run_program("classify", "-m", folder, "☕ café", env=environment)
    assert result.returncode == 0
    assert result.stdout.decode("latin-1").endswith("\\u2615 café\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_an_interrupt_ends_the_command_without_a_traceback(folder):
    command = [sys.executable, "-m", "minidistil", "classify", "-m", folder]
    process = subprocess.Popen(
        [*command, "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # A full chunk is answered at once; the command then waits for more lines.
    process.stdin.write(b"text\n" * 1024)
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.decode().strip() == "Aborted!"
