"""The engine in float32 gives the model's answers, whatever goes together."""

from __future__ import annotations

import importlib
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import transformers
from engines import (
    CLASSES,
    ODD,
    PRECISIONS,
    READ_ALL,
    READ_FIRST,
    answers,
    base_encoder,
    check,
    difference,
    forget,
    head_on,
    kernels_here,
    minilm,
    model_of,
    reviews,
    sequences_of,
)
from reference import ENCODER, SEQUENCE, TOKEN

from minidistil import AutoModelForSequenceClassification
from minidistil.engine import Engine
from minidistil.engine.cpu.batches import padding_few, padding_rest, padding_rows
from minidistil.hub import BUNDLED

LENGTHS = [512, 1, 2, 17, 8, 3, 8, 33, 5, 64, 32, 100, 8, 257]
SHORT = [7, 40, 1, 2, 7, 19, 7, 3, 33, 1]
KERNELS = pytest.mark.parametrize("kernels", kernels_here())


@pytest.fixture(scope="module")
def base():
    return base_encoder()


@pytest.fixture(scope="module")
def tiny():
    return AutoModelForSequenceClassification.from_pretrained("tiny")


@pytest.fixture(scope="module")
def short():
    return sequences_of(SHORT, ODD["vocab_size"])


# The model's answers ──────────────────────────────────────────────────────────────────


@pytest.mark.full
@pytest.mark.parametrize("name", CLASSES)
def test_in_base_size_it_answers_as_the_model(base, name):
    # All heads stand on the same encoder, so that the long texts are enough for one.
    lengths = LENGTHS if name == ENCODER else LENGTHS[1:9]
    sequences = sequences_of(lengths, 30522)
    model = head_on(base, name)
    expected = answers(model, sequences)
    for kernels in kernels_here():
        engine = Engine(model, kernels=kernels)
        assert engine.kernels == kernels
        check(engine(sequences), expected)


@KERNELS
def test_on_trained_weights_it_answers_as_the_model(kernels):
    model, sequences = minilm(), sequences_of([256, 1, 9, 9, 30, 2, 130], 30522)
    sequences += reviews(20)
    check(Engine(model, kernels=kernels)(sequences), answers(model, sequences))


@KERNELS
def test_it_answers_as_transformers(kernels):
    cls = transformers.AutoModelForSequenceClassification
    theirs = cls.from_pretrained(BUNDLED["tiny"], dtype=torch.float32).eval()
    model = CLASSES[SEQUENCE]
    engine = Engine.from_pretrained("tiny", model, kernels=kernels)
    sequences = [*reviews(100), *sequences_of(LENGTHS, 30522)]
    with torch.no_grad():
        expected = [theirs(torch.tensor([ids])).logits[0] for ids in sequences]
    check(engine(sequences), expected)


@pytest.mark.sample(28)
@KERNELS
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"activation": "relu"},
        {"n_layers": 1},
        {"dim": 20, "n_heads": 2},
        {"dim": 5, "n_heads": 5, "hidden_dim": 1},
        {"tie_word_embeddings": False},
        {"sinusoidal_pos_embds": True},
    ],
    ids=str,
)
def test_of_any_size_and_kind_it_answers_as_the_model(name, config, kernels, short):
    model = model_of(name, **config)
    check(Engine(model, kernels=kernels)(short), answers(model, short))


@KERNELS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_that_weights_are_stored_in_does_not_matter(dtype, kernels, short):
    model = model_of(SEQUENCE).to(dtype)
    found = Engine(model, kernels=kernels)(short)
    check(found, answers(model.float(), short))


@pytest.mark.parametrize("mode", ["train", "eager"])
def test_how_the_model_is_used_does_not_matter(mode, short):
    model = model_of(SEQUENCE)
    expected = answers(model, short)
    if mode == "train":
        model.train()
    else:
        model.distilbert.attn_implementation = "eager"
    check(Engine(model)(short), expected)


# Positions ────────────────────────────────────────────────────────────────────────────

POSITIONS = {
    "all": [[*range(length)] for length in SHORT],
    "the first": [[0]] * len(SHORT),
    "the last, and the first": [[length - 1, 0] for length in SHORT],
    "some of some": [[3, 1], [39], [], [0, 1], [], [18, 5, 5], [6], [], [2, 0], [0]],
    "none": [[]] * len(SHORT),
}


@pytest.mark.sample(24)
@KERNELS
@pytest.mark.parametrize("name", READ_ALL)
@pytest.mark.parametrize("which", POSITIONS)
@pytest.mark.parametrize("budget", [1, 20, 1024])
def test_positions_give_the_models_rows(name, which, budget, kernels, short):
    model = model_of(name)
    engine = Engine(model, kernels=kernels, token_budget=budget)
    expected = [
        rows[places]
        for rows, places in zip(answers(model, short), POSITIONS[which], strict=True)
    ]
    check(engine(short, positions=POSITIONS[which]), expected)


@pytest.mark.parametrize("name", READ_FIRST)
def test_a_model_that_reads_the_first_token_takes_no_positions(name, short):
    with pytest.raises(ValueError, match="positions are for models that read every"):
        Engine(model_of(name))(short, positions=[[0]] * len(short))


# Company ──────────────────────────────────────────────────────────────────────────────


@KERNELS
@pytest.mark.parametrize("name", [ENCODER, SEQUENCE])
@pytest.mark.parametrize("budget", [1, 7, 64, 1024, 10**6])
def test_how_many_tokens_go_together_does_not_matter(name, budget, kernels, short):
    model = model_of(name)
    engine = Engine(model, kernels=kernels, token_budget=budget)
    check(engine(short), answers(model, short))


@KERNELS
def test_results_are_in_the_order_of_the_sequences(kernels, tiny):
    sequences = [*reviews(60), *sequences_of([40, 1, 300, 7], 30522)]
    engine = Engine(tiny, kernels=kernels, token_budget=128)
    found = engine(sequences)
    order = [*range(len(sequences))]
    random.Random(1).shuffle(order)
    shuffled = engine([sequences[place] for place in order])
    check(shuffled, [found[place] for place in order])


@KERNELS
def test_a_text_alone_is_answered_as_among_others(kernels, tiny):
    sequences = [*reviews(60), *sequences_of([40, 1, 300, 7], 30522)]
    engine = Engine(tiny, kernels=kernels)
    alone = [engine([ids])[0] for ids in sequences]
    check(engine(sequences), alone)


def test_texts_that_are_equal_are_answered_alike(tiny):
    text = reviews(1)[0]
    found = Engine(tiny)([text] * 50)
    assert len(found) == 50
    check(found, answers(tiny, [text]) * 50)


def test_nothing_is_answered_by_nothing(tiny):
    assert Engine(tiny)([]) == []
    assert Engine(model_of(TOKEN))([], positions=[]) == []


# 16 at once: far more than there are cores, so that they are all inside one another.
@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads_may_share_an_engine(precision, tiny):
    engine = Engine(tiny, precision)
    texts = reviews(64)
    parts = [texts[i::16] for i in range(16)]
    alone = [engine(part) for part in parts]
    with ThreadPoolExecutor(16) as pool:
        together = [*pool.map(engine, parts * 2)]
    for found, expected in zip(together, alone * 2, strict=True):
        assert difference(found, expected) == 0


def test_threads_may_make_engines(tiny, short):
    model = model_of(SEQUENCE)
    expected = answers(model, short)
    forget()
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda _: Engine(model)(short), range(8))]
    for each in found:
        check(each, expected)


# Rows that fill a batch up


def test_few_numbers_of_rows_are_multiplied_and_few_rows_are_added():
    rows = range(1, 1025)
    for most, padding in ((60, padding_rows), (12, padding_few), (4, padding_rest)):
        assert len({each + padding(each) for each in rows}) <= most
        assert all(padding(each) >= 0 for each in rows)
    assert all(padding_rows(each) <= max(3, each // 2) for each in rows)
    assert all(padding_few(each) < min(each, 256) for each in rows)


def test_what_fills_a_batch_up_does_not_change_an_answer(monkeypatch):
    model = model_of(TOKEN)
    sequences = sequences_of([17, 3, 5, 9, 23, 1], 53)
    engine = Engine(model)
    found = engine(sequences)
    check(found, answers(model, sequences))
    for room, name in (
        ("batches", "padding_rows"),
        ("batches", "padding_rest"),
        ("encoder", "padding_few"),
    ):
        module = importlib.import_module(f"minidistil.engine.cpu.{room}")
        monkeypatch.setattr(module, name, lambda rows: 0)
    check(found, engine(sequences))
