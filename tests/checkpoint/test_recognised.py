"""A model counts as one of transformers' own, for those who ask with isinstance."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from typing import Any

import cloudpickle
import pytest
import torch
import transformers
from reference import NAMES, OURS, SMALL, ids_for, twins

from minidistil.auto import KINDS
from minidistil.checkpoint.pretrained import PreTrainedModel


def model_of(name: str) -> torch.nn.Module:
    return twins(OURS, name, **SMALL)[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_of_its_own_class_and_counts_as_one_of_theirs(name):
    model = model_of(name)
    assert type(model) is KINDS[name]
    assert isinstance(model, PreTrainedModel)
    assert isinstance(model, transformers.PreTrainedModel)
    assert not isinstance(model, getattr(transformers, name))
    assert model.__class__.__name__ == name
    assert model.__class__.__module__ == type(model).__module__
    assert repr(model).startswith(name)
    # No method of theirs has come with it.
    assert not hasattr(model, "add_model_tags")


def test_without_transformers_a_model_is_just_itself():
    program = """
import sys
from minidistil import DistilBertConfig, DistilBertModel

model = DistilBertModel(DistilBertConfig(dim=12, n_heads=2, n_layers=1))
assert model.__class__ is DistilBertModel
assert "transformers" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "cloudpickle": lambda model: pickle.loads(cloudpickle.dumps(model)),
    **{
        f"pickle {protocol}": lambda model, protocol=protocol: pickle.loads(
            pickle.dumps(model, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("make", COPIES)
@torch.no_grad()
def test_a_copy_is_of_the_same_class(make):
    model = model_of("DistilBertForMaskedLM")
    other = COPIES[make](model)
    assert type(other) is type(model)
    ids = ids_for("DistilBertForMaskedLM", 2, 3, 53)
    assert torch.equal(other(ids).logits, model(ids).logits)
    tied = other.vocab_projector.weight
    assert tied is other.distilbert.embeddings.word_embeddings.weight


def test_a_whole_model_goes_into_a_file_of_torch():
    model, file = model_of("DistilBertModel"), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert type(torch.load(file, weights_only=False)) is type(model)


def test_a_class_can_be_replaced_as_torch_does_for_sharding():
    model = model_of("DistilBertModel")
    kind = type("FSDPDistilBertModel", (type(model),), {})
    model.__class__ = kind
    assert type(model) is kind


def test_a_subclass_with_annotations_that_cannot_be_read_is_no_obstacle():
    class Mine(KINDS["DistilBertModel"]):
        config: NotDefinedAnywhere  # noqa: F821

        def __init_subclass__(cls, **options: Any) -> None:
            super().__init_subclass__(**options)

    model = Mine(model_of("DistilBertModel").config)
    assert isinstance(model, transformers.PreTrainedModel)


@pytest.mark.parametrize("name", NAMES)
def test_the_class_of_a_model_makes_and_loads_models(name, tmp_path):
    model = model_of(name)
    model.save_pretrained(tmp_path)
    kind = model.__class__
    for other in (kind(model.config), kind.from_pretrained(tmp_path)):
        assert type(other) is KINDS[name]
    assert kind == KINDS[name]
    assert {KINDS[name]: 1}[kind] == 1
    assert pickle.loads(pickle.dumps(kind)) is KINDS[name]


def test_a_subclass_of_the_class_of_a_model_is_one_of_its_own():
    model = model_of("DistilBertModel")

    class Mine(model.__class__):
        pass

    assert type(Mine(model.config)) is Mine
    assert Mine.__mro__[1] is KINDS["DistilBertModel"]
