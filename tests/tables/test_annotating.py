"""Tables through a pipeline: the answers of a list, and on where a run was stopped."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from minidistil import pipeline
from minidistil.tables import annotating
from minidistil.tables.annotating import annotate, answered, parts
from minidistil.tables.answering import Answering
from minidistil.tables.rows import LineRows, TableError
from minidistil.tables.sources import lines_of, open_source

PROGRAM = Path(__file__).parents[1] / "helpers" / "stopped_annotations.py"
TEXTS = ["Not bad", "I hate this so much!", None, " ", 'He said "no",\nand left']


@pytest.fixture(scope="module")
def classify():
    return pipeline("text-classification", model="tiny")


def table_of(texts) -> pa.Table:
    numbers = pa.array(range(len(texts)), pa.int16())
    return pa.table({"number": numbers, "text": pa.array(texts, pa.string())})


def written(folder: Path, texts=TEXTS) -> Path:
    file = folder / "in.parquet"
    pq.write_table(table_of(texts), file)
    return file


def many(count: int) -> list[str]:
    chance = random.Random(count)
    words = [
        "a",
        "the",
        "film",
        "was",
        "is",
        "not",
        "good",
        "bad",
        "very",
        "dull",
        "fun",
    ]
    return [
        " ".join(chance.choices(words, k=chance.randint(1, 12))) for _ in range(count)
    ]


# What is written


def test_the_answers_are_those_of_a_list_and_the_columns_are_kept(classify, tmp_path):
    source, target = written(tmp_path), tmp_path / "out.parquet"
    summary = annotate(classify, source, target)
    assert (summary.rows, summary.computed, summary.empty) == (5, 5, 2)
    rows = pq.read_table(target)
    assert rows.drop(["label", "score"]) == table_of(TEXTS)
    with_text = [text for text in TEXTS if text and text.strip()]
    found = [row for row in rows.to_pylist() if row["label"]]
    assert [row["text"] for row in found] == with_text
    assert [{"label": r["label"], "score": r["score"]} for r in found] == classify(
        with_text
    )


@pytest.mark.parametrize("name", ["out.csv", "out.tsv.gz", "out.jsonl.zst"])
def test_every_format_has_the_same_answers(classify, tmp_path, name):
    source = written(tmp_path)
    annotate(classify, source, tmp_path / "out.parquet")
    annotate(classify, source, tmp_path / name)
    expected = pq.read_table(tmp_path / "out.parquet").to_pylist()
    with pa.input_stream(str(tmp_path / name), compression="detect") as stream:
        content = stream.read()
    if "jsonl" in name:
        found = [json.loads(line) for line in content.splitlines()]
    else:
        found = pyarrow.csv.read_csv(
            io.BytesIO(content),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter="\t" if "tsv" in name else ",", newlines_in_values=True
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        ).to_pylist()
    assert found == expected


def test_a_stream_gets_lines_of_json(classify, tmp_path):
    stream = io.BytesIO()
    annotate(classify, written(tmp_path), stream)
    annotate(classify, written(tmp_path), tmp_path / "out.jsonl")
    assert stream.getvalue() == (tmp_path / "out.jsonl").read_bytes()


def test_a_folder_gets_parts(classify, tmp_path, monkeypatch):
    monkeypatch.setattr(annotating, "ROWS", 2)
    source = written(tmp_path)
    annotate(classify, source, f"{tmp_path}/parts/")
    annotate(classify, source, tmp_path / "out.parquet")
    files = sorted((tmp_path / "parts").iterdir())
    assert len(files) == 3
    whole = pa.concat_tables(map(pq.read_table, files))
    assert whole == pq.read_table(tmp_path / "out.parquet")


def test_options_of_the_call_and_of_the_reading_are_told_apart(classify, tmp_path):
    target = tmp_path / "out.jsonl"
    annotate(classify, written(tmp_path), target, top_k=2, prefix="ai_")
    first = json.loads(target.read_text("utf-8").splitlines()[0])
    assert [*first] == ["number", "text", "ai_labels", "ai_scores"]
    assert len(first["ai_labels"]) == 2
    with pytest.raises(TypeError, match="no argument 'topk'; did you mean 'top_k'"):
        annotate(classify, written(tmp_path), target, topk=2)


@pytest.mark.parametrize("target", ["out.jsonl", "out.csv", "out.parquet"])
def test_a_name_that_a_late_row_has_is_an_error_and_no_second_key(
    classify, tmp_path, monkeypatch, target
):
    monkeypatch.setattr(annotating, "ROWS", 2)
    rows = [{"text": "good"}] * 4 + [{"text": "bad", "score": 1}]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    with pytest.raises(ValueError, match=r"'score' already.*choose a prefix"):
        annotate(classify, source, tmp_path / target)
    assert annotate(classify, source, tmp_path / target, prefix="ai_", restart=True)


# What is computed together


@given(
    st.lists(st.integers(0, 60), max_size=60),
    st.lists(st.integers(1, 9), min_size=1, max_size=9),
)
def test_where_a_part_ends_depends_on_the_rows_alone(sizes, pieces):
    """Not on how many are read at a time."""

    class Sized:
        def size(self, rows):
            return [each["size"] for each in rows.objects]

    rows = [{"size": size, "number": i} for i, size in enumerate(sizes)]

    def read(lengths):
        start = 0
        for length in lengths:
            some = rows[start : start + length]
            if some:
                yield LineRows("file", range(start, start + len(some)), some)
            start += length

    def ends(lengths):
        found = parts(read(lengths), Sized(), 100)  # type: ignore[arg-type]
        return [
            [each["number"] for one in part for each in one.objects] for part in found
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annotating, "ROWS", 7)
        alone = ends([1] * len(rows))
        assert ends([*pieces] * (1 + len(rows))) == alone
    assert [number for part in alone for number in part] == [*range(len(rows))]
    for part in alone:
        total = [sizes[number] for number in part]
        assert len(part) <= 7
        assert sum(total[:-1]) < 100


def test_parts_are_answered_as_they_come(classify, tmp_path, monkeypatch):
    monkeypatch.setattr(annotating, "ROWS", 2)
    found = answered(classify, written(tmp_path))
    pieces, first = next(found)
    assert sum(map(len, pieces)) == len(first.answers) == 2


def test_rows_that_are_too_long_are_warned_of_once_and_counted(
    classify, tmp_path, monkeypatch
):
    monkeypatch.setattr(annotating, "ROWS", 4)
    source = written(tmp_path, [600 * "long ", "short"] * 6)
    with pytest.warns(UserWarning, match="too long|longer than") as warned:
        summary = annotate(classify, source, tmp_path / "out.jsonl")
    assert summary.truncated == 6
    first, last = (str(each.message) for each in warned)
    assert first.startswith("a row is longer than the model can read")
    assert last.startswith("6 of the rows that were read were too long")


# On where a run was stopped


def stopped_after_one_part(classify, monkeypatch, source, target, **options):
    """Leave a run that was stopped when its first part was done."""
    real, calls = Answering.answer, []

    def answer(self, pieces):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, pieces)

    with monkeypatch.context() as patch:
        patch.setattr(annotating, "ROWS", 2)
        patch.setattr(Answering, "answer", answer)
        with pytest.raises(KeyboardInterrupt):
            annotate(classify, source, target, **options)


@pytest.fixture
def two_rows(monkeypatch):
    monkeypatch.setattr(annotating, "ROWS", 2)


def test_a_run_goes_on_without_computing_again(
    classify, tmp_path, monkeypatch, two_rows
):
    source, target = written(tmp_path), tmp_path / "out.csv"
    annotate(classify, source, tmp_path / "undisturbed.csv")
    stopped_after_one_part(classify, monkeypatch, source, target)
    assert not target.exists()
    summary = annotate(classify, source, target)
    assert (summary.rows, summary.computed) == (5, 3)
    assert target.read_bytes() == (tmp_path / "undisturbed.csv").read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "in.parquet",
        "out.csv",
        "undisturbed.csv",
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"top_k": 2}, r"options\.top_k was 'best', and is 2 now"),
        ({"prefix": "new_"}, r"prefix was '', and is 'new_' now"),
        ({"truncation": "head"}, r"options\.truncation was None, and is 'head' now"),
    ],
    ids=["top_k", "prefix", "truncation"],
)
def test_other_options_are_named(
    classify, tmp_path, monkeypatch, two_rows, change, named
):
    source, target = written(tmp_path), tmp_path / "out.jsonl"
    stopped_after_one_part(classify, monkeypatch, source, target)
    with pytest.raises(TableError, match=named):
        annotate(classify, source, target, **change)
    assert annotate(classify, source, target, restart=True, **change).computed == 5


def test_another_input_is_named(classify, tmp_path, monkeypatch, two_rows):
    source, target = written(tmp_path), tmp_path / "out.jsonl"
    stopped_after_one_part(classify, monkeypatch, source, target)
    written(tmp_path, [*TEXTS, "more"])
    with pytest.raises(TableError, match=r"in\.parquet was another: \d+ bytes then"):
        annotate(classify, source, target)


def test_the_same_file_without_quotes_is_another_input(
    classify, tmp_path, monkeypatch, two_rows
):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\n" + '"Not bad"\n' * 5)
    stopped_after_one_part(classify, monkeypatch, source, target)
    plain = open_source(source, quotes=False)
    with pytest.raises(TableError, match=r"in\.csv was another: read with quotes"):
        annotate(classify, plain, target)
    annotate(classify, plain, target, restart=True)
    found = pyarrow.csv.read_csv(target)
    assert found["text"].to_pylist() == ['"Not bad"'] * 5


def test_a_model_that_was_trained_again_is_another(tmp_path, monkeypatch, two_rows):
    from minidistil import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained("tiny")
    pipe = pipeline(model=model, tokenizer=AutoTokenizer.from_pretrained("tiny"))
    source, target = written(tmp_path), tmp_path / "out.jsonl"
    stopped_after_one_part(pipe, monkeypatch, source, target)
    model.classifier.bias.data += 0.5
    with pytest.raises(TableError, match="answers a sentence with other numbers"):
        annotate(pipe, source, target)


def test_a_stream_that_was_stopped_cannot_go_on(
    classify, tmp_path, monkeypatch, two_rows
):
    def lines():
        return lines_of(io.BytesIO(b"good\nbad\ndull\n"), "standard input")

    target = tmp_path / "out.jsonl"
    stopped_after_one_part(classify, monkeypatch, lines(), target)
    with pytest.raises(TableError, match="can be read once only"):
        annotate(classify, lines(), target)
    assert annotate(classify, lines(), target, restart=True).computed == 3


def test_a_target_that_is_read_is_refused(classify, tmp_path):
    source = written(tmp_path)
    before = source.read_bytes()
    with pytest.raises(ValueError, match="is read and cannot be written"):
        annotate(classify, source, source)
    assert source.read_bytes() == before


def test_a_second_run_is_refused_while_the_first_one_writes(classify, tmp_path):
    source, target = written(tmp_path, many(600)), tmp_path / "out.jsonl"
    entered, leave = threading.Event(), threading.Event()
    real = Answering.answer

    def answer(self, pieces):
        entered.set()
        leave.wait(60)
        return real(self, pieces)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Answering, "answer", answer)
        first = threading.Thread(target=annotate, args=(classify, source, target))
        first.start()
        entered.wait(60)
        with pytest.raises(TableError, match="being written by another run"):
            annotate(classify, source, target)
        leave.set()
        first.join()
    assert len(target.read_text("utf-8").splitlines()) == 600


def test_threads_write_tables_of_their_own(classify, tmp_path):
    source = written(tmp_path, many(300))
    targets = [tmp_path / f"{i}.csv" for i in range(4)]
    threads = [
        threading.Thread(target=annotate, args=(classify, source, target))
        for target in targets
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    first, *others = (target.read_bytes() for target in targets)
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    "kills", [4, pytest.param(50, marks=pytest.mark.full)], ids=str
)
def test_killed_at_random_moments_the_result_is_the_same(tmp_path, kills):
    report = tmp_path / "report.json"
    subprocess.run([sys.executable, PROGRAM, tmp_path, str(kills), report], check=True)
    found = json.loads(report.read_text("utf-8"))
    assert found["killed"] == kills  # else the test has tested nothing
    assert found["wrong"] == []
    assert found["left"] == []
    # Each kill costs at most the part that was being computed.
    assert found["computed"] <= found["parts"] + found["killed"]
