"""A command leaves the process that runs it as it found it."""

from __future__ import annotations

import io
import sys
import warnings
from threading import Event, Thread

import click
import pytest
from checkpoints import write_checkpoint
from commands import run

from minidistil.cli import main
from minidistil.cli.output import warnings_as_lines

LONG = "good film " * 50
SHOWN = "Warning: a text is longer than the model can read"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_checkpoint(tmp_path_factory.mktemp("model")))


@pytest.fixture
def ours(monkeypatch):
    """The warnings that a function of the process is given, not the command's."""
    found = []
    show = lambda message, *_, **__: found.append(str(message))  # noqa: E731
    monkeypatch.setattr(warnings, "showwarning", show)
    yield found
    assert warnings.showwarning is show


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["classify", "-m", "FOLDER", LONG], 0),
        (["classify", "-m", "FOLDER", "--truncation", "error", LONG], 1),
        (["classify", "-m", "nowhere/", "text"], 1),
        (["classify", "--top-k", "0"], 2),
        (["classify", "--help"], 0),
        (["weights", "verify", "./nowhere"], 2),
        (["nothing"], 2),
        (["--version"], 0),
    ],
    ids=lambda value: str(value)[:40],
)
def test_warnings_are_shown_as_before_when_a_command_has_ended(
    ours, folder, arguments, code
):
    result = run(*(folder if each == "FOLDER" else each for each in arguments))
    assert result.exit_code == code
    assert ours == []
    assert (SHOWN in result.stderr) is (arguments[-1] == LONG and code == 0)


def test_a_command_that_python_calls_puts_back_what_was_there(ours, folder, capsys):
    command = ["classify", "-m", folder, LONG]
    main.main(command, standalone_mode=False)
    captured = capsys.readouterr()
    assert captured.err.startswith(SHOWN)
    assert captured.out.endswith("good film\n")
    with pytest.raises(click.ClickException, match="at most 46"):
        main.main([*command, "--truncation", "error"], standalone_mode=False)
    warnings.warn("of Python", stacklevel=1)
    assert ours == ["of Python"]


def test_an_error_that_nobody_expects_puts_back_what_was_there(
    ours, folder, monkeypatch
):
    monkeypatch.setattr("minidistil.pipelines.pipeline", lambda *_, **__: 1 / 0)
    result = run("classify", "-m", folder, "text")
    assert isinstance(result.exception, ZeroDivisionError)


def test_commands_in_threads_put_back_what_was_there(ours, capsys):
    """The first begins before the second and ends before it."""
    both, ended = Event(), Event()

    def second():
        with warnings_as_lines():
            both.set()
            assert ended.wait(60)
            warnings.warn("of the second", stacklevel=1)

    thread = Thread(target=second)
    with warnings_as_lines():
        thread.start()
        assert both.wait(60)
        warnings.warn("of the first", stacklevel=1)
    warnings.warn("of no command", stacklevel=1)
    ended.set()
    thread.join(60)
    assert not thread.is_alive()
    assert capsys.readouterr().err == (
        "Warning: of the first\nWarning: of the second\n"
    )
    assert ours == ["of no command"]


def test_standard_output_is_written_as_before(folder, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "latin-1"))
    main.main(["classify", "-m", folder, "☕ café"], standalone_mode=False)
    assert written.getvalue().decode("latin-1").endswith("  \\u2615 café\n")
    assert sys.stdout.errors == "strict"


def commands(group, *names):
    """All commands below a group, with the words that call them."""
    for name, each in group.commands.items():
        yield [*names, name], each
        if isinstance(each, click.Group):
            yield from commands(each, *names, name)


@pytest.mark.parametrize("names", [names for names, _ in commands(main)], ids=" ".join)
def test_help_can_be_printed_by_every_terminal(names):
    result = run(*names, "--help")
    assert result.exit_code == 0
    assert result.stdout.isascii()


@pytest.mark.parametrize(
    "name", ["classify", "features", "embed", "explain", "answer", "tag", "choose"]
)
def test_the_model_in_the_package_is_offered_in_errors_as_it_is_in_help(name):
    offered = "'tiny'" in run(name, "--help").stdout
    assert main.commands[name].offers_tiny is offered
