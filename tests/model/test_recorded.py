"""Programs that are recorded from a call read the mask of the calls that follow.

In eager mode the model looks whether a mask hides anything. A program that is recorded
(torch.jit.trace, torch.onnx, torch.export, a CUDA graph) must not keep that answer.
"""

from __future__ import annotations

import warnings

import onnxruntime
import pytest
import torch
from reference import (
    ENCODER,
    MASKED_LM,
    NAMES,
    OURS,
    QUESTION,
    SEQUENCE,
    SMALL,
    check_recorded,
    ids_for,
    right_padded,
    twins,
)
from torch.utils import _pytree as pytree

from minidistil.inputs import is_true

PADS = torch.tensor([[7, 0, 0]])


@pytest.mark.parametrize("name", NAMES)
def test_a_traced_model_reads_the_mask(name):
    check_recorded(OURS, name)


class Wrapper(torch.nn.Module):
    """How people wrap a model to export it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids, attention_mask)[0]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.no_grad()
def test_onnx_of_one_full_sentence_reads_the_mask(attention, tmp_path):
    ours, theirs = twins(OURS, SEQUENCE, attention=attention, **SMALL)
    one = ids_for(SEQUENCE, 1, 5, 53)
    names = ["input_ids", "attention_mask"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the old one
        torch.onnx.export(
            Wrapper(ours),
            (one, torch.ones_like(one)),
            str(tmp_path / "model.onnx"),
            dynamo=False,
            input_names=names,
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names},
        )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    ids = ids_for(SEQUENCE, 3, 7, 53)
    mask = right_padded(ids)
    inputs = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    (found,) = session.run(None, inputs)
    expected = theirs(ids, attention_mask=mask).logits
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_model_is_exported_as_it_is_by_keywords():
    ours, theirs = twins(OURS, QUESTION, **SMALL)
    one = ids_for(QUESTION, 2, 5, 53)
    inputs = {"input_ids": one, "attention_mask": torch.ones_like(one)}
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=40)}
    shapes = dict.fromkeys(inputs, sizes)
    program = torch.export.export(ours, (), inputs, dynamic_shapes=shapes)
    ids = ids_for(QUESTION, 3, 7, 53)
    inputs = {"input_ids": ids, "attention_mask": right_padded(ids)}
    found, expected = program.module()(**inputs), theirs(**inputs)
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_vmap_takes_the_model_as_it_is(name):
    ours, theirs = twins(OURS, name, **SMALL)
    ids = torch.stack([ids_for(name, 2, 5, 53), ids_for(name, 2, 5, 53).flip(0)])
    masks = torch.stack([torch.ones_like(ids[0]), right_padded(ids[1])])
    found = torch.func.vmap(ours)(ids, masks)
    for i in range(2):
        expected = theirs(ids[i], attention_mask=masks[i])
        assert list(found) == list(expected)
        for key in expected:
            torch.testing.assert_close(found[key][i], expected[key], rtol=0, atol=1e-4)


@torch.no_grad()
def test_gradients_of_each_text_come_from_torch_func():
    ours, theirs = twins(OURS, SEQUENCE, **SMALL)
    ids, labels = ids_for(SEQUENCE, 3, 5, 53), torch.tensor([0, 1, 1])
    weights = dict(ours.named_parameters())

    def loss(weights, one, label):
        inputs = {"input_ids": one[None], "labels": label[None]}
        return torch.func.functional_call(ours, weights, kwargs=inputs).loss

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    found = each(weights, ids, labels)
    for i in range(3):
        with torch.enable_grad():
            theirs.zero_grad()
            theirs(ids[i : i + 1], labels=labels[i : i + 1]).loss.backward()
        for key, parameter in theirs.named_parameters():
            torch.testing.assert_close(
                found[key][i], parameter.grad, rtol=1e-3, atol=1e-4, msg=key
            )


def test_a_model_without_numbers_runs():
    model = OURS.DistilBertModel(twins(OURS, ENCODER, **SMALL)[0].config).to("meta")
    ids = torch.ones(2, 3, dtype=torch.long, device="meta")
    assert model(ids, torch.ones_like(ids)).last_hidden_state.shape == (2, 3, 20)


@pytest.mark.sample(3)
@pytest.mark.parametrize("full", [True, False], ids=["nothing hidden", "padded"])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_compiled_model_is_one_graph(name, full):
    ours, theirs = twins(OURS, name, **SMALL)
    ids = ids_for(name, 3, 7, 53)
    mask = torch.ones_like(ids) if full else right_padded(ids)
    found = torch.compile(ours, backend="eager", fullgraph=True)(ids, mask)
    expected = theirs(ids, attention_mask=mask)
    assert type(found) is type(ours(ids, mask))
    pytree.tree_map(
        lambda left, right: torch.testing.assert_close(left, right, rtol=0, atol=1e-4),
        found.to_tuple(),
        expected.to_tuple(),
    )


def test_no_value_is_read_while_a_graph_is_captured(monkeypatch):
    class OnGpu:
        is_cuda = True

        def __bool__(self):
            raise AssertionError("a value was read")

    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert is_true(OnGpu()) is False


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("name", [MASKED_LM, SEQUENCE])
@torch.inference_mode()
def test_a_captured_graph_reads_the_mask(name):
    ours, theirs = (model.cuda() for model in twins(OURS, name, **SMALL))
    ids = ids_for(name, 3, 7, 53).cuda()
    mask = torch.ones_like(ids)
    for _ in range(3):
        ours(ids, mask)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = ours(ids, mask).logits
    mask.copy_(right_padded(ids.cpu()))
    graph.replay()
    expected = theirs(ids, attention_mask=mask).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
