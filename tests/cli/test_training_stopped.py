"""A training is stopped by Ctrl-C: what is kept, what is said, and how it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import click
import pytest
from checkpoints import same_weights
from commands import run
from trained import encoder, table_of

import minidistil
from minidistil.cli.training_options import _stoppable

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
TEXTS = "text-classification"
STEPS = 90
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return table_of(tmp_path_factory.mktemp("rows"), TEXTS, count=STEPS)


def command(start, rows, folder):
    """Three epochs of thirty steps; what is measured with is short."""
    dev = table_of(folder.parent, TEXTS, count=8)
    files = ("--train", rows, "--dev", dev, "-o", folder)
    given = ("train", TEXTS, "-m", start, *files, "--epochs", 3, "--batch-size", 3)
    return [str(each) for each in given]


@pytest.fixture(scope="module")
def undisturbed(start, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "mine"
    result = run(*command(start, rows, folder))
    assert result.exit_code == 0, result.output
    return folder


def log(folder):
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def steps_of(lines):
    return [line["step"] for line in lines if "evaluation" not in line]


def begin(arguments, folder, steps):
    """Start it as a program; come back when so many steps are done."""
    program = subprocess.Popen(
        [sys.executable, "-m", "minidistil", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while len(log(folder)) < steps and time.monotonic() < end:
        assert program.poll() is None, program.communicate()
        time.sleep(0.01)
    return program


@posix
@pytest.mark.parametrize(
    "number", [SIGNALS[0], pytest.param(SIGNALS[1], marks=pytest.mark.full)]
)
def test_a_signal_ends_after_a_step_and_the_same_command_goes_on(
    number, start, rows, undisturbed, tmp_path
):
    folder = tmp_path / "mine"
    arguments = command(start, rows, folder)
    program = begin(arguments, folder, steps=5)
    program.send_signal(number)
    out, err = program.communicate(timeout=60)
    assert program.returncode == 130, err
    done = steps_of(log(folder))[-1]
    assert 5 <= done < STEPS
    assert f"Stopped after step {done} of {STEPS}" in err
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert out.splitlines()[0] == f"the model: {folder}"
    assert (folder / "unfinished.safetensors").exists()

    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == f"finished: {STEPS} of {STEPS} steps"
    # No step was taken twice, and none was left out.
    assert steps_of(log(folder)) == [*range(1, STEPS + 1)]
    assert same_weights(minidistil.load(folder), minidistil.load(undisturbed))
    assert not (folder / "unfinished.safetensors").exists()


@posix
def test_two_signals_end_at_once(start, rows, tmp_path):
    """Even where a step would take forever."""
    folder = tmp_path / "mine"
    program = f"""
import sys, time
from minidistil.cli import main
from minidistil.training.loop import Training
take = Training._take
def slow(self, number):
    if number == 3:
        open({str(tmp_path / "there")!r}, "w").close()
        time.sleep(60)
    take(self, number)
Training._take = slow
main({command(start, rows, folder)!r})
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "there").exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert child.poll() is None, "the first one lets the step end"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Stopped at once" in err
    assert "Traceback" not in err


@posix
@pytest.mark.parametrize("number", SIGNALS)
def test_before_the_first_step_one_signal_is_enough(number):
    with pytest.raises(click.exceptions.Exit) as end, _stoppable("mine"):
        signal.raise_signal(number)
    assert end.value.exit_code == 130


@posix
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_the_answer_to_the_next_question(number):
    with _stoppable("mine") as stop:
        assert not stop()
        signal.raise_signal(number)
        assert stop()


@posix
def test_the_handlers_are_put_back(monkeypatch):
    before = [signal.getsignal(each) for each in SIGNALS]
    with _stoppable("mine"):
        assert [signal.getsignal(each) for each in SIGNALS] != before
    assert [signal.getsignal(each) for each in SIGNALS] == before
    with pytest.raises(ZeroDivisionError), _stoppable("mine"):
        _ = 1 / 0
    assert [signal.getsignal(each) for each in SIGNALS] == before


@posix
def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _stoppable("mine") as stop:
            stop()
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_has_no_handler():
    found = []

    def work():
        with _stoppable("mine") as stop:
            found.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
