"""Results by attribute, by key and by index."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import accelerate
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
    assert_same,
    ids_for,
    twins,
    zero_labels,
)
from torch.nn.parallel import scatter_gather
from torch.utils import _pytree as pytree

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


def test_a_changed_field_is_one_thing_and_keeps_its_place():
    out = outputs.MaskedLMOutput(logits=torch.ones(1), hidden_states=(torch.ones(2),))
    out.loss = torch.tensor(0.5)
    assert list(out) == ["loss", "logits", "hidden_states"]
    assert out[0] is out.loss is out["loss"]
    out["logits"] = None
    assert list(out) == ["loss", "hidden_states"]
    assert out.logits is None


def test_a_field_that_does_not_exist_is_named_with_those_that_do():
    out = outputs.MaskedLMOutput(logits=torch.ones(1))
    with pytest.raises(AttributeError, match=r"no 'logit'; it has logits"):
        _ = out.logit
    with pytest.raises(TypeError, match="no argument 'logit'; did you mean 'logits'"):
        outputs.MaskedLMOutput(logit=torch.ones(1))


@pytest.mark.parametrize("more", [("a", "b", "c", "d", "e"), ("a",)])
def test_a_field_is_given_once(more):
    with pytest.raises(TypeError, match=r"each of loss, logits, .* at most once"):
        outputs.MaskedLMOutput(*more, loss=torch.ones(1))


# Other libraries take results apart and build them again


BUILDS = {
    "mapping": lambda kind, out: kind(dict(out)),
    "pairs": lambda kind, out: kind(list(out.items())),
    "generator": lambda kind, out: kind((key, out[key]) for key in out),
    "names": lambda kind, out: kind(**out),
    "pickle": lambda _, out: pickle.loads(pickle.dumps(out)),
    "copy": lambda _, out: copy.copy(out),
    "deepcopy": lambda _, out: copy.deepcopy(out),
    "pytree": lambda _, out: pytree.tree_map(lambda tensor: tensor.clone(), out),
    "accelerate": lambda _, out: accelerate.utils.send_to_device(out, "cpu"),
    "accelerate, float32": lambda _, out: accelerate.utils.convert_to_fp32(out),
}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_built_again_as_transformers_is(name, build):
    with torch.no_grad():
        pair = full_result(name)
    ours, theirs = (BUILDS[build](type(out), out) for out in pair)
    assert type(ours) is type(pair[0])
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_results_of_several_devices_are_gathered_as_of_transformers(name, monkeypatch):
    # What nn.DataParallel does with the results of its devices. Without any, only the
    # last step, which puts two tensors together, has to be replaced.
    def together(device, dim, *tensors):
        return torch.cat([tensor.reshape(-1) for tensor in tensors])

    monkeypatch.setattr(scatter_gather.Gather, "apply", together)
    with torch.no_grad():
        ours, theirs = full_result(name)
    gathered = scatter_gather.gather([ours, ours], "cpu")
    assert type(gathered) is type(ours)
    assert_same(gathered, scatter_gather.gather([theirs, theirs], "cpu"))


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_tuple_is_returned_if_asked_for(name):
    ours, theirs = twins(OURS, name, attention="eager", **SMALL)
    ids = ids_for(name, 2, 3, 53)
    asked = {"return_dict": False, "output_attentions": True, **LABELS.get(name, {})}
    result = ours(ids, **asked)
    assert type(result) is tuple
    pytree.tree_map(assert_equal_bits, result, theirs(ids, **asked))


def assert_equal_bits(ours, theirs):
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_where_the_call_does_not_say_the_configuration_does(name):
    asked = {"output_hidden_states": True, "return_dict": False}
    ours, theirs = twins(OURS, name, **SMALL, **asked)
    ids = ids_for(name, 2, 3, 53)
    pytree.tree_map(assert_equal_bits, ours(ids), theirs(ids))
    assert_same(ours(ids, return_dict=True), theirs(ids, return_dict=True))
    plain = ours(ids, return_dict=True, output_hidden_states=False)
    assert plain.hidden_states is None


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
    assert len(FIELD.findall(source)) == source.count("# (") + source.count(" of (")
