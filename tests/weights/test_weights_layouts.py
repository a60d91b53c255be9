"""The seven official layouts and what the community makes of them: load, run, save."""

from __future__ import annotations

import json
import shutil

import pytest
import safetensors.torch
import torch
import transformers
from layouts import (
    OFFICIAL,
    SMALL,
    SST_2,
    UNCASED,
    config_of,
    header_bytes,
    random_tensors,
    shapes_of,
    write_layout,
)

import minidistil
from minidistil.checkpoint.stored import read_header
from minidistil.weights.catalogue import OFFICIAL as CATALOGUE
from minidistil.weights.conversion import convert
from minidistil.weights.inspection import inspect

IDS = torch.tensor([[1, 7, 9, 3], [5, 2, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def model_class(config):
    return getattr(minidistil, config["architectures"][0])


@torch.no_grad()
def logits(model):
    out = model(IDS, attention_mask=MASK)
    return torch.cat([out[name].flatten() for name in out])


@pytest.mark.parametrize(
    ("name", "tensors", "size", "start"),
    [(SST_2, 104, 267_832_558, 12518), (UNCASED, 105, 267_954_768, 12648)],
)
def test_the_published_files_come_out_at_their_published_sizes(
    name, tensors, size, start, tmp_path
):
    shapes = shapes_of(config_of(name))
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:  # a hole in place of the numbers
        file.write(header_bytes(shapes))
        file.truncate(size)
    header = read_header(path)
    assert len(header.tensors) == tensors
    assert (header.size, header.data_start) == (size, start)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_catalogue_has_the_size_of_the_file_or_of_the_numbers(name):
    (known,) = (each for each in CATALOGUE if each.repo == f"distilbert/{name}")
    shapes = shapes_of(config_of(name))
    numbers = sum(4 * torch.Size(shape).numel() for shape in shapes.values())
    sizes = {"file": len(header_bytes(shapes)) + numbers, "numbers": numbers}
    assert known.bytes == sizes[known.bytes_of]


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_layout_loads_runs_and_saves(name, tmp_path):
    folder, config = write_layout(tmp_path / "in", name), config_of(name)
    model = model_class(config).from_pretrained(folder)
    assert logits(model).isfinite().all()
    model.save_pretrained(tmp_path / "out")
    del model
    with (
        safetensors.safe_open(folder / "model.safetensors", "pt") as before,
        safetensors.safe_open(tmp_path / "out" / "model.safetensors", "pt") as after,
    ):
        assert set(before.keys()) == set(after.keys())
        for each in before.keys():  # noqa: SIM118 (the file is no mapping)
            assert torch.equal(before.get_tensor(each), after.get_tensor(each))
    shutil.rmtree(tmp_path)  # a gigabyte, of the largest


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_layout_answers_as_transformers_does(name, tmp_path):
    folder, config = write_layout(tmp_path, name, **SMALL), config_of(name, **SMALL)
    theirs = getattr(transformers, config["architectures"][0]).from_pretrained(folder)
    for parameter in theirs.parameters():
        parameter.data = parameter.data.clone()  # aligned as ours are
    ours = model_class(config).from_pretrained(folder)
    assert torch.equal(logits(ours), logits(theirs.eval()))


@pytest.mark.parametrize("name", OFFICIAL)
def test_inspecting_tells_what_an_official_layout_is_for(name, tmp_path):
    found = inspect(write_layout(tmp_path, name, **SMALL))
    assert found.kind == config_of(name)["architectures"][0]
    assert found.loading.loads == "as it is"
    assert [*found.loading.fit.placed] != []


# What the community has. Each variant changes a sound file's tensors or its config.

HEAD = "DistilBertForSequenceClassification"


def unprefixed(tensors, config):
    tensors = {n.removeprefix("distilbert."): t for n, t in tensors.items()}
    return tensors, config


def with_gamma_and_beta(tensors, config):
    return {
        name.replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta")
        .replace("layer_norm.weight", "layer_norm.gamma")
        .replace("layer_norm.bias", "layer_norm.beta"): tensor
        for name, tensor in tensors.items()
    }, config


def with_position_ids(tensors, config):
    name = "distilbert.embeddings.position_ids"
    return tensors | {name: torch.arange(512)[None]}, config


def without_num_labels(tensors, config):
    return tensors, {key: value for key, value in config.items() if "label" not in key}


VARIANTS = {
    function.__name__: function
    for function in (
        unprefixed,
        with_gamma_and_beta,
        with_position_ids,
        without_num_labels,
    )
}


def write(folder, tensors, config, metadata=None):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata)
    return folder


def reference(tensors, config):
    """What transformers makes of the sound tensors: logits of `IDS`."""
    cls = getattr(transformers, config["architectures"][0])
    model = cls(transformers.DistilBertConfig(**config)).eval()
    loaded = model.load_state_dict(tensors, strict=False)
    assert loaded.unexpected_keys == []
    assert set(loaded.missing_keys) <= {"vocab_projector.weight"}
    return logits(model)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_answers_as_the_sound_file_does(variant, metadata, tmp_path):
    config = config_of(SST_2, **SMALL)
    tensors = random_tensors(config)
    folder = write(tmp_path / "in", *VARIANTS[variant](tensors, config), metadata)
    model = minidistil.AutoModelForSequenceClassification.from_pretrained(folder)
    assert torch.equal(logits(model), reference(tensors, config))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_converted_to_the_sound_file(variant, tmp_path):
    config = config_of(SST_2, **SMALL)
    tensors = random_tensors(config)
    folder = write(tmp_path / "in", *VARIANTS[variant](tensors, config))
    made = convert(folder, tmp_path / "out")
    assert made.kind == HEAD
    found = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_a_projector_that_differs_from_the_words_is_used_and_kept(tmp_path):
    config = config_of(UNCASED, **SMALL)
    tensors = random_tensors(config)
    words = "distilbert.embeddings.word_embeddings.weight"
    untied = tensors | {"vocab_projector.weight": torch.randn_like(tensors[words])}
    folder = write(tmp_path / "in", untied, config)
    model = minidistil.AutoModelForMaskedLM.from_pretrained(folder)
    expected = reference(untied, config | {"tie_word_embeddings": False})
    assert torch.equal(logits(model), expected)
    convert(folder, tmp_path / "out")
    again = minidistil.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(again), expected)


def test_a_projector_that_is_the_words_is_written_once(tmp_path):
    config = config_of(UNCASED, **SMALL)
    tensors = random_tensors(config)
    words = tensors["distilbert.embeddings.word_embeddings.weight"]
    folder = write(
        tmp_path / "in", tensors | {"vocab_projector.weight": words.clone()}, config
    )
    made = convert(folder, tmp_path / "out")
    assert made.left_out == ["vocab_projector.weight"]
    model = minidistil.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(model), reference(tensors, config))
