"""The command where a stream is missing, full or not read, and where it has a fault."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Thread
from time import monotonic

import click
import pytest
from checkpoints import write_checkpoint
from commands import run

import minidistil
from minidistil import CheckpointError, progress
from minidistil.cli import main
from minidistil.cli.failures import as_one_line
from minidistil.hub import CheckpointNotFoundError

LONG = "good film " * 300  # a warning says that it is truncated
QA, TAG, CHOOSE, MASKED = (
    f"DistilBertFor{task}"
    for task in (
        "QuestionAnswering",
        "TokenClassification",
        "MultipleChoice",
        "MaskedLM",
    )
)
LEARNING = ["--train", "ROWS", "--epochs", "1", "-o", "OUT/mine"]
# For each command, arguments with which it ends with 0; a class stands for a model.
EXAMPLES: dict[tuple[str, ...], list[str]] = {
    ("answer",): ["-m", QA, "-c", "He is here.", "Who?"],
    ("choose",): ["-m", CHOOSE, "The sky is", "blue.", "green."],
    ("classify",): ["-m", "tiny", LONG],
    ("distil",): [*("-t", "tiny", "--layers", "0"), *LEARNING],
    ("embed",): ["-m", "tiny", "--json", LONG],
    ("evaluate",): ["tiny", "ROWS"],
    ("explain",): ["-m", "tiny", "--text", "good"],
    ("features",): ["-m", "tiny", "--json", LONG],
    ("fill-mask",): ["-m", MASKED, "a [MASK] film"],
    ("tag",): ["-m", TAG, LONG],
    ("train",): ["text-classification", "-m", "tiny", *LEARNING],
    ("zero-shot",): ["-m", "MNLI", "-l", "a,b", "good"],
    ("weights", "convert"): ["tiny", "OUT/folder"],
    ("weights", "export"): ["tiny", "OUT/x.pt2"],
    ("weights", "inspect"): ["tiny"],
    ("weights", "list"): ["--offline"],
    ("weights", "load"): ["tiny", "good"],
    ("weights", "publish"): ["TINY", "me/model", "--dry-run"],
    ("weights", "verify"): ["tiny"],
}
OF_EVERY_COMMAND = pytest.mark.parametrize("names", EXAMPLES, ids=" ".join)


def commands(group, *names):
    for name, each in group.commands.items():
        if isinstance(each, click.Group):
            yield from commands(each, *names, name)
        else:
            yield (*names, name)


def test_every_command_has_an_example():
    assert {*commands(main)} == {*EXAMPLES}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folders = {
        kind: str(write_checkpoint(tmp_path_factory.mktemp("model"), kind))
        for kind in (QA, TAG, CHOOSE, MASKED)
    }
    labels = {
        "id2label": {0: "entailment", 1: "neutral", 2: "contradiction"},
        "label2id": {"entailment": 0, "neutral": 1, "contradiction": 2},
    }
    mnli = write_checkpoint(tmp_path_factory.mktemp("model"), **labels)
    tiny = Path(minidistil.__file__).parent / "bundled" / "tiny-sst2"
    rows = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    labelled = {"good": "POSITIVE", "bad": "NEGATIVE", LONG: "POSITIVE"}
    lines = [{"text": text, "label": label} for text, label in labelled.items()]
    rows.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folders | {"MNLI": str(mnli), "TINY": str(tiny), "ROWS": str(rows)}


@pytest.fixture
def arguments(models, tmp_path):
    def arguments(names):
        given = [models.get(each, each) for each in EXAMPLES[names]]
        out = (
            str(tmp_path / each[4:]) if each[:4] == "OUT/" else each for each in given
        )
        return [*names, *out]

    return arguments


def in_this_process(given):
    with pytest.raises(SystemExit) as end:
        main(given)
    return end.value.code or 0


class Full:
    """A stream on a full disk."""

    encoding, errors, closed = "utf-8", "strict", False

    def write(self, text):
        if text:
            raise OSError(28, "No space left on device")

    def flush(self):
        """Nothing is waiting."""

    def isatty(self):
        return False


# No standard error


@pytest.mark.sample(2)
@OF_EVERY_COMMAND
@pytest.mark.parametrize("stream", [None, Full()], ids=["none", "full"])
def test_without_standard_error_the_answers_are_given(
    monkeypatch, capsys, tmp_path, arguments, names, stream
):
    given = arguments(names)
    assert in_this_process(given) == 0
    expected = capsys.readouterr().out
    if (tmp_path / "mine").exists():  # a training that is finished is not begun anew
        shutil.rmtree(tmp_path / "mine")
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(progress, "_TICK", 0.01)
    monkeypatch.setattr(sys, "stderr", stream)
    assert in_this_process(given) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.sample(2)
@OF_EVERY_COMMAND
def test_without_any_stream_nothing_fails(monkeypatch, arguments, names):
    """As under pythonw, or in a service."""
    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)
    assert in_this_process(arguments(names)) == 0


def test_without_standard_error_an_error_is_no_answer(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert in_this_process(["classify", "-m", "nowhere/", "text"]) == 1
    assert capsys.readouterr().out == ""


def test_there_may_be_no_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    for given in (["classify", "-m", "tiny", "-f", "-"], ["classify", "-m", "tiny"]):
        assert in_this_process(given) == 2
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "stream", [None, object(), Full()], ids=["none", "odd", "full"]
)
def test_a_clock_ends_where_it_cannot_be_shown(monkeypatch, stream):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(progress, "_TICK", 0.01)
    monkeypatch.setattr(sys, "stderr", stream)
    ended = []

    def work():
        start = monotonic()
        with progress.counting_seconds("waiting"):
            while monotonic() < start + 0.1:
                pass
        ended.append(True)

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert ended == [True]


CLOSED = {
    "no input": "0<&-",
    "no errors": "2>&-",
    "no streams": "0<&- 1>&- 2>&-",
}
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")


def shell(line, *arguments, **options):
    """Run the command by a shell, which has ``$@`` for it."""
    script = ["sh", "-c", line, "sh", sys.executable, "-m", "minidistil", *arguments]
    return subprocess.run(
        script, capture_output=True, text=True, timeout=120, **options
    )


@posix
@pytest.mark.sample(2)
@pytest.mark.parametrize("closed", CLOSED)
def test_streams_may_be_closed(tmp_path, closed):
    file = tmp_path / "x.safetensors"
    line = f'"$@" {CLOSED[closed]}'
    done = shell(line, "embed", "-m", "tiny", "-o", str(file), LONG)
    assert (done.returncode, done.stderr) == (0, "" if "2>" in line else done.stderr)
    assert file.stat().st_size > 1000
    assert "Traceback" not in done.stderr


# Standard output


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no full device")
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["weights", "list", "--offline"], 1),
        (["--help"], 1),
        (["classify", "-m", "tiny", "good"], 1),
        (["weights", "verify", "tiny"], 2),  # 1 would say that it is wrong
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
@pytest.mark.parametrize(
    "buffered", [True, pytest.param(False, marks=pytest.mark.full)]
)
def test_on_a_full_disk_there_is_one_line(arguments, status, buffered):
    settings = os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    done = shell('"$@" > /dev/full', *arguments, env=settings)
    assert done.returncode == status
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr


@posix
def test_nobody_need_read_on():
    line = 'yes good | head -2000 | { "$@"; echo "status $?" >&2; } | head -1'
    done = shell(line, "classify", "-m", "tiny")
    assert done.stdout.endswith("  good\n")
    assert done.stderr == "status 1\n"


@posix
@pytest.mark.sample(1)
@pytest.mark.parametrize("command", ["embed", "features", "explain"])
def test_what_goes_to_standard_output_as_a_file_has_no_line_behind_it(
    tmp_path, monkeypatch, command
):
    ending = "html" if command == "explain" else "safetensors"
    file, link = tmp_path / f"file.{ending}", tmp_path / f"link.{ending}"
    link.symlink_to("/dev/fd/1")
    given = [command, "-m", "tiny", "good", "-o"]
    assert run(*given, file).exit_code == 0
    script = [sys.executable, "-m", "minidistil", *given, str(link)]
    done = subprocess.run(script, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == file.read_bytes()
    assert link.is_symlink()


# Errors and faults


def fault(kind):
    def work(*_, **__):
        match kind:
            case "a call":
                return (lambda: None)(1)  # type: ignore[call-arg]
            case "a name":
                return {}["x"]
            case "a number":
                return int("x")
            case "a message":
                raise ValueError(f"{len(None)}")  # type: ignore[arg-type]
        raise AssertionError

    return work


@pytest.mark.parametrize("kind", ["a call", "a name", "a number", "a message"])
@pytest.mark.parametrize(
    ("command", "status"),
    [(["inspect", "tiny"], 1), (["verify", "tiny"], 2)],
    ids=["inspect", "verify"],
)
def test_a_fault_of_the_library_is_shown_as_one(monkeypatch, kind, command, status):
    """It is no error of who typed the command."""
    from minidistil.weights import inspection, verification

    # In the library's own name, as a fault in its text would be.
    work = fault(kind)
    work.__globals__["__name__"] = "minidistil.weights.inspection"
    try:
        monkeypatch.setattr(inspection, "inspect", work)
        monkeypatch.setattr(verification, "verify", work)
        result = run("weights", *command)
    finally:
        work.__globals__["__name__"] = __name__
    assert result.exit_code == status
    if status == 1:  # Python shows the traceback
        assert not isinstance(result.exception, SystemExit)
    else:
        assert result.stderr.startswith("Traceback")
    assert "\nError" not in f"\n{result.stderr}"


def raised(work):
    with contextlib.suppress(SystemExit):
        try:
            work()
        except Exception as error:
            return error
    raise AssertionError


@pytest.mark.parametrize(
    "work",
    [
        lambda: minidistil.AutoModelForSequenceClassification.from_pretrained("./no"),
        lambda: minidistil.DistilBertConfig(dim=-1),
        lambda: minidistil.DistilBertConfig.from_pretrained(7),
        lambda: minidistil.DistilBertModel.from_pretrained("tiny", dtype="x"),
        lambda: minidistil.pipeline("text-classification", "tiny", top_k=0),
        lambda: minidistil.pipeline("text-classification", "tiny", nothing=0),
        lambda: Path("no/file").read_bytes(),
    ],
)
def test_an_error_that_explains_itself_is_one_line(work):
    error = raised(work)
    assert as_one_line(error) == str(error)


@pytest.mark.parametrize(
    "work",
    [lambda: int("x"), lambda: minidistil.DistilBertConfig(*range(40)), lambda: {}[0]],
)
def test_what_python_raises_is_a_fault(work):
    assert as_one_line(raised(work)) is None


@pytest.mark.parametrize("error", [CheckpointError("x"), CheckpointNotFoundError("x")])
def test_the_library_s_own_errors_are_one_line_wherever_they_come_from(error):
    assert as_one_line(error) == "x"


def test_too_little_memory_is_one_line():
    import torch

    error = raised(lambda: torch.empty(2**60, dtype=torch.uint8))
    assert as_one_line(error).startswith("there is not enough memory (")


# What cannot be read


@pytest.mark.parametrize("command", ["verify", "inspect", "load"])
def test_a_file_that_the_system_refuses_is_not_wrong(
    tmp_path, monkeypatch, command, folder_of
):
    from minidistil.checkpoint import stored

    def refuse(*_, **__):
        raise OSError("Too many open files (os error 24)")

    monkeypatch.setattr(stored, "safe_open", refuse)
    result = run("weights", command, folder_of())
    assert result.exit_code == (2 if command == "verify" else 1)
    assert "WRONG" not in result.output
    assert "Too many open files; close some" in result.stderr
    assert "Traceback" not in result.stderr
