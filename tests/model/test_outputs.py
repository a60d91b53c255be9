"""Results by attribute, by key and by index."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest
import torch
from reference import (
    CHOICE,
    CHOICES,
    LABELS,
    NAMES,
    OURS,
    QUESTION,
    SMALL,
    ids_for,
    twins,
    zero_labels,
)

from minidistil import outputs


def full_result(name):
    model, theirs = twins(OURS, name, attention="eager", **SMALL)
    asked = {"output_hidden_states": True, "output_attentions": True}
    inputs = {"input_ids": ids_for(name, 2, 3, 53), **LABELS.get(name, {}), **asked}
    return model(**inputs), theirs(**inputs)


@pytest.mark.parametrize("name", NAMES)
def test_results_have_the_keys_of_transformers_in_the_same_order(name):
    ours, theirs = full_result(name)
    assert list(ours) == list(ours.keys()) == list(theirs.keys())
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_attribute_key_and_index_are_one_thing(name):
    out, _ = full_result(name)
    for i, key in enumerate(out):
        assert out[key] is getattr(out, key) is out[i] is out.to_tuple()[i]


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_what_was_not_asked_for_is_none_and_leaves_no_gap(name):
    model, _ = twins(OURS, name, **SMALL)
    out = model(ids_for(name, 2, 3, 53))
    first = next(iter(out))
    assert first in ("last_hidden_state", "logits", "start_logits")
    assert out[0] is out[first]
    assert out.hidden_states is None
    assert out.attentions is None
    assert "hidden_states" not in out
    assert None not in out.values()
    assert tuple(out.values()) == out.to_tuple() == out[:]


def test_a_result_unpacks_like_a_mapping():
    out = outputs.MaskedLMOutput(loss=None, logits=torch.ones(1))
    assert {**out} == {"logits": out.logits}
    assert dict(out.items()) == {"logits": out.logits}
    assert out.get("loss") is None


def test_a_missing_result_is_named_with_those_that_are_there():
    out = outputs.MaskedLMOutput(loss=None, logits=torch.ones(1))
    for key in ("loss", "attention"):
        with pytest.raises(KeyError, match=rf"'{key}' is not among .*\['logits'\]"):
            out[key]


def test_an_index_beyond_the_results_is_an_error():
    out = outputs.MaskedLMOutput(loss=None, logits=torch.ones(1))
    with pytest.raises(IndexError):
        out[1]


def test_a_result_cannot_be_changed():
    out = outputs.MaskedLMOutput(loss=None, logits=torch.ones(1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        out.logits = torch.zeros(1)


# What the comments beside the fields say: "(B, T, D)" or "L + 1 of (B, T, D)".
FIELD = re.compile(r"^    (\w+): .*# (?:(.+) of )?(\(.*\))$", re.MULTILINE)
# All different, so that no letter can stand for another.
SIZES = {"B": 5, "T": 7, "D": 20, "H": 4, "L": 3, "V": 53}


@pytest.mark.parametrize("name", NAMES)
def test_the_stated_shapes_are_the_shapes(name):
    classes = {QUESTION: 2, CHOICE: CHOICES}.get(name, 6)
    config = SMALL | {"n_heads": 4, "num_labels": classes if name != CHOICE else 2}
    model, _ = twins(OURS, name, **config)
    ids = ids_for(name, 5, 7, 53)
    labels = zero_labels(name, 5, 7)
    out = model(ids, **labels, output_hidden_states=True, output_attentions=True)
    stated = FIELD.findall(inspect.getsource(type(out)))
    assert len(stated) >= 2
    for field, count, shape in stated:
        tensors = getattr(out, field)
        if count:
            assert len(tensors) == eval(count, SIZES)
        else:
            tensors = (tensors,)
        expected = eval(shape, SIZES | {"C": classes})
        assert {tuple(tensor.shape) for tensor in tensors} == {expected}


def test_every_shape_in_the_source_is_read():
    source = inspect.getsource(outputs)
    assert len(FIELD.findall(source)) == source.count("# ")
