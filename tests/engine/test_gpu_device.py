"""The engine on a real GPU: each test needs CUDA, or ROCm."""

from __future__ import annotations

import copy
import gc
import pickle
import threading

import pytest
import torch
from devices import LENGTHS, TOLERANCES, WIDE, chosen, flat, needs_cuda
from engines import CLASSES, answers, check, model_of, sequences_of
from reference import ENCODER, MASKED_LM, SEQUENCE, TOKEN

from minidistil.engine import Engine
from minidistil.engine.gpu.graphs import bucket
from minidistil.engine.gpu.packing import Limits, batches, filled
from minidistil.engine.gpu.transfers import computing_on
from minidistil.engine.operators.attention import (
    best_attention,
    flash,
    padded,
    public_flash,
)
from minidistil.engine.sequences import Wanted

pytestmark = needs_cuda

PRECISIONS = {str(dtype).removeprefix("torch."): dtype for dtype in TOLERANCES}


def engine_of(model, precision="float32", **how) -> Engine:
    return Engine(copy.deepcopy(model).to("cuda"), precision, **how)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("budget", [None, 100])
def test_every_head_gives_what_the_model_gives_on_the_cpu(name, precision, budget):
    model = model_of(name, **WIDE)
    sequences = sequences_of(LENGTHS, WIDE["vocab_size"])
    engine = engine_of(model, precision, token_budget=budget)
    expected = answers(model, sequences)
    found = engine(sequences)
    for sequence in sequences[:10]:  # alone, by graphs
        found += engine([sequence])
    check(found, expected + expected[:10], TOLERANCES[PRECISIONS[precision]])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_head_sizes_that_no_kernel_takes_are_computed_by_plain_torch(precision):
    model = model_of(SEQUENCE, dim=30, n_heads=6, hidden_dim=70)
    sequences = sequences_of([7, 40, 1, 1, 30], 53)
    found = engine_of(model, precision)(sequences)
    # Rows of 30 numbers average out less than those of 256 or more.
    check(found, answers(model, sequences), 5 * TOLERANCES[PRECISIONS[precision]])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_have_a_kernel_for_different_lengths(dtype):
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU is older than the kernels")
    chosen = best_attention(torch.device("cuda:0"), dtype, 12, 64)
    assert chosen in (flash, public_flash)


def test_float32_has_a_kernel_for_different_lengths():
    found = best_attention(torch.device("cuda:0"), torch.float32, 12, 64)
    assert found is not padded


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [SEQUENCE, TOKEN, MASKED_LM, ENCODER])
def test_graphs_equal_to_the_bit_what_is_computed_without(name, precision):
    core = engine_of(model_of(name, **WIDE), precision)._core
    for lengths in ([1], [7], [8], [31, 2], [120], [512], [300, 20, 5]):
        rows = flat(sequences_of(lengths, WIDE["vocab_size"]))
        wanted = None if core.reads_all else Wanted.first(rows)
        (batch,) = batches(rows, wanted, Limits(10**6, 10**9))
        shape = bucket(batch.shape, core.width)
        assert shape is not None
        core.start(rows, wanted)()
        found = core.start(rows, wanted)()[batch.places]
        assert core._graphs._recordings[shape]
        with computing_on(core.device):
            eager, _ = core.compute(filled(batch, shape).numbers.cuda(), shape)
        assert torch.equal(found, eager[: len(found)].cpu())


def test_no_kernel_of_cudnns_attention_runs():
    engine = engine_of(model_of(SEQUENCE, **WIDE), "bfloat16")
    activities = [
        torch.profiler.ProfilerActivity.CPU,
        torch.profiler.ProfilerActivity.CUDA,
    ]
    with torch.profiler.profile(activities=activities) as profile:
        for lengths in ([7], [500, 30, 2], LENGTHS):
            engine(sequences_of(lengths, WIDE["vocab_size"]))
    names = [event.key.lower() for event in profile.key_averages()]
    assert names
    assert not [name for name in names if "cudnn" in name]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_threads_on_two_streams_get_their_own_answers(precision):
    model = model_of(SEQUENCE, **WIDE)
    engine = engine_of(model, precision)
    texts = [sequences_of([n, 2 * n + 1], WIDE["vocab_size"]) for n in range(1, 60)]
    expected = [answers(model, each) for each in texts]
    errors = []

    def work(order):
        with torch.cuda.stream(torch.cuda.Stream()):
            for i in order:
                try:
                    check(
                        engine(texts[i]),
                        expected[i],
                        2 * TOLERANCES[PRECISIONS[precision]],
                    )
                except Exception as error:
                    errors.append(error)

    orders = [range(59), range(58, -1, -1), [*range(30, 59), *range(30)]]
    threads = [threading.Thread(target=work, args=(each,)) for each in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_memory_is_bounded_over_many_shapes_and_released_with_the_engine():
    model = model_of(TOKEN, **WIDE)
    # What torch keeps for good, such as memory that products work in.
    engine_of(model, "bfloat16")([[1, 2], [3]])
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    engine = engine_of(model, "bfloat16")

    def many(engine, first):
        for n in range(first, first + 100):
            sequences = sequences_of([n, n // 2 + 1, 3], WIDE["vocab_size"])
            engine(sequences)
            engine(sequences, [[0], [], [1, 2]])
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    many(engine, 1)
    many(engine, 101)
    after = many(engine, 201)
    assert many(engine, 1) <= after
    assert many(engine, 101) <= after
    del engine
    gc.collect()
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= before + 2**20


def test_an_engine_is_freed_without_the_garbage_collector():
    gc.collect()
    engine = engine_of(model_of(TOKEN, **WIDE), "bfloat16")
    engine([[1, 2, 3]])  # with a graph
    held = torch.cuda.memory_allocated()
    gc.disable()
    try:
        del engine
        assert torch.cuda.memory_allocated() < held
    finally:
        gc.enable()


def test_a_copy_from_another_process_gives_the_same_bits():
    engine = engine_of(model_of(MASKED_LM, **WIDE), "bfloat16")
    sequences = sequences_of([7, 30, 1], WIDE["vocab_size"])
    copied = pickle.loads(pickle.dumps(engine))
    assert copied.device == engine.device
    for left, right in zip(engine(sequences), copied(sequences), strict=True):
        assert torch.equal(left, right)


def test_int8_says_what_it_computes_in():
    with pytest.warns(UserWarning, match="int8 is for CPUs"):
        engine = engine_of(model_of(SEQUENCE), "int8")
    assert engine.precision in ("bfloat16", "float16")


def test_an_engine_is_not_disturbed_while_the_caller_records_a_graph():
    model = model_of(SEQUENCE)
    engine = engine_of(model)
    sequences = sequences_of([7], 53)
    check(engine(sequences), answers(model, sequences))
    graph, numbers = torch.cuda.CUDAGraph(), torch.ones(3, device="cuda")
    done = []

    def other():
        done.append(engine(sequences))

    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        numbers.mul_(2)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    check(done[0], answers(model, sequences))


def test_only_what_is_wanted_is_computed_for_each_sequence():
    model = model_of(TOKEN, **WIDE)
    sequences = sequences_of([40, 3, 300, 2], WIDE["vocab_size"])
    positions = [[], [2, 0], [299], [1]]
    engine = engine_of(model, "float32")
    expected = [
        each[places]
        for each, places in zip(answers(model, sequences), positions, strict=True)
    ]
    check(engine(sequences, positions), expected)
    flat_ = engine.start(flat(sequences), chosen(positions))()
    check([flat_], [torch.cat(expected)])
