"""``minidistil answer``."""

from __future__ import annotations

import pytest
from checkpoints import draw_lively, write_checkpoint
from commands import assert_refused, records, run as run_command, run_program

from minidistil import pipeline
from minidistil.pipelines.question_answering import DEFAULT_MODEL, DEFAULT_REVISION

QUESTION = "Where was it?"
CONTEXT = "The film was  good,\nbut ☕ its end was far too long. Nobody liked it."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    head = "DistilBertForQuestionAnswering"
    return str(write_checkpoint(folder, head, draw=draw_lively))


@pytest.fixture(scope="module")
def pipe(folder):
    return pipeline("question-answering", folder)


@pytest.fixture
def run(folder):
    def run(*arguments, stdin=None):
        return run_command("answer", "--model", folder, *arguments, stdin=stdin)

    return run


def line(answer):
    words = " ".join(answer["answer"].split())
    return f"{answer['score']:.4f}  {answer['start']}-{answer['end']}  {words}"


def test_each_answer_gets_a_line(run, pipe):
    result = run(QUESTION, "-c", CONTEXT)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [line(pipe(QUESTION, CONTEXT))]
    several = run(QUESTION, "Who?", "-c", CONTEXT, "-k", "3").stdout.splitlines()
    assert several == [
        line(answer)
        for question in (QUESTION, "Who?")
        for answer in pipe(question, CONTEXT, top_k=3)
    ]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "with a mark"])
def test_the_context_is_a_file_or_standard_input(run, tmp_path, mark):
    expected = run(QUESTION, "-c", CONTEXT).stdout
    file = tmp_path / "context.txt"
    file.write_text(mark + CONTEXT, "utf-8")
    assert run(QUESTION, "--file", str(file)).stdout == expected
    assert run(QUESTION, "--file", "-", stdin=mark + CONTEXT).stdout == expected
    assert run(QUESTION, stdin=mark + CONTEXT).stdout == expected


@pytest.mark.parametrize("count", ["1", "3"])
def test_json_has_a_list_of_answers_for_each_question(run, pipe, count):
    result = run(QUESTION, "Who ☕?", "-c", CONTEXT, "-k", count, "--json")
    found = records(result)
    assert [record["question"] for record in found] == [QUESTION, "Who ☕?"]
    for record in found:
        expected = pipe(record["question"], CONTEXT, top_k=int(count))
        expected = expected if isinstance(expected, list) else [expected]
        assert record["answers"] == [
            answer | {"score": pytest.approx(answer["score"], abs=1e-5)}
            for answer in expected
        ]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--max-answer-len", "1"], {"max_answer_len": 1}),
        (["--impossible", "-k", "9"], {"handle_impossible_answer": True, "top_k": 9}),
        (
            ["--max-seq-len", "14", "--doc-stride", "3", "-k", "9"],
            {"max_seq_len": 14, "doc_stride": 3, "top_k": 9},
        ),
        (["--precision", "int8"], {}),
    ],
    ids=str,
)
def test_the_options_reach_the_pipeline(run, pipe, folder, arguments, options):
    if "int8" in arguments:
        pipe = pipeline("question-answering", folder, precision="int8")
    expected = pipe(QUESTION, CONTEXT, **options)
    expected = expected if isinstance(expected, list) else [expected]
    result = run(QUESTION, "-c", CONTEXT, *arguments)
    assert result.stdout.splitlines() == [line(answer) for answer in expected]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        ([QUESTION, "-c", "a", "--file", "-"], "--context or --file, not both", 2),
        (["-c", "a"], "QUESTIONS", 2),
        ([QUESTION, "-c", ""], "context is empty", 1),
        (["", "-c", "a"], "question is empty", 1),
        ([QUESTION, "-c", "a", "-k", "0"], "top-k", 2),
        (["the " * 60, "-c", "a"], "leaves no room", 1),
    ],
    ids=str,
)
def test_a_mistake_is_one_clear_error(run, arguments, message, code):
    result = run(*arguments)
    assert_refused(result, message, code=code)
    assert result.stdout == ""


def test_a_context_that_is_not_utf8_is_refused(run):
    result = run(QUESTION, stdin=b"caf\xe9 latin")
    assert_refused(result, "the text is not UTF-8 (invalid continuation byte, byte 4)")


def test_offline_the_error_names_the_command_that_helps(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    result = run_program("answer", QUESTION, "-c", "a", text=True)
    assert result.returncode == 1
    assert f"hf download {DEFAULT_MODEL} --revision {DEFAULT_REVISION}" in result.stderr
    assert "--model tiny" not in result.stderr


@pytest.mark.parametrize(
    ("command", "works"),
    [("answer", False), ("tag", False), ("classify", True), ("embed", True)],
)
def test_the_model_in_the_package_is_offered_where_it_works(command, works):
    help_text = run_command(command, "--help").stdout
    assert ("'tiny'" in help_text) is works
