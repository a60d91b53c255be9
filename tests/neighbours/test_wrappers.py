"""What torch itself wraps around a model: replicas, DDP, compile, vmap, export."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from answers import assert_answers
from checkpoints import draw_lively
from snippets import HEADS, NO_DROPOUT, OURS, THEIRS, assert_same_results, load
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.parallel import DistributedDataParallel, scatter_gather
from torch.optim.swa_utils import AveragedModel
from torch.utils import _pytree as pytree

pytestmark = pytest.mark.full

IDS = torch.tensor(
    [
        [101, 2000, 300, 102, 0, 0],
        [101, 400, 500, 2600, 700, 102],
        [101, 1800, 102, 0, 0, 0],
        [101, 900, 1000, 1100, 102, 0],
    ]
)
INPUTS = {"input_ids": IDS, "attention_mask": (IDS > 0).long()}
LABELS = torch.tensor([0, 2, 1, 1])


@pytest.fixture(params=["", *HEADS], ids=lambda head: head or "encoder")
def head(request):
    return request.param


@pytest.fixture
def folder(head, folder_of):
    architecture = f"DistilBertFor{head}" if head else "DistilBertModel"
    config = HEADS.get(head, {}) | NO_DROPOUT
    return folder_of(architecture, draw=draw_lively, **config)


@pytest.fixture(scope="module")
def classifier(folder_of):
    return folder_of(draw=draw_lively, num_labels=3, **NO_DROPOUT)


def inputs_for(head: str) -> dict[str, Tensor]:
    if head != "MultipleChoice":
        return INPUTS
    return {name: value.reshape(2, 2, -1) for name, value in INPUTS.items()}


def tensors_of(outputs: Any) -> list[Any]:
    return [
        [name, list(value) if isinstance(value, tuple) else value]
        for name, value in outputs.items()
    ]


class OnACpu:
    """What `Gather` of torch does on GPUs: one tensor of all the replicas' parts."""

    @staticmethod
    def apply(device: Any, dim: int, *parts: Tensor) -> Tensor:
        return torch.cat(
            [part[None] if part.dim() == 0 else part for part in parts], dim
        )


@pytest.mark.parametrize("everything", [False, True], ids=["plain", "everything"])
def test_outputs_of_replicas_are_gathered(folder, head, everything, monkeypatch):
    monkeypatch.setattr(scatter_gather, "Gather", OnACpu)
    inputs = inputs_for(head)

    def snippet(library):
        model, _ = load(library, head, folder)
        halves = [
            {name: value[at : at + 1] for name, value in inputs.items()}
            for at in range(2)
        ]
        asked = {"output_hidden_states": everything}
        with torch.no_grad():
            parts = [model(**half, **asked) for half in halves]
        found = scatter_gather.gather(parts, 0)
        assert type(found) is type(parts[0])
        return [tensors_of(found), found[0]]

    assert_same_results(snippet, tolerance=1e-4)


def test_a_replica_without_parameters_of_its_own_answers(folder, head):
    def replicated(module):
        """As `torch.nn.parallel.replicate` leaves it: tensors, and no parameters."""
        replica = module._replicate_for_data_parallel()
        for name, child in module.named_children():
            setattr(replica, name, replicated(child))
        for name, parameter in module.named_parameters(recurse=False):
            setattr(replica, name, parameter.detach().clone())
        return replica

    inputs = inputs_for(head)

    def snippet(library):
        model, _ = load(library, head, folder)
        replica = replicated(model)
        assert not list(replica.parameters())
        with torch.no_grad():
            return tensors_of(replica(**inputs))

    assert_same_results(snippet, tolerance=1e-4)


@pytest.fixture(autouse=True)
def nothing_is_compiled_yet():
    torch.compiler.reset()


@pytest.fixture
def alone():
    """A group of one process, which finds itself without a network."""
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_distributed_data_parallel(alone, classifier):
    def snippet(library):
        model, _ = load(library, "SequenceClassification", classifier)
        wrapped = DistributedDataParallel(model.train())
        outputs = wrapped(**INPUTS, labels=LABELS)
        outputs.loss.backward()
        gradients = {
            name: parameter.grad for name, parameter in model.named_parameters()
        }
        return [outputs.loss.detach(), outputs.logits.detach(), gradients]

    assert_same_results(snippet, tolerance=1e-4)


def test_outputs_are_trees_of_tensors(folder, head):
    inputs = inputs_for(head)

    def snippet(library):
        model, _ = load(library, head, folder)
        with torch.no_grad():
            outputs = model(**inputs, output_hidden_states=True)
        doubled = pytree.tree_map(lambda leaf: leaf * 2, outputs)
        leaves = pytree.tree_leaves(outputs)
        assert type(doubled) is type(outputs)
        return [tensors_of(doubled), leaves]

    assert_same_results(snippet, tolerance=1e-4)


def test_a_functional_call_uses_the_parameters_it_is_given(classifier):
    def snippet(library):
        model, _ = load(library, "SequenceClassification", classifier)
        halved = {name: value / 2 for name, value in model.named_parameters()}
        with torch.no_grad():
            return tensors_of(functional_call(model, halved, (), INPUTS))

    assert_same_results(snippet, tolerance=1e-4)


def test_the_gradients_of_each_row_by_vmap(classifier):
    model, _ = load(OURS, "SequenceClassification", classifier)
    parameters = {name: value.detach() for name, value in model.named_parameters()}

    def loss_of(parameters, ids, mask, label):
        row = {"input_ids": ids[None], "attention_mask": mask[None]}
        named = row | {"labels": label[None]}
        return functional_call(model, parameters, (), named).loss

    rows = vmap(grad(loss_of), in_dims=(None, 0, 0, 0))(
        parameters, INPUTS["input_ids"], INPUTS["attention_mask"], LABELS
    )
    for row in range(len(IDS)):
        model.zero_grad()
        one = {name: value[row : row + 1] for name, value in INPUTS.items()}
        model(**one, labels=LABELS[row : row + 1]).loss.backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(rows[name][row], parameter.grad)


def test_an_ensemble_by_vmap(classifier):
    model, _ = load(OURS, "SequenceClassification", classifier)
    scales = torch.tensor([1.0, 0.5, -1.0])
    stacked = {
        name: torch.stack([value.detach() * scale for scale in scales])
        for name, value in model.named_parameters()
    }
    with torch.no_grad():
        together = vmap(lambda each: functional_call(model, each, (), INPUTS))(stacked)
        assert type(together).__name__ == "SequenceClassifierOutput"
        for i, logits in enumerate(together.logits):
            one = {name: value[i] for name, value in stacked.items()}
            alone = functional_call(model, one, (), INPUTS).logits
            torch.testing.assert_close(logits, alone)


def test_a_model_compiled_whole_gives_the_same(folder, head):
    inputs = inputs_for(head)
    (ours, _), (theirs, _) = load(OURS, head, folder), load(THEIRS, head, folder)
    compiled = torch.compile(ours, backend="eager", fullgraph=True)
    with torch.no_grad():
        found, expected = compiled(**inputs), theirs(**inputs)
    assert type(found) is type(ours(**inputs))
    assert_answers(tensors_of(found), tensors_of(expected), 1e-4)


def test_an_exported_model_is_saved_and_loaded(folder, head, tmp_path):
    inputs = inputs_for(head)
    (ours, _), (theirs, _) = load(OURS, head, folder), load(THEIRS, head, folder)
    exported = torch.export.export(ours, (), inputs)
    torch.export.save(exported, tmp_path / "model.pt2")
    again = torch.export.load(tmp_path / "model.pt2").module()
    with torch.no_grad():
        found, expected = again(**inputs), theirs(**inputs)
    assert_answers(tensors_of(found), tensors_of(expected), 1e-4)


def test_averaged_weights(classifier):
    def snippet(library):
        model, _ = load(library, "SequenceClassification", classifier)
        averaged = AveragedModel(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 1.5
            averaged.update_parameters(model)
            averaged.update_parameters(model)
            return tensors_of(averaged(**INPUTS))

    assert_same_results(snippet, tolerance=1e-4)


def test_an_output_is_rebuilt_as_dataclasses_and_mappings_are(folder, head):
    inputs = inputs_for(head)

    def snippet(library):
        model, _ = load(library, head, folder)
        with torch.no_grad():
            outputs = model(**inputs)
        kind = type(outputs)
        again = [kind(dict(outputs)), kind(list(outputs.items())), kind(**outputs)]
        assert {type(each) for each in again} == {kind}
        return [[tensors_of(each), each[0]] for each in again]

    assert_same_results(snippet, tolerance=1e-4)
