"""The commands that read texts read tables too, and write them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from checkpoints import draw_lively, write_checkpoint
from commands import assert_refused, records, run as run_command
from safetensors.torch import load_file

from minidistil import pipeline

TEXTS = ["a good film", "Nobody liked its end , not even Ada", "far too long", "☕ \n"]
SECONDS = ["it was good", "the end", "the house", "it"]
MASKED = ["the [MASK] was good", "a [MASK] of [MASK]", "[MASK]", "its [MASK] end"]
QUESTIONS = ["Who liked it?", "What was long?", "Where was it?", "Why?"]
PROMPTS = ["The sky is", "It was", "A film is", "Nobody"]
CHOICES = [["blue.", "green."], ["good", "bad", "long"], ["a", "b"], ["x y", "z"]]
ASKED = ["How is it?", None, "What?", None]

# Each command: its head, its options, its columns, and what the pipeline is given.
ENTAILMENT = {0: "contradiction", 1: "entailment"}
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CASES = {
    "classify": {
        "task": "text-classification",
        "head": "SequenceClassification",
        "columns": {"text": TEXTS},
        "inputs": TEXTS,
        "answers": lambda found: {
            "label": [each["label"] for each in found],
            "score": [each["score"] for each in found],
        },
    },
    "classify -k 2": {
        "task": "text-classification",
        "head": "SequenceClassification",
        "columns": {"text": TEXTS},
        "inputs": TEXTS,
        "options": {"top_k": 2},
        "answers": lambda found: {
            "labels": [[one["label"] for one in each] for each in found],
            "scores": [[one["score"] for one in each] for each in found],
        },
    },
    "classify --second-column second": {
        "task": "text-classification",
        "head": "SequenceClassification",
        "columns": {"text": TEXTS, "second": SECONDS},
        "inputs": [
            {"text": first, "text_pair": second}
            for first, second in zip(TEXTS, SECONDS, strict=True)
        ],
        "answers": lambda found: {
            "label": [each["label"] for each in found],
            "score": [each["score"] for each in found],
        },
    },
    "answer": {
        "task": "question-answering",
        "head": "QuestionAnswering",
        "columns": {"question": QUESTIONS, "context": TEXTS},
        "inputs": [
            {"question": question, "context": context}
            for question, context in zip(QUESTIONS, TEXTS, strict=True)
        ],
        "answers": lambda found: {"answer": found},
    },
    "tag": {
        "task": "token-classification",
        "head": "TokenClassification",
        "columns": {"text": TEXTS},
        "inputs": TEXTS,
        "options": {"aggregation_strategy": "simple"},
        "answers": lambda found: {"entities": found},
    },
    "fill-mask -k 3": {
        "task": "fill-mask",
        "head": "MaskedLM",
        "columns": {"text": MASKED},
        "inputs": MASKED,
        "options": {"top_k": 3},
        "answers": lambda found: {
            "masks": [each if isinstance(each[0], list) else [each] for each in found]
        },
    },
    "zero-shot -l film,food": {
        "task": "zero-shot-classification",
        "head": "SequenceClassification",
        "columns": {"text": TEXTS},
        "inputs": TEXTS,
        "options": {"candidate_labels": "film,food"},
        "answers": lambda found: {
            "labels": [each["labels"] for each in found],
            "scores": [each["scores"] for each in found],
        },
    },
    "choose --question-column question": {
        "task": "multiple-choice",
        "head": "MultipleChoice",
        "columns": {"prompt": PROMPTS, "choices": CHOICES, "question": ASKED},
        "inputs": [
            {"prompt": prompt, "choices": choices, "question": question}
            for prompt, choices, question in zip(PROMPTS, CHOICES, ASKED, strict=True)
        ],
        "answers": lambda found: {"answers": found},
    },
    "embed": {
        "task": "sentence-embeddings",
        "head": None,
        "columns": {"text": TEXTS},
        "inputs": TEXTS,
        "answers": lambda found: {"vector": found.tolist()},
    },
    "features": {
        "task": "feature-extraction",
        "head": None,
        "columns": {"text": TEXTS},
        "inputs": TEXTS,
        "answers": lambda found: {"vectors": [vectors for (vectors,) in found]},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give the folder of a small model with a head."""
    made = {}

    def folder(head):
        if head not in made:
            labels = {
                "SequenceClassification": {"id2label": ENTAILMENT},
                "TokenClassification": {"id2label": dict(enumerate(LABELS))},
            }
            made[head] = write_checkpoint(
                tmp_path_factory.mktemp("model"),
                f"DistilBertFor{head}" if head else "DistilBertModel",
                draw=draw_lively,
                **labels.get(head, {}),
            )
        return str(made[head])

    return folder


@pytest.fixture
def run(folder):
    """Run a case's command with more arguments."""

    def run(case, *arguments, stdin=None):
        command, *options = case.split()
        head = CASES[case]["head"] if case in CASES else "MultipleChoice"
        model = folder(head)
        return run_command(command, "--model", model, *options, *arguments, stdin=stdin)

    return run


@pytest.fixture
def expected(folder):
    """The columns that a table has in the end: its own, and those of the answers."""

    def expected(case):
        made = CASES[case]
        pipe = pipeline(made["task"], folder(made["head"]))
        found = pipe(made["inputs"], **made.get("options", {}))
        return {**made["columns"], **made["answers"](found)}

    return expected


def as_rows(columns):
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*columns.values(), strict=True)
    ]


def write(path, columns):
    """Write a table with Python's own csv and json, or with pyarrow."""
    if path.name.endswith(".parquet"):
        pq.write_table(pa.table(columns), path)
        return path
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        lines = [json.dumps(row) + "\n" for row in as_rows(columns)]
        content = "".join(lines).encode()
    else:
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(columns)
        for row in as_rows(columns):
            rows.writerow(
                json.dumps(cell) if isinstance(cell, list) else cell
                for cell in row.values()
            )
        content = text.getvalue().encode()
    packed = path.name.endswith(".gz")
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def read(path):
    """Read a table with Python's own csv and json, or with pyarrow: columns of cells.

    Of CSV, a cell is text, or else JSON.
    """
    if path.name.endswith(".parquet") or path.is_dir():
        return pq.read_table(path).to_pydict()
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    if ".jsonl" in path.name:
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = [*csv.DictReader(io.StringIO(text, newline=""))]
    return {name: [row[name] for row in rows] for name in rows[0]}


def near(value):
    """The same, but for the last bits of its numbers."""
    if isinstance(value, float):
        return pytest.approx(value, abs=1e-5)
    if isinstance(value, dict):
        return {name: near(each) for name, each in value.items()}
    return [*map(near, value)] if isinstance(value, list) else value


def as_float32(value):
    """The value with its numbers as float32.

    Scores are computed in float32, and as such they are compared to the last bit.
    """
    if isinstance(value, float):
        return float(np.float32(value))
    if isinstance(value, dict):
        return {name: as_float32(each) for name, each in value.items()}
    return [*map(as_float32, value)] if isinstance(value, list) else value


def assert_same(found, expected):
    assert [*found] == [*expected]
    for name, cells in expected.items():
        some = [
            # Of CSV, what is no text is JSON.
            json.loads(cell)
            if isinstance(cell, str) and not isinstance(example, str | None)
            else cell or None
            for cell, example in zip(found[name], cells, strict=True)
        ]
        assert as_float32(some) == as_float32([cell or None for cell in cells]), name


# Tables to tables

FORMS = [
    ("in.csv", "out.jsonl"),
    ("in.parquet", "out.parquet"),
    ("in.jsonl", "out.csv"),
    ("in.jsonl.gz", "out.jsonl.gz"),
    ("in.csv", "parts/"),
]


@pytest.mark.sample(12)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("source", "target"), FORMS)
def test_a_table_gets_the_answers_of_the_pipeline(
    run, expected, tmp_path, case, source, target
):
    file = write(tmp_path / source, CASES[case]["columns"])
    result = run(case, "--file", file, "-o", f"{tmp_path}/{target}")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path}/{target}: 4 rows\n"
    assert result.stderr == ""
    assert_same(read(tmp_path / target), expected(case))


@pytest.mark.sample(4)
@pytest.mark.parametrize("case", CASES)
def test_json_lines_of_all_columns_go_to_standard_output(run, expected, tmp_path, case):
    file = write(tmp_path / "in.parquet", CASES[case]["columns"])
    result = run(case, "--file", file, "-o", "-")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    (tmp_path / "out.jsonl").write_bytes(result.stdout_bytes)
    assert_same(read(tmp_path / "out.jsonl"), expected(case))


def test_other_columns_stand_before_the_answers_as_they_were(run, expected, tmp_path):
    columns = {"id": ["007", "8", "", "9"], "text": TEXTS, "more": SECONDS}
    file = write(tmp_path / "in.csv", columns)
    assert run("classify", "-f", file, "-o", tmp_path / "out.csv").exit_code == 0
    answers = expected("classify")
    del answers["text"]
    assert_same(read(tmp_path / "out.csv"), columns | answers)


def test_the_columns_can_have_other_names(run, expected, tmp_path):
    columns = {"q": QUESTIONS, "text": SECONDS, "c": TEXTS, "answer": QUESTIONS}
    file = write(tmp_path / "in.parquet", columns)
    chosen = ["--column", "q", "--context-column", "c", "--prefix", "new_"]
    result = run("answer", "-f", file, *chosen, "-o", tmp_path / "out.parquet")
    assert result.exit_code == 0, result.output
    found = expected("answer")["answer"]
    assert_same(read(tmp_path / "out.parquet"), columns | {"new_answer": found})


def test_many_files_are_one_table(run, expected, tmp_path):
    for place, text in enumerate(TEXTS):
        write(tmp_path / f"{place}.csv", {"text": [text]})
    each = [item for place in range(4) for item in ("-f", tmp_path / f"{place}.csv")]
    for source in (["-f", tmp_path / "*.csv"], ["-f", f"{tmp_path}/"], each):
        result = run("classify", *source, "-o", "-")
        assert result.exit_code == 0, result.output
        rows = as_rows(expected("classify"))
        assert records(result) == rows, source


# Lines to tables


@pytest.mark.sample(6)
@pytest.mark.parametrize("name", ["lines.txt", "lines", "-", None, "TEXT"])
@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_lines_of_text_become_a_table(run, folder, tmp_path, name, target):
    texts = ["a good film", "it was far too long", "☕"]
    lines = "\n".join(texts).encode()
    given, stdin = [], None
    if name == "TEXT":
        given = texts
    elif name in ("-", None):
        given, stdin = ["--file", "-"] if name else [], lines
    else:
        (tmp_path / name).write_bytes(lines)
        given = ["--file", tmp_path / name]
    result = run("classify", *given, "-o", tmp_path / target, stdin=stdin)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / target}: 3 rows\n"
    found = pipeline("text-classification", folder("SequenceClassification"))(texts)
    columns = {"text": texts, **CASES["classify"]["answers"](found)}
    assert_same(read(tmp_path / target), columns)


# Tables that are printed

PLAIN = {
    "classify": TEXTS,
    "classify -k 2": TEXTS,
    "tag": TEXTS,
    "fill-mask -k 3": MASKED,
    "zero-shot -l film,food": TEXTS,
}


@pytest.mark.sample(8)
@pytest.mark.parametrize("case", PLAIN)
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["lines", "json"])
def test_a_table_is_printed_as_its_texts_are(run, tmp_path, case, name, form):
    texts = PLAIN[case]
    file = write(tmp_path / name, {"other": SECONDS, "text": texts})
    result = run(case, "--file", file, *form)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    plain = run(case, *texts, *form)
    if form:  # computed with others: the last bits may be other ones
        assert records(result) == near(records(plain))
    else:
        assert result.stdout == plain.stdout


def test_several_files_of_lines_are_a_table_too(run, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"a good film\n\n{name}\n")
    result = run("classify", "-f", tmp_path / "a.txt", "-f", tmp_path / "b.txt")
    assert result.exit_code == 0, result.output
    shown = [line.split("  ")[-1] for line in result.stdout.splitlines()]
    assert shown == ["a good film", "null", "a.txt", "a good film", "null", "b.txt"]


@pytest.mark.parametrize("case", ["embed", "features"])
def test_the_vectors_of_a_table_are_printed(run, expected, tmp_path, case):
    file = write(tmp_path / "in.csv", {"text": TEXTS})
    found = records(run(case, "--file", file, "--json"))
    columns = {name: [each[name] for each in found] for name in found[0]}
    assert_same(columns, expected(case))


def test_pairs_of_a_table_are_printed_as_pairs_are(run, tmp_path):
    columns = CASES["classify --second-column second"]["columns"]
    file = write(tmp_path / "in.csv", columns)
    pairs = map("\t".join, zip(TEXTS, SECONDS, strict=True))
    for form in ([], ["--json"]):
        table = run("classify", "-f", file, "--second-column", "second", *form)
        assert table.stdout == run("classify", "--pairs", *pairs, *form).stdout
        pairs = map("\t".join, zip(TEXTS, SECONDS, strict=True))


def test_questions_of_a_table_are_answered_as_questions_are(run, tmp_path):
    columns = {"question": QUESTIONS, "context": [TEXTS[1]] * 4}
    file = write(tmp_path / "in.csv", columns)
    for form in ([], ["--json"], ["-k", "3"]):
        table = run("answer", "-f", file, *form)
        assert table.exit_code == 0, table.output
        alone = run("answer", *QUESTIONS, "-c", TEXTS[1], *form)
        assert table.stdout == alone.stdout


@pytest.mark.parametrize("name", ["in.parquet", "in.jsonl", "in.csv"])
def test_prompts_of_a_table_are_shown_as_those_of_json_are(run, tmp_path, name):
    columns = CASES["choose --question-column question"]["columns"]
    lines = "".join(json.dumps(row) + "\n" for row in as_rows(columns))
    file = write(tmp_path / name, columns)
    for form in ([], ["--json"]):
        alone = run("choose", *form, stdin=lines)
        # The column is found by its name, too.
        for case in ("choose", "choose --question-column question"):
            table = run(case, "-f", file, *form)
            assert table.exit_code == 0, table.output
            assert table.stdout == alone.stdout


def test_json_lines_of_prompts_are_answered_line_by_line_as_ever(run, tmp_path):
    """Also with an empty prompt, and with a key in some lines alone."""
    lines = (
        '{"prompt": "", "choices": ["good", "bad"]}\n'
        '{"prompt": "It was", "choices": ["good", "bad"], "question": "How?"}\n'
    )
    (tmp_path / "in.jsonl").write_text(lines)
    for form in ([], ["--json"]):
        result = run("choose", "-f", tmp_path / "in.jsonl", *form)
        assert result.exit_code == 0, result.output
        assert result.stdout == run("choose", *form, stdin=lines).stdout


@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in.jsonl"])
def test_words_of_a_table_are_tagged_as_words_are(run, tmp_path, name):
    given = [["Ada", "lived in", "London"], ["a", "film"]]
    file = write(tmp_path / name, {"text": given})
    options = ["--words", "--aggregation", "none", "--ignore", "X"]
    table = run("tag", "-f", file, *options)
    assert table.exit_code == 0, table.output
    plain = run("tag", *options, "--delimiter", "|", *map("|".join, given))
    assert table.stdout == plain.stdout


# Rows without an answer


@pytest.fixture
def holes(tmp_path):
    """A table with a null, an empty text, and in JSON a number."""
    path = tmp_path / "holes.jsonl"
    rows = [{"text": "a good film"}, {"text": None}, {"text": " "}, {"text": 7}, {}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_row_without_an_answer_is_null_and_counted(run, tmp_path, holes):
    target = tmp_path / "out.jsonl"
    result = run("classify", "-f", holes, "--on-error", "null", "-o", target)
    assert result.exit_code == 0, result.output
    counted = "5 rows, 3 without a text, 1 failed"
    assert result.stdout == f"{target}: {counted}\n"
    assert f"Warning: {holes}, row 4" in result.stderr
    assert "is 7" in result.stderr
    labels = [json.loads(line)["label"] for line in target.read_text().splitlines()]
    assert [each is None for each in labels] == [False, True, True, True, True]


def test_a_row_without_an_answer_is_printed_as_null(run, holes):
    result = run("classify", "-f", holes, "--on-error", "null")
    assert result.exit_code == 0, result.output
    first, *others = result.stdout.splitlines()
    assert first.endswith("  a good film")
    assert others == ["null", "null", "null  7", "null"]
    assert "5 rows, 3 without a text, 1 failed" in result.stderr
    found = records(run("classify", "-f", holes, "--on-error", "null", "--json"))
    assert [each["text"] for each in found] == ["a good film", None, " ", 7, None]
    assert found[3] == {"text": 7, "label": None, "score": None}


@pytest.mark.sample(5)
@pytest.mark.parametrize("case", CASES)
def test_every_command_prints_a_row_without_an_answer(run, tmp_path, case):
    columns = {name: [None] * 4 for name in CASES[case]["columns"]}
    file = write(tmp_path / "in.jsonl", columns)
    for form in ([], ["--json"]):
        if case in ("embed", "features") and not form:
            continue
        result = run(case, "-f", file, *form)
        assert result.exit_code == 0, result.output
        assert "4 rows, 4 without a text" in result.stderr
        for line in result.stdout.splitlines():
            if form:
                assert {*json.loads(line).values()} == {None}
            else:
                assert line == "null"
        assert len(result.stdout.splitlines()) == 4


def test_a_row_that_cannot_be_answered_stops_unless_told(run, holes, tmp_path):
    for more in (["-o", tmp_path / "out.jsonl"], ["-o", "-"], []):
        assert_refused(run("classify", "-f", holes, *more), f"{holes}, row 4", "is 7")


def test_strict_makes_a_row_without_a_text_an_error(run, holes, tmp_path):
    for more in (["-o", tmp_path / "out.jsonl"], ["-o", "-"], ["--json"]):
        result = run("classify", "-f", holes, "--strict", *more)
        assert_refused(result, f"{holes}, row 2", "no text")


# Vectors alone


def test_the_vectors_of_a_table_can_have_a_file_of_their_own(run, expected, tmp_path):
    file = write(tmp_path / "in.parquet", {"body": TEXTS})
    vectors = torch.tensor(expected("embed")["vector"])
    result = run("embed", "-f", file, "--column", "body", "-o", tmp_path / "v.npy")
    assert result.stdout == f"{tmp_path / 'v.npy'}: 4 vectors of 20 numbers\n"
    assert torch.equal(torch.from_numpy(np.load(tmp_path / "v.npy")), vectors)
    target = tmp_path / "v.safetensors"
    run("embed", "-f", file, "--column", "body", "-o", target)
    assert torch.equal(load_file(target)["embeddings"], vectors)
    run("features", "-f", file, "--column", "body", "-o", target)
    found = load_file(target)
    for place, some in enumerate(expected("features")["vectors"]):
        assert torch.equal(found[str(place)], torch.tensor(some))


@pytest.mark.parametrize("command", ["embed", "features"])
def test_a_file_of_vectors_has_no_place_for_a_null(run, tmp_path, command):
    file = write(tmp_path / "in.csv", {"text": ["a film", "", "good"]})
    target = tmp_path / "v.safetensors"
    result = run(command, "-f", file, "-o", target)
    assert_refused(result, f"{file}, row 2", "no text")
    assert not target.exists()


# Mistakes


@pytest.mark.parametrize(
    ("case", "arguments", "said"),
    [
        ("classify", ["-f", "in.csv", "-o", "x.csv", "--json"], "or --json, not both"),
        ("classify", ["-f", "in.csv", "a text"], "or --file, not both"),
        ("classify", ["a text", "--column", "text"], "--column goes with a table"),
        ("classify", ["a", "-o", "x.csv", "--column", "text"], "--column goes with"),
        ("classify", ["a text", "--strict"], "--strict goes with a table"),
        ("classify", ["a text", "--on-error", "null"], "--on-error goes with a table"),
        ("classify", ["a text", "--restart"], "--restart goes with a file"),
        ("classify", ["-f", "in.csv", "--restart"], "--restart goes with a file"),
        ("classify", ["-f", "in.csv", "-o", "-", "--restart"], "--restart goes with"),
        ("classify", ["-f", "in.csv", "--prefix", "x"], "--prefix goes with --output"),
        ("classify", ["-f", "x.txt", "--column", "x"], "--column goes with a table"),
        ("classify", ["--pairs", "-f", "in.csv"], "--pairs"),
        ("classify", ["--pairs", "a\tb", "-o", "x.csv"], "--pairs"),
        ("answer", ["-f", "lines.txt"], "give QUESTIONS, or a table of them"),
        ("answer", ["Who?", "-f", "in.csv", "-o", "x.csv"], "without QUESTIONS"),
        ("answer", ["Who?", "-c", "a", "--column", "x"], "--column goes with a table"),
        ("answer", ["-c", "a", "-f", "in.csv"], "--context or --file, not both"),
        ("choose --question-column question", ["a", "b", "c"], "goes with a table"),
        ("choose", ["a", "b", "c", "-o", "x.csv"], "or --file, not both"),
        ("choose", ["-o", "x.csv"], "give a table (--file)"),
        ("embed", ["-f", "in.csv"], "give --output or --json"),
        ("embed", ["-f", "in.csv", "-o", "v.npy", "--prefix", "x"], "--prefix goes"),
        ("features", ["-f", "in.csv", "-o", "v.safetensors", "--restart"], "--restart"),
        ("embed", ["-f", "lines.txt", "-o", "v.npy", "--strict"], "--strict goes with"),
        ("embed", ["-f", "lines.txt", "-o", "v.npy", "--column", "x"], "--column goes"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(
    run, tmp_path, monkeypatch, case, arguments, said
):
    monkeypatch.chdir(tmp_path)
    write(Path("in.csv"), CASES["classify"]["columns"])
    Path("lines.txt").write_text("a\nb\n")
    assert_refused(run(case, *arguments), said, code=2)
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "lines.txt"}


MISTAKES = {
    "no such file": (["-f", "no.csv", "-o", "x.csv"], ["no.csv"], 2),
    "no such folder": (["-f", "no/*.csv", "-o", "x.csv"], ["no/*.csv"], 2),
    "an ending": (["-f", "in.csv", "-o", "x.pt"], ["x.pt", ".parquet"], 1),
    "text": (["-f", "in.csv", "-o", "x.txt"], ["x.txt"], 1),
    "a full folder": (["-f", "in.csv", "-o", "full/"], ["full"], 1),
    "the same file": (["-f", "in.csv", "-o", "./in.csv"], ["in.csv"], 1),
    "a column": (
        ["-f", "in.csv", "--column", "txt", "-o", "x.csv"],
        ["'txt'", "did you mean 'text'", "--column"],
        1,
    ),
    "a column that is printed": (["-f", "in.csv", "--column", "no"], ["'no'"], 1),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_shows_before_a_model_is_looked_for(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(Path("in.csv"), CASES["classify"]["columns"])
    before = Path("in.csv").read_bytes()
    Path("full").mkdir()
    Path("full/file").write_text("mine")
    arguments, said, code = MISTAKES[name]
    result = run_command("classify", "--model", "no/such/", *arguments)
    assert_refused(result, *said, code=code)
    assert "no/such" not in result.stderr
    assert len(result.stderr.splitlines()) <= 4  # of which three are click's
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "full"}
    assert Path("in.csv").read_bytes() == before


def test_a_name_that_is_taken_is_an_error_that_says_how_to_rename(run, tmp_path):
    file = write(tmp_path / "in.csv", {"text": TEXTS, "label": SECONDS})
    for target in ("out.csv", "out.parquet", "-"):
        result = run("classify", "-f", file, "-o", target)
        assert_refused(result, "'label'", "--prefix")
    target = tmp_path / "out.csv"
    assert run("classify", "-f", file, "-o", target, "--prefix", "my_").exit_code == 0
    assert [*read(target)] == ["text", "label", "my_label", "my_score"]


def test_quotes_are_characters_where_it_is_said(run, tmp_path):
    file = tmp_path / "in.tsv"
    file.write_text('text\tid\n"good " he said\t1\n" bad\t2\n')
    assert_refused(run("classify", "-f", file), "row 2: a quote", "--no-quotes")
    assert run("classify", "-f", file, "-o", tmp_path / "out.csv").exit_code
    done = run("classify", "-f", file, "--no-quotes", "-o", tmp_path / "out.csv")
    assert done.exit_code == 0, done.output
    assert read(tmp_path / "out.csv")["text"] == ['"good " he said', '" bad']
    assert_refused(run("classify", "--no-quotes", "a text"), "--file", code=2)


def test_a_malformed_row_is_named(run, tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "a"}\n{"text": \n')
    for target in (tmp_path / "out.csv", "-"):
        result = run("classify", "-f", file, "-o", target)
        assert_refused(result, f"{file}, row 2")


def test_without_pyarrow_lines_and_json_are_all_that_is_needed(tmp_path):
    """In a process of its own: here pyarrow is imported already."""
    (tmp_path / "in.jsonl").write_text('{"text": "Not bad", "id": 7}\n')
    (tmp_path / "in.csv").write_text("text\nNot bad\n")
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from minidistil.cli import main\n"
        "main(['classify', '-m', 'tiny', *sys.argv[1:]])"
    )

    def run(*arguments):
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, cwd=tmp_path
        )

    done = run("-f", "in.jsonl", "-o", "out.jsonl.gz")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = as_rows(read(tmp_path / "out.jsonl.gz"))
    assert [*row] == ["text", "id", "label", "score"]
    done = run("-f", "in.csv", "-o", "out.jsonl")
    assert done.returncode == 1
    assert 'pip install "minidistil[tables]"' in done.stderr
    assert "Traceback" not in done.stderr
