"""`scripts/benchmark`, with a small checkpoint and few texts."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from programs import SCRIPTS

from minidistil import DistilBertTokenizer

FOLDER = SCRIPTS / "benchmark"
SMALL = {"n_layers": 2, "dim": 64, "n_heads": 4, "hidden_dim": 128}
PAIR = ("--only", "minidistil engine, float32", "--only", "transformers model, float32")


@pytest.fixture(scope="module")
def parts():
    """The benchmark's modules, by their names, and "main"."""
    names = [path.stem for path in FOLDER.glob("*.py") if path.stem != "__main__"]
    names.remove("child")
    sys.path.insert(0, str(FOLDER))
    try:
        modules = {name: importlib.import_module(name) for name in names}
        where = FOLDER / "__main__.py"
        spec = importlib.util.spec_from_file_location("benchmark", where)
        main = importlib.util.module_from_spec(spec)
        sys.modules["benchmark"] = main
        spec.loader.exec_module(main)
        yield SimpleNamespace(**modules, main=main)
    finally:
        sys.path.remove(str(FOLDER))
        for name in (*names, "benchmark"):
            sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What the program sets for its own process is not for the next test."""
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    parts.contestant.write_checkpoint(folder, **SMALL, initializer_range=0.2)
    return folder


@pytest.fixture(scope="module")
def work(parts):
    writer = parts.workloads.Writer(1)
    return writer.read("sentences", writer.sentences(48))


@pytest.fixture(scope="module")
def expected(parts, folder, work):
    return parts.agreement.reference(folder, [work])


@pytest.fixture
def few(parts, monkeypatch):
    """A run that is over soon."""
    counts = {"sentences": 40, "reviews": 6}
    scale = parts.main.Scale(counts, 2, 60.0, rounds=2, rests=1, lines=(2, 4))
    monkeypatch.setattr(parts.main, "scale", lambda place, quick: scale)
    monkeypatch.setattr(parts.main, "LENGTHS", [8, 16, 32, 48])


def run(parts, *arguments):
    result = CliRunner().invoke(
        parts.main.main, [*map(str, arguments)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.stderr
    return result


# What is written


@pytest.mark.full
def test_a_quick_run_writes_what_it_measured(parts, folder, few, tmp_path):
    options = ("--quick", "--model", folder, "--output", tmp_path)
    chosen = (*PAIR, "--part", "corpora", "--part", "host")
    printed = run(parts, *options, *chosen).stdout
    assert printed.rstrip() == (tmp_path / "benchmark.md").read_text("utf-8").rstrip()
    assert (tmp_path / "benchmark.svg").read_text("utf-8").startswith("<?xml")
    results = json.loads((tmp_path / "benchmark.json").read_text("utf-8"))
    assert {"corpora", "host"} == results.keys() & {*parts.main.PARTS}
    for corpus in results["corpora"].values():
        assert [*corpus["contestants"]] == [PAIR[1], PAIR[3]]
        for each in corpus["contestants"].values():
            assert each["change"] < 1e-5
            assert len(each["speeds"]) == len(each["faults"]) == 2
    assert "one text, ms" not in printed
    # Any part may be missing.
    for part in ("corpora", "host"):
        rest = {key: value for key, value in results.items() if key != part}
        assert len(parts.report.table(rest)) < len(printed)


@pytest.mark.full
def test_single_texts_and_memory_are_measured_in_processes(
    parts, folder, few, tmp_path
):
    options = ("--quick", "--model", folder, "--output", tmp_path)
    run(parts, *options, *PAIR, "--part", "latency", "--part", "memory")
    results = json.loads((tmp_path / "benchmark.json").read_text("utf-8"))
    assert [*results["memory"]] == ["2", "4"]
    assert [*results["latency"]["bytes"]] == [PAIR[1], PAIR[3]]
    for times in results["latency"]["seconds"].values():
        for each in times.values():
            assert {name: len(rounds) for name, rounds in each.items()} == {
                "warm": 2,
                "rested": 2,
            }
    table = (tmp_path / "benchmark.md").read_text("utf-8")
    assert "minidistil engine, float32 / transformers model" in table


@pytest.mark.full
@pytest.mark.parametrize("part", ["corpora", "host"])
def test_a_part_that_fails_does_not_cost_the_others(
    parts, folder, few, tmp_path, monkeypatch, part
):
    def fail(*_, **__):
        raise RuntimeError("out of order")

    module = parts.throughput if part == "corpora" else parts.host
    monkeypatch.setattr(module, "measure", fail)
    options = ["--quick", "--model", folder, "--output", tmp_path, *PAIR]
    options += ["--part", "corpora", "--part", "host"]
    result = CliRunner().invoke(parts.main.main, [*map(str, options)])
    assert result.exit_code == 1
    assert f"Failed: part {part}: RuntimeError('out of order')" in result.stdout
    results = json.loads((tmp_path / "benchmark.json").read_text("utf-8"))
    assert len(results.keys() & {"corpora", "host"}) == 1


# Who answers wrongly


def shuffled(contestant):
    """The same contestant, which mistakes the texts for each other."""

    def read(work, size, found):
        return np.roll(contestant.read(work, size, found), 1)

    return replace(contestant, family="the wrong one", read=read)


def test_who_answers_wrongly_or_fails_is_named_and_the_rest_is_timed(
    parts, folder, work, expected, monkeypatch
):
    monkeypatch.setattr(parts.ceiling, "measure", lambda *_: {"float32": 1.0})
    place = parts.contestant.Place("cpu", 1)
    right = parts.ours.engine("float32")
    wrong, failing = shuffled(right), replace(right, family="the failing one")

    def run(some, size):
        raise MemoryError("too little of it")

    runs = {each: each.load(folder, place) for each in (right, wrong)}
    runs[failing] = run
    failed = {}
    found = parts.throughput.measure(
        *(folder, [work], runs, place),
        **{"rounds": 1, "sample": 2, "patience": 60.0, "failed": failed},
    )
    assert [*found["sentences"]["contestants"]] == [right.name]
    assert [*failed] == [wrong.name, failing.name]
    assert "the wrong one, float32 answers" in failed[wrong.name]
    assert "too little of it" in failed[failing.name]
    with pytest.raises(click.ClickException, match="the wrong one, float32 answers"):
        parts.latency.check(wrong, runs[wrong], [work], expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "int8"])
def test_texts_that_are_mistaken_for_each_other_are_noticed(
    parts, work, expected, precision
):
    contestant = parts.contestant.Contestant("it", precision, None, None)
    right = np.array([expected[text] for text in work.texts])
    assert parts.agreement.check(contestant, work, right, expected) == 0
    for wrong in (np.roll(right, 1), right[::-1], right * np.nan):
        with pytest.raises(click.ClickException, match=f"it, {precision} answers"):
            parts.agreement.check(contestant, work, wrong, expected)


def test_a_score_too_few_is_noticed(parts, work, expected):
    contestant = parts.contestant.Contestant("it", "float32", None, None)
    right = np.array([expected[text] for text in work.texts])
    with pytest.raises(click.ClickException, match=r"it, float32 gives scores of"):
        parts.agreement.check(contestant, work, right[:-1], expected)


def test_a_model_that_answers_all_alike_is_no_reference(parts, work, tmp_path):
    parts.contestant.write_checkpoint(tmp_path, **SMALL)
    with pytest.raises(click.ClickException, match="no wrong answer would be noticed"):
        parts.agreement.reference(tmp_path, [work])


def test_ids_that_differ_are_refused_by_name(parts, work):
    readers = {"tokenizers": lambda texts: [[1]] * len(texts)}
    assert parts.host.check(work, readers) == len(work.texts)
    readers["ours"] = lambda texts: [[2]] * len(texts)
    with pytest.raises(click.ClickException, match="ours has other ids"):
        parts.host.check(work, readers)


def test_the_pipeline_but_for_its_model_answers_without_one(parts, folder, work):
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    answers = parts.host.without_model(folder, tokenizer)(work.texts)
    assert [each["score"] for each in answers] == [0.5] * len(work.texts)


def test_who_is_left_out_is_said(parts):
    place = parts.contestant.Place("cpu", 2)
    present, skipped = parts.main.choose(("minidistil",), ("pipeline",), place, False)
    assert {each.family for each in present} == {"minidistil engine"}
    assert skipped == {
        "minidistil pipeline, float32": "by --skip",
        "minidistil pipeline, int8": "by --skip",
    }
    with pytest.raises(click.UsageError, match="'tensorflow' is no part of any of"):
        parts.main.choose((), ("tensorflow",), place, False)


# On a GPU


@pytest.fixture
def like_a_gpu(parts, monkeypatch):
    """The CPU takes the part of a GPU; what it does not have is left out."""
    place = parts.contestant.Place
    waits = []
    monkeypatch.setattr(place, "is_gpu", True)
    monkeypatch.setattr(place, "wait", lambda self: waits.append(self.device))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(parts.ceiling, "ROWS_ON_GPU", 16)
    # Only what compiles takes a minute, and needs a compiler.
    compiled = partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", compiled)
    here = [
        each
        for each in parts.contestants.on_gpu()
        if not (each.family.startswith("minidistil") and each.precision == "float16")
    ]
    monkeypatch.setattr(parts.contestants, "on_gpu", lambda: here)
    return waits


@pytest.mark.full
def test_the_contestants_of_a_gpu_run(parts, folder, few, like_a_gpu, tmp_path):
    options = ("--model", folder, "--output", tmp_path)
    run(parts, *options, "--part", "corpora", "--part", "latency")
    results = json.loads((tmp_path / "benchmark.json").read_text("utf-8"))
    names = [each.name for each in parts.contestants.on_gpu()]
    assert "transformers compiled, bfloat16" in names
    for corpus in results["corpora"].values():
        assert [*corpus["contestants"]] == names
        assert [*corpus["flops_per_second"][0]] == ["float32", "bfloat16", "float16"]
    names.remove("transformers compiled, bfloat16")
    for times in results["latency"]["seconds"].values():
        assert [*times] == names
    assert results["machine"]["card"] == "a card"
    assert len(like_a_gpu) > 2 * len(names)
    table = (tmp_path / "benchmark.md").read_text("utf-8")
    assert "minidistil engine, bfloat16 / transformers compiled" in table


def test_quick_leaves_out_what_is_compiled_and_says_so(parts, like_a_gpu):
    place = parts.contestant.Place("cuda", 2)
    present, skipped = parts.main.choose((), (), place, True)
    assert skipped == {
        "transformers compiled, bfloat16": "to compile takes minutes, and this was "
        "--quick"
    }
    assert not any(each.compiles for each in present)
    present, skipped = parts.main.choose((), (), place, False)
    assert skipped == {}
    assert any(each.compiles for each in present)


def test_the_clock_starts_and_stops_when_the_device_is_idle(parts):
    events = []
    parts.timing.time_once(lambda: events.append("run"), lambda: events.append("wait"))
    assert events == ["wait", "run", "wait"]


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cuda:x"])
def test_a_device_that_is_not_there_is_one_clear_error(parts, device):
    result = CliRunner().invoke(parts.main.main, ["--device", device])
    assert result.exit_code == 2
    assert f"--device is {device!r}" in result.stderr


# What is timed


def test_batches_hold_every_text_once_and_no_more_than_their_size(work):
    for size in (64, 512):
        batches = work.batches(size)
        places = [place for batch in batches for place in batch.places]
        assert sorted(places) == [*range(len(work.texts))]
        for batch in batches:
            assert batch.ids.size <= size or len(batch.places) == 1
            for row, mask, place in zip(
                batch.ids, batch.mask, batch.places, strict=True
            ):
                assert row[mask == 1].tolist() == work.sequences[place]
    assert len(work.batches(64)) > len(work.batches(512))


def test_a_part_is_spread_over_the_lengths(work):
    part = work.part(8)
    lengths = sorted(map(len, work.sequences))
    assert sorted(map(len, part.sequences)) == lengths[3::6]
    assert [text for text in work.texts if text in part.texts] == part.texts


def test_who_would_take_too_long_reads_only_the_sample(parts, work):
    contestant = parts.contestant.Contestant("it", "float32", None, None, (1, 2))
    place = parts.contestant.Place("cpu", 1)
    enter = partial(parts.throughput.enter, contestant, lambda *_: None, work)
    part = work.part(8)
    assert enter(part, place, 60.0).work is work
    assert enter(part, place, 0.0).work is part


def test_the_size_that_is_fastest_is_taken(parts, work):
    def run(_, size):
        parts.timing.time.sleep(0.05 * abs(size - 2))

    contestant = parts.contestant.Contestant("it", "float32", None, None, (1, 2, 3))
    place = parts.contestant.Place("cpu", 1)
    assert parts.throughput.enter(contestant, run, work, work, place, 60.0).size == 2
