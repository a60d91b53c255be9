"""The engine for GPUs beside the model, with plain torch's attention on the CPU."""

from __future__ import annotations

import pickle
import random
import threading

import pytest
import torch
from devices import (
    TOLERANCES,
    AgainRecorder,
    check_core,
    chosen,
    core_of,
    flat,
    plain_plan,
    results_of,
)
from engines import (
    CLASSES,
    answers,
    check,
    model_of,
    sequences_of,
)
from hypothesis import given, settings, strategies as st
from reference import ENCODER, MASKED_LM, SEQUENCE, TOKEN

from minidistil.engine.gpu import DeviceCore, packing, pending
from minidistil.engine.gpu.packing import Limits, batches
from minidistil.engine.operators.attention import efficient, flash, is_right, padded

HALVES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("budget", [None, 1, 100])
@pytest.mark.parametrize("name", CLASSES)
def test_every_head_gives_what_the_model_gives(name, budget):
    check_core(name, budget=budget)


@pytest.mark.sample(2)
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", CLASSES)
def test_half_types_are_close(name, dtype):
    check_core(name, dtype)


@pytest.mark.parametrize("name", CLASSES)
def test_relu_is_known_too(name):
    model = model_of(name, activation="relu")
    sequences = sequences_of([5, 40, 1], 53)
    check(results_of(core_of(model), sequences), answers(model, sequences))


MODELS = {name: model_of(name) for name in (SEQUENCE, TOKEN)}
lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@settings(deadline=None, max_examples=25)
@given(lengths, st.sampled_from([None, 1, 30, 80]), st.booleans(), st.integers(0, 99))
def test_any_rows_of_any_sequences_are_the_models(sizes, budget, recorded, seed):
    """In any company and order, none wanted of some, and some wanted twice."""
    chance = random.Random(seed)
    recorder = AgainRecorder() if recorded else None
    sequences = sequences_of(sizes, 53)
    positions = [chance.choices(range(n), k=chance.randrange(4)) for n in sizes]
    core = core_of(MODELS[TOKEN], budget=budget, recorder=recorder)
    expected = [
        answer[places]
        for answer, places in zip(
            answers(MODELS[TOKEN], sequences), positions, strict=True
        )
    ]
    check(results_of(core, sequences, positions), expected)
    core = core_of(MODELS[SEQUENCE], budget=budget, recorder=recorder)
    check(results_of(core, sequences), answers(MODELS[SEQUENCE], sequences))


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 127, 128, 511, 512])
def test_a_sequence_of_any_length_is_alone(length):
    model = model_of(SEQUENCE, max_position_embeddings=512)
    sequences = sequences_of([length], 53)
    expected = answers(model, sequences)
    check(results_of(core_of(model), sequences), expected)
    check(results_of(core_of(model, recorder=AgainRecorder()), sequences), expected)


def test_nothing_wanted_and_nothing_given_are_no_work():
    core = core_of(model_of(TOKEN))
    assert core.start(flat([[1, 2]]), chosen([[]]))().shape == (0, 2)
    assert core.start(flat([]), None)().shape == (0, 2)


def test_a_call_in_which_only_one_sequence_wants_something():
    model = model_of(TOKEN)
    sequences = sequences_of([40, 3, 30, 2], 53)
    found = results_of(core_of(model, budget=40), sequences, [[], [], [29, 0], []])
    expected = answers(model, sequences)[2][[29, 0]]
    check([found[2]], [expected])


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("size", [30, 1e4])
def test_large_biases_of_what_is_added_are_no_trouble(dtype, size):
    model = model_of(TOKEN)
    with torch.no_grad():
        for i, block in enumerate(model.encoder.transformer.layer):
            block.attention.out_lin.bias[3 + i] = size
            block.ffn.lin2.bias[5 + i] = -size
    sequences = sequences_of([7, 40, 12, 3], 53)
    found = results_of(core_of(model, dtype), sequences)
    check(found, answers(model, sequences), TOLERANCES[dtype])


def test_the_model_is_packed_and_what_was_given_is_emptied():
    model = model_of(ENCODER)
    DeviceCore(model, plain_plan(torch.float32), attention=padded)
    assert all(each.numel() == 0 for each in model.transformer.parameters())


@pytest.mark.parametrize("name", [SEQUENCE, MASKED_LM])
def test_a_copy_from_another_process_gives_the_same(name):
    model = model_of(name)
    sequences = sequences_of([7, 1, 40], 53)
    core = core_of(model, torch.bfloat16)
    core._given = None, padded, no_graphs  # what can be pickled: functions of modules
    copied = pickle.loads(pickle.dumps(core))
    assert copied.device == core.device
    for left, right in zip(
        results_of(core, sequences), results_of(copied, sequences), strict=True
    ):
        assert torch.equal(left, right)


def no_graphs(transfers, width):
    return None


def test_tied_word_embeddings_travel_once():
    core = core_of(model_of(MASKED_LM))
    core._given = None, padded, no_graphs
    copied = pickle.loads(pickle.dumps(core))
    words = copied._embeddings.words
    assert words.data_ptr() == copied._head.logits.last.weight.data_ptr()


@pytest.mark.parametrize("recorder", [None, AgainRecorder()])
def test_a_result_that_is_not_finite_is_an_error_when_it_is_waited_for(recorder):
    model = model_of(SEQUENCE)
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = torch.nan
    core = core_of(model, recorder=recorder)
    good, bad = [[1, 2, 3]], [[1, 7], [2]]
    check(results_of(core, good), answers(model, good))
    wait = core.start(flat(bad), chosen([[0], [0]]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        wait()


def test_the_callers_autocast_and_defaults_change_nothing():
    model = model_of(SEQUENCE)
    sequences = sequences_of([7, 30], 53)
    core = core_of(model)
    expected = results_of(core, sequences)
    rows, wanted = flat(sequences), chosen([[0], [0]])
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"):
        found = core.start(rows, wanted)()
    torch.set_default_dtype(torch.float64)
    try:
        again = core.start(rows, wanted)()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, torch.stack(expected))
    assert torch.equal(again, torch.stack(expected))
    assert not found.is_inference()


def test_threads_share_graphs():
    model = model_of(SEQUENCE)
    core = core_of(model, recorder=AgainRecorder())
    texts = [sequences_of([n, 40 - n], 53) for n in range(1, 20)]
    expected = [torch.stack(answers(model, each)) for each in texts]
    wrong = []

    def work():
        for each, answer in zip(texts, expected, strict=True):
            for _ in range(3):
                found = torch.stack(results_of(core, each))
                if not torch.allclose(found, answer, atol=1e-5):
                    wrong.append(each)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Batches ──────────────────────────────────────────────────────────────────────────────


@given(lengths, st.integers(1, 99), st.integers(1, 9), st.booleans())
def test_batches_keep_their_limits(sizes, tokens, rows, filled_up):
    sequences = flat(sequences_of(sizes, 53))
    wanted = chosen([[0]] * len(sizes))
    found = [*batches(sequences, wanted, Limits(tokens, rows, filled_up))]
    assert sum(each.shape.sequences for each in found) == len(sizes)
    for each in found:
        shape = each.shape
        held = shape.sequences * shape.longest if filled_up else shape.tokens
        assert shape.sequences == 1 or (held <= tokens and shape.rows <= rows)


def test_a_kernel_counts_the_sequences_of_a_batch_in_16_bits():
    count = packing.MOST_SEQUENCES + 1
    rows = flat([[1]] * count)
    shapes = [each.shape for each in batches(rows, None, Limits(10**6, 10**6))]
    assert [shape.sequences for shape in shapes] == [65_535, 1]


def test_results_that_wait_are_bounded(monkeypatch):
    """They are taken one batch after the other, long before the call ends."""
    model = model_of(ENCODER)
    sequences = sequences_of([10] * 30, 53)
    expected = answers(model, sequences)
    core = core_of(model, budget=10)
    monkeypatch.setattr(pending, "MOST_RESULTS", 10 * 48 * 4)  # one batch's
    wait = core.start(flat(sequences), None)
    assert len(wait.__self__._batches) <= 3
    check([*wait().split(10)], expected)


@pytest.mark.parametrize("attention", [flash, efficient])
def test_operators_of_gpus_are_called_as_their_schemas_say(attention):
    """On tensors without numbers, which need no GPU."""
    q, k = (torch.empty(n, 4, 16, dtype=torch.half, device="meta") for n in (9, 33))
    ends = torch.empty(4, dtype=torch.int32, device="meta")
    assert attention(q, k, k, ends, ends, 5, 20).shape == q.shape


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("heads", "size"), [(3, 16), (3, 10), (1, 1)])
def test_the_trial_passes_what_is_right_and_nothing_else(dtype, heads, size):
    where = torch.device("cpu"), dtype, heads, size
    assert is_right(padded, *where)
    assert not is_right(lambda q, *rest: padded(q * 1.5, *rest), *where)
    assert not is_right(lambda q, k, v, *rest: padded(q, v, k, *rest), *where)
    assert not is_right(
        lambda q, k, v, mine, all_, *rest: padded(q, k, v, mine, all_ - 1, *rest),
        *where,
    )
    assert not is_right(lambda q, *rest: q * torch.nan, *where)
