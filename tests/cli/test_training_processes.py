"""torchrun starts several processes: one speaks, and an error of one ends all."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import click
import pytest
from checkpoints import same_weights
from commands import run
from trained import SHORT, encoder, table_of

import minidistil
from minidistil.cli import training_options
from minidistil.cli.training_options import _one_of_several

TEXTS = "text-classification"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


@pytest.fixture
def arguments(tmp_path):
    start = encoder(tmp_path / "start")
    rows = str(table_of(tmp_path, TEXTS))
    files = ("--train", rows, "--dev", rows, "-o", tmp_path / "mine")
    more = ("--pass-rows", 4)
    given = ("train", TEXTS, "-m", start, *files, *SHORT, *more)
    return [str(each) for each in given]


def start(arguments):
    return subprocess.Popen(
        [*TORCHRUN, "-m", "minidistil", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
def test_one_speaks_for_all(arguments, tmp_path):
    program = start(arguments)
    out, err = program.communicate(timeout=120)
    assert program.returncode == 0, err
    assert out.splitlines()[0] == "finished: 3 of 3 steps"
    assert out.count("the model: ") == 1
    command = " ".join(["torchrun --nproc-per-node 2 -m minidistil", *arguments])
    assert command in (tmp_path / "mine" / "README.md").read_text()
    # Two passes a step, one a process: the sum of two has no order.
    folder = tmp_path / "alone"
    place = arguments.index(str(tmp_path / "mine"))
    assert run(*arguments[:place], folder, *arguments[place + 1 :]).exit_code == 0
    alone, together = minidistil.load(folder), minidistil.load(tmp_path / "mine")
    assert same_weights(alone, together)


@pytest.mark.full
def test_an_error_of_all_is_said_once_and_ends_all(arguments):
    program = start([*arguments, "--text-column", "review"])
    _, err = program.communicate(timeout=120)
    assert program.returncode == 1
    assert len(re.findall(r"^Error", err, re.M)) == 1
    assert "'review'" in err
    assert "minidistil/training" not in err, "torchrun's own traceback alone"


@pytest.mark.full
def test_ctrl_c_stops_all_and_keeps_the_state(arguments, tmp_path):
    program = start([*arguments, "--epochs", "500"])
    log, end = tmp_path / "mine" / "metrics.jsonl", time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < end:
        assert program.poll() is None, program.communicate()
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=60)
    assert err.count("the same command goes on") == 1
    assert (tmp_path / "mine" / "unfinished.safetensors").exists()


def test_another_process_waits_before_it_tells_an_error(monkeypatch, capsys):
    """By then the first one has told it, and torchrun has ended all, if all have it."""
    waited = []
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setattr(training_options.time, "sleep", waited.append)
    with pytest.raises(click.exceptions.Exit) as end, _one_of_several():
        raise OSError(2, "No such file", "rows.tsv")
    assert waited == [training_options._SECONDS]
    assert "Error in process 3: [Errno 2] No such file" in capsys.readouterr().err
    assert end.value.exit_code == 1


def test_a_fault_of_another_process_keeps_its_traceback(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(ZeroDivisionError), _one_of_several():
        _ = 1 / 0


def test_another_process_prints_nothing(arguments, monkeypatch):
    """Here it is alone, but for its number."""
    monkeypatch.setattr(training_options, "_rank", lambda: 1)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.output == ""
