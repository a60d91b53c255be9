"""Graphs of short calls, with work that is done again in the place of a graph."""

from __future__ import annotations

import pytest
import torch
from devices import AgainRecorder, chosen, core_of, flat, results_of
from engines import answers, check, model_of, sequences_of
from hypothesis import given, strategies as st
from reference import ENCODER, MASKED_LM, SEQUENCE, TOKEN

from minidistil.engine.gpu import graphs
from minidistil.engine.gpu.graphs import MOST_TOKENS, bucket
from minidistil.engine.gpu.packing import Limits, batches, filled

LIMITS = Limits(10**6, 10**6)


def batch_of(sequences, wanted=None):
    (batch,) = batches(flat(sequences), wanted, LIMITS)
    return batch


@pytest.mark.parametrize("name", [SEQUENCE, TOKEN, MASKED_LM, ENCODER])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_graph_gives_to_the_bit_what_the_same_shape_gives_eagerly(name, dtype):
    model = model_of(name, max_position_embeddings=512)
    core = core_of(model, dtype, recorder=AgainRecorder())
    for lengths in ([7], [8], [1, 40, 3], [300, 5], [20]):
        sequences = sequences_of(lengths, 53)
        wanted = None if core.reads_all else chosen([[0]] * len(lengths))
        batch = batch_of(sequences, wanted)
        found = core.start(flat(sequences), wanted)()
        shape = bucket(batch.shape, core.width)
        assert shape is not None
        with torch.inference_mode():
            eager, _ = core.compute(filled(batch, shape).numbers, shape)
        expected = torch.empty_like(found)
        expected[batch.places] = eager[: len(batch.places)]
        assert torch.equal(found, expected)


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=40),
    st.data(),
)
def test_a_batch_fits_its_bucket_and_keeps_its_numbers(lengths, data):
    sequences = sequences_of(lengths, 53)
    counts = [data.draw(st.integers(0, 5)) for _ in lengths]
    given_none = data.draw(st.booleans()) or not sum(counts)
    wanted = None if given_none else chosen([[0] * count for count in counts])
    batch = batch_of(sequences, wanted)
    shape = bucket(batch.shape, 2)
    if shape is None:
        assert sum(lengths) > MOST_TOKENS or len(lengths) > 31 or sum(counts) > 128
        return
    assert shape.longest >= batch.shape.longest
    assert shape.most >= batch.shape.most
    old, new = batch.parts, filled(batch, shape).parts
    for name in ("ids", "positions", "ends", "row_ends", "rows"):
        mine, filler = getattr(old, name), getattr(new, name)
        if mine is not None:
            assert torch.equal(filler[: len(mine)], mine)
    # What fills it is one sequence, and all others have no token.
    sizes = new.ends.diff().tolist()
    assert min(sizes) >= 0
    assert sum(map(bool, sizes)) == len(lengths) + 1
    assert int(new.ends[-1]) == shape.tokens
    assert int(new.row_ends[-1]) == (shape.tokens if wanted is None else shape.rows)


@pytest.mark.parametrize("tokens", graphs.TOKENS[:-1])
def test_what_fills_a_batch_always_has_room(tokens):
    shape = bucket(batch_of([[1] * tokens]).shape, 2)
    assert shape is not None
    assert shape.tokens > tokens


def test_a_shape_is_recorded_once_and_played_for_others_of_its_bucket():
    model, recorder = model_of(SEQUENCE), AgainRecorder()
    core = core_of(model, recorder=recorder)
    for length in range(1, 17):
        sequences = sequences_of([length], 53)
        check(results_of(core, sequences), answers(model, sequences))
    assert (recorder.recorded, recorder.replayed) == (1, 16)


def test_results_do_not_change_when_the_graph_is_played_again():
    model = model_of(SEQUENCE)
    core = core_of(model, recorder=AgainRecorder())
    texts = sequences_of([7, 9], 53)
    waits = [core.start(flat([each]), chosen([[0]])) for each in texts]
    found = [wait()[0] for wait in waits]
    check(found, answers(model, texts))


@pytest.mark.parametrize("budget", [None, 40])
def test_long_calls_are_not_recorded(budget):
    """Not their small batches either: one waits for the other anyway."""
    recorder = AgainRecorder()
    core = core_of(model_of(SEQUENCE), recorder=recorder, budget=budget)
    results_of(core, sequences_of([40] * 13, 53))
    assert not recorder.recorded


def test_many_sequences_are_not_recorded():
    recorder = AgainRecorder()
    core = core_of(model_of(SEQUENCE), recorder=recorder)
    results_of(core, sequences_of([1] * 40, 53))
    assert not recorder.recorded


def test_all_words_of_many_tokens_are_too_much_to_keep():
    shape = batch_of(sequences_of([500], 53)).shape
    assert bucket(shape, 768) is not None
    assert bucket(shape, 30522) is None


def test_the_number_of_graphs_is_bounded(monkeypatch):
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 1)
    model, recorder = model_of(SEQUENCE), AgainRecorder()
    core = core_of(model, recorder=recorder)
    sequences = sequences_of([7, 39, 8], 53)
    for each in sequences:
        check(results_of(core, [each]), answers(model, [each]))
    assert recorder.recorded == 1


class FailingRecorder(AgainRecorder):
    def record(self, work):
        self.recorded += 1
        raise RuntimeError("operation not permitted when stream is capturing")


def test_what_cannot_be_recorded_is_computed_without_a_word(recwarn):
    model, recorder = model_of(SEQUENCE), FailingRecorder()
    core = core_of(model, recorder=recorder)
    sequences = sequences_of([7, 3], 53)
    for _ in range(3):
        check(results_of(core, sequences), answers(model, sequences))
    assert recorder.recorded == 1
    assert not recwarn


class RefusingRecorder(AgainRecorder):
    def record(self, work):
        _, results = super().record(work)

        def refuse():
            self.replayed += 1
            raise RuntimeError("Offset increment outside graph capture encountered")

        return refuse, results


def test_what_cannot_be_played_now_is_computed_without():
    model, recorder = model_of(SEQUENCE), RefusingRecorder()
    core = core_of(model, recorder=recorder)
    sequences = sequences_of([7, 3], 53)
    for _ in range(2):
        check(results_of(core, sequences), answers(model, sequences))
    assert (recorder.recorded, recorder.replayed) == (1, 2)


class BusyRecorder(AgainRecorder):
    def can_record(self):
        return False


def test_while_the_caller_records_a_graph_none_is_used():
    model, recorder = model_of(SEQUENCE), BusyRecorder()
    sequences = sequences_of([7, 3], 53)
    check(
        results_of(core_of(model, recorder=recorder), sequences),
        answers(model, sequences),
    )
    assert not recorder.recorded
