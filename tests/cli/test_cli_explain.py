"""``minidistil explain``."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
import torch
from checkpoints import write_checkpoint
from commands import assert_refused as assert_ended, run, run_program
from reference import MASKED_LM, QUESTION

from minidistil import compare
from minidistil.explainer.as_text import text_lines

LABELS = {0: "NEGATIVE", 1: "POSITIVE"}
OTHER = "<!doctype html><title>my own work</title>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_checkpoint(tmp_path_factory.mktemp("model"), id2label=LABELS))


@pytest.fixture(autouse=True)
def _one_thread():
    """The command has one for a small model; with two, last bits would differ."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def explain(folder, tmp_path, monkeypatch):
    """Run `minidistil explain` in this process, in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def explain(*arguments, model=folder):
        return run("explain", "--model", model, *arguments)

    explain.here = here
    return explain


@pytest.fixture
def browser(monkeypatch):
    """A browser that notes what it is to open."""
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    return opened


def line(trace):
    texts = " / ".join(reading.raw for reading in trace.readings)
    return f"{trace.label}  {float(trace.answer.max()):.4f}  {texts}"


def names(folder):
    return [path.name for path in folder.iterdir()]


def assert_refused(result, *words, code=1):
    assert_ended(result, *words, code=code)
    assert result.stdout == ""


# The page


def test_the_page_is_written_and_the_answer_printed(explain, folder):
    result = explain("Not bad")
    traces = compare(["Not bad"], folder)
    assert result.exit_code == 0
    assert result.stdout == f"explain.html\n{line(traces[0])}\n"
    assert result.stderr == ""
    assert (explain.here / "explain.html").read_text("utf-8") == traces.to_html()
    assert names(explain.here) == ["explain.html"]


def test_several_texts_are_on_one_page(explain, folder):
    texts = ["Not bad", "", "Bad\tfilm\n"]
    result = explain(*texts, "-o", "page.html")
    traces = compare(texts, folder)
    shown = [" ".join(line(trace).split()) for trace in traces]
    shown[1] += " (empty text)"
    assert [" ".join(x.split()) for x in result.stdout.splitlines()] == [
        "page.html",
        *shown,
    ]
    page = (explain.here / "page.html").read_text("utf-8")
    assert page == traces.to_html()


def test_pairs_and_padding_reach_the_page(explain, folder):
    texts, pairs = ["Not bad", "a film"], ["one", "the second of the two"]
    both = [f"--pair={pair}" for pair in pairs]
    result = explain(*texts, *both, "--padded", "-o", "page.html")
    traces = compare(texts, folder, text_pairs=pairs, padding=True)
    assert result.stdout.splitlines()[1:] == [line(trace) for trace in traces]
    assert "Not bad / one" in result.stdout
    page = (explain.here / "page.html").read_text("utf-8")
    assert page == traces.to_html()
    assert page != compare(texts, folder, text_pairs=pairs).to_html()


def test_after_two_dashes_a_text_may_begin_with_one(explain):
    assert explain("--", "-5 of 10").stdout.endswith("  -5 of 10\n")
    refused = explain("-5 of 10")
    assert_refused(refused, "No such option", code=2)


def test_the_words_of_a_masked_text_are_printed(explain, tmp_path):
    folder = write_checkpoint(tmp_path / "model", MASKED_LM)
    result = explain("a [MASK] film", model=str(folder))
    (trace,) = compare(["a [MASK] film"], folder)
    assert result.stdout.splitlines()[1] == line(trace)


def test_what_is_not_shown_is_printed(explain, tmp_path):
    folder = write_checkpoint(tmp_path / "model", QUESTION)
    result = explain("who?", model=str(folder))
    (trace,) = compare(["who?"], folder)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "no answer  who?",
        f"No answer is shown: {trace.not_shown}.",
    ]


def test_codes_that_steer_the_terminal_are_not_printed(explain):
    result = explain("\x1b[31mred\x07 \u202etxet", "-o", "page\x1b[0m.html")
    assert result.stdout.splitlines()[0] == "page[0m.html"
    assert result.stdout.splitlines()[1].endswith("  [31mred txet")


@pytest.mark.parametrize("text", ["film " * 40, "映画 " * 20])
def test_of_a_long_text_the_beginning_is_printed(explain, text):
    words = explain(text).stdout.splitlines()[1].split()
    shown = " ".join(words[2:])  # behind the label and its probability
    assert shown.endswith("...")
    assert text.startswith(shown.removesuffix("..."))
    assert 30 < len(shown) <= 80


def test_a_reason_that_several_texts_have_is_printed_once(explain, tmp_path):
    folder = write_checkpoint(tmp_path / "model", MASKED_LM)
    result = explain("a film", "a [MASK]", "", model=str(folder))
    film, masked, _ = compare(["a film", "a [MASK]", ""], folder)
    assert result.stdout.splitlines()[1:] == [
        "no answer  a film",
        line(masked),
        "no answer  (empty text)",
        f"No answer is shown: {film.not_shown}.",
    ]


# Its file


def test_an_earlier_page_is_replaced(explain):
    assert explain("one").exit_code == 0
    first = (explain.here / "explain.html").read_bytes()
    assert explain("two").exit_code == 0
    assert (explain.here / "explain.html").read_bytes() != first


@pytest.mark.parametrize("content", [OTHER, "", "x" * 5000])
def test_a_file_that_is_no_page_is_not_replaced(explain, content, monkeypatch):
    path = explain.here / "explain.html"
    path.write_text(content)
    # It is told before anything is computed.
    monkeypatch.setattr("minidistil.explainer.compare", None)
    assert_refused(explain("one"), "explain.html is here already", "with -o")
    assert path.read_text() == content


def test_a_file_that_is_named_is_replaced(explain):
    path = explain.here / "explain.html"
    path.write_text(OTHER)
    assert explain("one", "-o", "explain.html").exit_code == 0
    assert "my own work" not in path.read_text("utf-8")


def test_the_file_may_be_in_a_new_folder(explain):
    result = explain("one", "-o", "a/b/page.html")
    assert "folder that is created if" in " ".join(explain("--help").stdout.split())
    assert result.stdout.splitlines()[0] == str(Path("a", "b", "page.html"))
    assert (explain.here / "a" / "b" / "page.html").exists()


def test_a_folder_is_no_file(explain):
    (explain.here / "pages").mkdir()
    assert_refused(explain("one", "-o", "pages"), "is a directory", code=2)
    (explain.here / "explain.html").mkdir()
    assert_refused(explain("one"), "explain.html")


def test_where_nothing_can_be_written_is_told(explain):
    (explain.here / "file").write_text("")
    result = explain("one", "-o", "file/page.html")
    assert_refused(result, "file")


def test_a_dash_is_standard_output(explain, folder):
    result = explain("one", "-o", "-")
    assert result.exit_code == 0
    assert result.stdout == compare(["one"], folder).to_html() + "\n"
    assert names(explain.here) == []
    refused = explain("one", "-o", "-", "--open")
    assert_refused(refused, "--open needs a file", code=2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_gets_the_page(explain, folder):
    pipe = explain.here / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = Thread(target=lambda: found.append(pipe.read_text("utf-8")), daemon=True)
    reader.start()
    assert explain("one", "-o", "pipe").exit_code == 0
    reader.join(60)
    assert found == [compare(["one"], folder).to_html()]
    assert pipe.is_fifo()


def test_the_patient_get_the_whole_page(explain, folder, monkeypatch):
    monkeypatch.setattr("minidistil.explainer.budget.MOST_TOKENS", 1)
    explain("one", "-o", "one.html")
    explain("one", "--patient", "-o", "two.html")
    traces = compare(["one"], folder)
    hasty, patient = traces.to_html(), traces.to_html(patient=True)
    assert (explain.here / "one.html").read_text("utf-8") == hasty != patient
    assert (explain.here / "two.html").read_text("utf-8") == patient
    assert explain("one", "--text").stdout.count("takes long: --patient") == 2
    assert "takes long" not in explain("one", "--text", "--patient").stdout


def test_a_text_that_is_cut_is_told(explain):
    result = explain("film " * 50)
    assert result.exit_code == 0
    assert "4 tokens of the text 'film film" in result.stderr


# The browser


def test_the_page_is_opened(explain, browser):
    result = explain("one", "--open", "-o", "a page.html")
    assert browser == [(explain.here / "a page.html").resolve().as_uri()]
    assert browser[0].endswith("/a%20page.html")
    assert result.stderr == ""


def test_the_page_is_not_opened_unless_asked(explain, browser):
    explain("one")
    assert browser == []


def test_a_missing_browser_is_told(explain, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    result = explain("one", "--open")
    assert result.exit_code == 0
    assert result.stderr == "Warning: there is no browser to open it with\n"


# In the terminal


def test_the_readmes_picture_is_of_its_command():
    root = Path(__file__).parents[2]
    script = (root / "scripts" / "screenshots.py").read_text("utf-8")
    (sentence,) = re.findall(r'^SENTENCE = (".*")$', script, re.M)
    readme = (root / "README.md").read_text("utf-8")
    assert f"$ minidistil explain --model tiny {sentence}\n" in readme


def test_text_prints_the_walk_and_writes_nothing(explain, folder):
    result = explain("Not bad", "a film", "--text", "--padded")
    traces = compare(["Not bad", "a film"], folder, padding=True)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [*text_lines(traces)]
    assert result.stderr == ""
    assert names(explain.here) == []


def test_text_goes_where_a_page_is_no_matter(explain):
    (explain.here / "explain.html").write_text(OTHER)
    assert explain("Not bad", "--text").exit_code == 0


@pytest.mark.parametrize("option", ["-opage.html", "--open"])
def test_text_goes_with_no_page(explain, option):
    assert_refused(explain("a", "--text", option), "--text writes no page", code=2)


def test_a_character_that_cannot_be_printed_is_no_error(folder, tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    arguments = ["explain", "-m", folder, "--text", "☕ café"]
    result = run_program(*arguments, env=environment, cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.decode("latin-1").startswith("\\u2615 café\n")


# How long it takes


def cpu_seconds(*arguments, cwd):
    """The processor time of a program on one thread: it hardly knows a busy machine."""
    import resource

    ours = {name: x for name, x in os.environ.items() if not name.startswith("COV")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=ours | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        timeout=240,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts in another way")
def test_the_whole_command_takes_little_longer_than_to_import_torch(tmp_path):
    """About 1.6 times as long; if it took twice the time, that would be 3.2 times."""
    command = ("-m", "minidistil", "explain", "-mtiny", "I hate this so much!")
    ratios = []
    for _ in range(3):
        torch_alone = cpu_seconds("-c", "import torch", cwd=tmp_path)
        ratios.append(cpu_seconds(*command, cwd=tmp_path) / torch_alone)
        if ratios[-1] < 2.4:
            return
    pytest.fail(f"the command takes {ratios} times as long as `import torch`")


@pytest.mark.parametrize(("dim", "threads"), [(20, 1), (400, 2)])
def test_a_small_model_takes_one_thread_and_gives_the_others_back(
    explain, tmp_path, monkeypatch, dim, threads
):
    folder = write_checkpoint(tmp_path / "model", dim=dim, n_layers=1)
    seen = []
    monkeypatch.setattr(
        "minidistil.explainer.as_text.text_lines",
        lambda *_, **__: seen.append(torch.get_num_threads()) or 1 / 0,
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        explain("one", "--text", model=str(folder))
        assert seen == [threads]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# Errors


def test_a_text_is_asked_for(explain):
    assert_refused(explain(), "Missing argument 'TEXT...'", code=2)


def test_pairs_that_are_too_few_are_told(explain):
    result = explain("a", "b", "--pair", "c")
    assert_refused(result, "got 1 for 2, expected one for each")


def test_a_missing_checkpoint_is_told(explain, tmp_path):
    assert_refused(explain("a", model=str(tmp_path / "none")), str(tmp_path / "none"))


def test_a_revision_of_a_folder_is_refused(explain):
    assert_refused(explain("a", "--revision", "v1"), "'v1'")


def test_an_interrupted_or_failed_run_leaves_no_part_of_a_page(explain, monkeypatch):
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: 1 / 0)
    assert isinstance(explain("a").exception, ZeroDivisionError)
    assert names(explain.here) == []


# As a program


def test_help_needs_no_torch():
    program = (
        "import sys\n"
        "from minidistil.cli import main\n"
        "main(['explain', '--help'], standalone_mode=False)\n"
        "assert not {'torch', 'tokenizers', 'tqdm'} & {*sys.modules}\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    for option in ("--pair", "--output", "--open", "--text", "--patient", "--padded"):
        assert option in result.stdout


@pytest.mark.sample(1)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
@pytest.mark.parametrize("option", ["--text", "-opage.html"])
def test_progress_is_shown_on_a_terminal(tmp_path, option):
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [sys.executable, "-m", "minidistil", "explain", "-mtiny", "Bad", option]
    with os.fdopen(theirs, "wb") as terminal:
        subprocess.run(
            command,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=terminal,
            timeout=120,
            check=True,
        )
    shown = os.read(ours, 100_000)
    os.close(ours)
    assert b"attribution" in shown
    assert b"ablations" in shown
