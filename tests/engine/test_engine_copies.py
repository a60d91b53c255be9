"""An engine can be copied, pickled and sent: copies answer to the last bit alike."""

from __future__ import annotations

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import pytest
import torch
from engines import CLASSES, PRECISIONS, check, kernels_here, model_of, sequences_of
from reference import ENCODER, MASKED_LM, SEQUENCE

from minidistil.engine import Engine, precision as precisions
from minidistil.engine.operators import products as operators

SEQUENCES = sequences_of([7, 1, 40, 3], 53)


def saved_by_torch(engine):
    file = io.BytesIO()
    torch.save(engine, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = {
    "pickle": lambda engine: pickle.loads(pickle.dumps(engine)),
    "cloudpickle": lambda engine: cloudpickle.loads(cloudpickle.dumps(engine)),
    "torch.save": saved_by_torch,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "twice": lambda engine: pickle.loads(pickle.dumps(copy.deepcopy(engine))),
}


@pytest.mark.sample(24)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("precision", "kernels"),
    [(each, kernels) for each in PRECISIONS for kernels in kernels_here(each)],
)
@pytest.mark.parametrize("name", CLASSES)
def test_a_copy_answers_to_the_last_bit_alike(name, precision, kernels, way):
    engine = Engine(model_of(name), precision, kernels=kernels)
    found = WAYS[way](engine)
    assert (found.precision, found.kernels, found.kind) == (
        *(precision, kernels, engine.kind),
    )
    check(found(SEQUENCES), engine(SEQUENCES), 0)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [ENCODER, SEQUENCE, MASKED_LM])
def test_so_does_a_copy_of_an_engine_that_reads_mapped_files(name, precision, tmp_path):
    model_of(name).save_pretrained(tmp_path)
    engine = Engine.from_pretrained(tmp_path, precision=precision)
    expected = engine(SEQUENCES)
    sent = pickle.dumps(engine)
    # Where it arrives, the files need not be.
    for file in tmp_path.iterdir():
        file.unlink()
    check(pickle.loads(sent)(SEQUENCES), expected, 0)


@pytest.mark.parametrize("name", CLASSES)
def test_each_weight_is_in_a_pickle_once(name, tmp_path):
    model = model_of(name, vocab_size=5000)
    size = sum(each.nbytes for each in model.parameters())
    model.save_pretrained(tmp_path)
    for engine in (Engine(model), Engine.from_pretrained(tmp_path)):
        assert size < len(pickle.dumps(engine)) < size + 40_000


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_machine_without_the_operators_computes_the_same_numbers(
    precision, monkeypatch
):
    engine = Engine(model_of(SEQUENCE), precision)
    expected, sent = engine(SEQUENCES), pickle.dumps(engine)
    for room in (operators, precisions):
        monkeypatch.setattr(room, "has_onednn", lambda dtype: False)
        monkeypatch.setattr(room, "has_int8", lambda: False)
    arrived = pickle.loads(sent)
    assert arrived.kernels == "torch"
    check(arrived(SEQUENCES), expected, {"float32": 1e-5}.get(precision, 0.1))


@pytest.mark.skipif("onednn" not in kernels_here("int8"), reason="needs oneDNN's int8")
def test_a_machine_whose_sums_overflow_gets_smaller_integers(monkeypatch):
    engine = Engine(model_of(SEQUENCE), "int8", kernels="onednn")
    monkeypatch.setattr(operators, "sums_are_exact", lambda: False)
    sent = pickle.dumps(engine)
    lin1 = pickle.loads(sent)._core._encoder.blocks[0].lin1
    assert lin1.weight.to_dense().abs().max() <= 63
    check(pickle.loads(sent)(SEQUENCES), engine(SEQUENCES), 0.1)


def test_an_engine_is_copied_while_others_use_it():
    engine = Engine(model_of(MASKED_LM))
    expected = engine(SEQUENCES)

    def use(number: int) -> list[torch.Tensor]:
        other = pickle.loads(pickle.dumps(engine)) if number % 2 else engine
        return other(SEQUENCES)

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(use, range(16)):
            check(found, expected, 0)


def test_a_copy_has_a_configuration_of_its_own():
    engine = Engine(model_of(SEQUENCE))
    copied = copy.deepcopy(engine)
    copied.config.id2label[0] = "another"
    assert engine.config.id2label[0] == "LABEL_0"


def test_labels_that_the_models_configuration_gets_later_are_not_the_engines():
    model = model_of(SEQUENCE)
    engine = Engine(model)
    model.config.id2label[0] = "another"
    assert engine.config.id2label[0] == "LABEL_0"
