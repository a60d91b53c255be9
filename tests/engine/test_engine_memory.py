"""What an engine takes of memory, and what it reads of a checkpoint."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from types import SimpleNamespace

import pytest
import torch
from checkpoints import write_checkpoint
from engines import CLASSES, PRECISIONS, answers, check, model_of, sequences_of
from reference import ENCODER, MASKED_LM, SEQUENCE, TOKEN
from safetensors.torch import load_file, save_file

from minidistil import (
    CheckpointError,
    CheckpointNotFoundError,
    ConfigError,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
)
from minidistil.auto import identify
from minidistil.engine import Engine, engine as engines

SEQUENCES = sequences_of([7, 1, 40, 3], 53)
WORDS = "distilbert.embeddings.word_embeddings.weight"
OUTPUT = "vocab_projector.weight"


@pytest.fixture(params=CLASSES)
def saved(request, tmp_path):
    """A model of each kind, and the folder that it is saved in."""
    model = model_of(request.param)
    model.save_pretrained(tmp_path)
    return model, tmp_path


# Mapped files ─────────────────────────────────────────────────────────────────────────


def test_a_mapped_model_is_the_loaded_one(saved):
    model, folder = saved
    mapped = type(model).mapped(folder)
    assert not mapped.training
    expected = dict(model.named_parameters())
    found = dict(mapped.named_parameters())
    assert [*found] == [*expected]
    for name, parameter in found.items():
        assert parameter.dtype == expected[name].dtype
        assert torch.equal(parameter, expected[name])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_from_a_checkpoint_or_from_a_model_the_engine_is_the_same(saved, precision):
    model, folder = saved
    engine = Engine.from_pretrained(folder, type(model), precision)
    assert engine.config.dim == model.config.dim
    check(engine(SEQUENCES), Engine(model, precision)(SEQUENCES), 0)


def test_the_checkpoint_says_which_kind_of_model_it_is(saved):
    model, folder = saved
    assert Engine.from_pretrained(folder).kind is type(model)


def test_all_files_are_of_the_commit_that_the_kind_was_read_from(saved, monkeypatch):
    # A hub repository whose branch moves on, played by a folder with a revision.
    model, folder = saved
    asked = []

    def opened(source, **where):
        found = identify(source)
        files = SimpleNamespace(revision="the commit of today")
        return found._replace(files=files)

    def mapped(source, **where):
        asked.append(where)
        return model

    monkeypatch.setattr(engines, "identify", opened)
    monkeypatch.setattr(type(model), "mapped", mapped)
    Engine.from_pretrained(folder, revision="main", token="secret")
    assert asked == [{"revision": "the commit of today", "token": "secret"}]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_mapped_numbers_keep_the_type_they_are_stored_in(tmp_path, dtype):
    model = model_of(SEQUENCE).to(dtype)
    model.save_pretrained(tmp_path)
    mapped = type(model).mapped(tmp_path)
    assert {each.dtype for each in mapped.parameters()} == {dtype}
    engine = Engine.from_pretrained(tmp_path, type(model))
    check(engine(SEQUENCES), answers(model.float(), SEQUENCES))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("both", [True, False])
def test_mapped_word_matrices_are_one_if_they_are_equal(tmp_path, tied, both):
    """A file may hold both though they are equal, and then is as good as tied."""
    model = model_of(MASKED_LM, tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    if tied and both:
        tensors = load_file(file)
        save_file(tensors | {OUTPUT: tensors[WORDS].clone()}, file)
    elif not tied and not both:
        tensors = load_file(file)
        del tensors[OUTPUT]
        save_file(tensors, file)
        with pytest.raises(CheckpointError, match="tie_word_embeddings is false"):
            DistilBertForMaskedLM.mapped(tmp_path)
        return
    mapped = DistilBertForMaskedLM.mapped(tmp_path)
    same = mapped.vocab_projector.weight is mapped.get_input_embeddings().weight
    assert same == tied
    engine = Engine.from_pretrained(tmp_path, DistilBertForMaskedLM)
    check(engine(SEQUENCES), answers(model, SEQUENCES))


def test_a_mapped_model_that_is_tied_in_its_configuration_only_is_not(tmp_path):
    model = model_of(MASKED_LM, tie_word_embeddings=False)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["tie_word_embeddings"] = True
    (tmp_path / "config.json").write_text(json.dumps(config))
    engine = Engine.from_pretrained(tmp_path, DistilBertForMaskedLM)
    check(engine(SEQUENCES), answers(model, SEQUENCES))


def test_the_numbers_are_not_read_until_they_are_used(tmp_path):
    model = model_of(SEQUENCE)
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    tensors[WORDS][7] = torch.nan
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="NaN"):
        type(model).from_pretrained(tmp_path)
    engine = Engine.from_pretrained(tmp_path, type(model))
    check(engine([[1, 2]]), answers(model, [[1, 2]]))
    with pytest.raises(ValueError, match="NaN"):
        engine([[1, 7]])
    tensors["pre_classifier.bias"][0] = torch.nan
    save_file(tensors, file)
    type(model).mapped(tmp_path)
    with pytest.raises(ValueError, match="holds NaN, infinite numbers"):
        Engine.from_pretrained(tmp_path, type(model))


def no_file(folder):
    (folder / "model.safetensors").unlink()


def no_configuration(folder):
    (folder / "config.json").unlink()


def cut_short(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def of_other_sizes(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_dim": 45}))


def one_tensor_less(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["classifier.bias"]
    save_file(tensors, folder / "model.safetensors")


def quantised(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.weight"] = tensors["classifier.weight"].to(torch.int8)
    save_file(tensors, folder / "model.safetensors")


def no_model_at_all(folder):
    (folder / "config.json").write_text('{"model_type": "gpt2"}')


@pytest.mark.parametrize(
    "damage",
    [
        no_file,
        no_configuration,
        cut_short,
        of_other_sizes,
        one_tensor_less,
        quantised,
        no_model_at_all,
    ],
)
def test_what_cannot_be_loaded_cannot_be_mapped(tmp_path, damage):
    write_checkpoint(tmp_path, vocabulary=120)
    damage(tmp_path)
    kind = DistilBertForSequenceClassification
    errors = (CheckpointError, CheckpointNotFoundError, ConfigError)
    with pytest.raises(errors) as loading:
        kind.from_pretrained(tmp_path)
    with pytest.raises(loading.type) as mapping:
        kind.mapped(tmp_path)
    assert str(mapping.value) == str(loading.value)
    with pytest.raises(loading.type):
        Engine.from_pretrained(tmp_path, kind)


def test_a_head_that_is_not_in_the_file_is_not_drawn(tmp_path):
    write_checkpoint(tmp_path, vocabulary=120)
    with pytest.raises(CheckpointError, match="does not fit"):
        Engine.from_pretrained(tmp_path, CLASSES[TOKEN])


def test_a_misspelt_keyword_is_refused():
    with pytest.raises(TypeError, match="revison"):
        Engine.from_pretrained("tiny", CLASSES[SEQUENCE], revison="main")


# Memory ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [SEQUENCE, ENCODER])
def test_release_empties_the_models_blocks_and_not_the_engine(name, precision):
    model = model_of(name)
    expected = Engine(model, precision)(SEQUENCES)
    engine = Engine(model, precision, release=True)
    blocks = model.encoder.transformer.layer.parameters()
    assert sum(each.numel() for each in blocks) == 0
    check(engine(SEQUENCES), expected, 0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_does_not_keep_its_model(precision):
    model = model_of(SEQUENCE)
    layer = weakref.ref(model.distilbert.transformer.layer[0].ffn.lin1)
    whole = weakref.ref(model)
    engine = Engine(model, precision)
    del model
    gc.collect()
    assert whole() is None
    assert layer() is None
    assert len(engine(SEQUENCES)) == len(SEQUENCES)


RESIDENT = """
import gc, sys
import torch
from minidistil import DistilBertConfig, DistilBertForSequenceClassification as Model
from minidistil.engine import Engine

def resident(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) << 10

folder, small, precision = sys.argv[1:]
Engine.from_pretrained(small, Model, precision)([[1, 2, 3]])  # what making one imports
"""
PEAK = f"""{RESIDENT}
before = resident("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # forget the highest mark
engine = Engine.from_pretrained(folder, Model, precision)
peak = resident("VmHWM") - before
gc.collect()
print(peak, resident("RssAnon"))
"""
REPEATED = f"""{RESIDENT}
sizes = []
for _ in range(6):
    engine = Engine.from_pretrained(folder, Model, precision)
    engine([[1, 2, 3]])
    del engine
    gc.collect()
    sizes.append(resident("VmRSS"))
print(max(sizes[2:]) - sizes[1], resident("VmHWM"))
"""
LARGE = {"vocab_size": 30522, "dim": 768, "hidden_dim": 3072, "n_heads": 12}
# The numbers in the matrices of a block of that size, and the bytes of each.
BLOCK = 4 * 768 * 768 + 2 * 768 * 3072
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A checkpoint of distilbert-base's size, and a small one."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, sizes in (("large", LARGE), ("small", {"dim": 20, "n_heads": 2})):
        config = DistilBertConfig(**{"vocab_size": 30, "hidden_dim": 44} | sizes)
        with torch.device("meta"):
            model = DistilBertForSequenceClassification(config)
        model.to_empty(device="cpu")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0.01)
        model.save_pretrained(folder / name)
    return folder / "large", folder / "small"


def run(script, folders, precision):
    command = [sys.executable, "-c", script, *folders, precision]
    # What is freed goes back to the system at once, and not to be used again.
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": "65536",
    }
    output = subprocess.check_output(command, env=environment, timeout=120)
    return [*map(int, output.split())]


@pytest.mark.sample(1)
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_making_takes_the_packed_weights_and_a_block_of_memory(folders, precision):
    peak, _ = run(PEAK, folders, precision)
    packed = 6 * BLOCK * BYTES[precision]
    # A block's numbers are in memory as they are mapped, and while they are packed; the
    # word embeddings, of 94 MB, are not. The rest is positions, head and interpreter.
    assert packed * 0.8 < peak < packed + 2 * BLOCK * 4 + 24e6


@pytest.mark.sample(1)
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_that_is_gone_takes_no_memory(folders, precision):
    grown, _ = run(REPEATED, folders, precision)
    # Each takes more than 40 MB.
    assert grown < 16e6
