"""Classes that people derive from ours, with layers of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from checkpoints import SHAPE, same_weights
from torch import Tensor, nn

from minidistil import (
    CheckpointError,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertModel,
    DistilBertPreTrainedModel,
    load,
)

IDS = torch.tensor([[5, 9, 3, 7], [1, 2, 3, 4]])


class Gated(DistilBertForSequenceClassification):
    """One more layer on a known head; its __init__ takes a config alone."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.gate = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Tanh())

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        return self.gate(super().forward(*inputs, **named).logits)


class Pooled(DistilBertPreTrainedModel):
    """A head from nothing, written as transformers' guides have it."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.norm = nn.BatchNorm1d(config.dim)
        self.lstm = nn.LSTM(config.dim, 5, batch_first=True)
        self.temperature = nn.Parameter(torch.tensor([2.0]))
        self.register_buffer("scale", torch.arange(5.0))
        self.register_buffer("steps", torch.arange(5), persistent=False)
        self.classifier = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
        self.post_init()

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.distilbert(input_ids).last_hidden_state
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        x, _ = self.lstm(x)
        return self.classifier(x[:, -1] * self.scale + self.steps) / self.temperature


class Renamed(DistilBertForSequenceClassification):
    """Nothing of its own."""


def trained(kind: type[Any]) -> Any:
    torch.manual_seed(3)
    model = kind(DistilBertConfig(**SHAPE))
    model.train()(IDS)  # the running means of a normalisation
    return model.eval()


@pytest.mark.parametrize("kind", [Gated, Pooled, Renamed])
def test_a_subclass_is_saved_and_loaded_with_its_own_layers(tmp_path, kind):
    model = trained(kind)
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert same_weights(again, model)
    with torch.no_grad():
        got, expected = again(IDS), model(IDS)
    assert torch.equal(*(getattr(each, "logits", each) for each in (got, expected)))
    assert not again.training


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_its_own_layers_have_the_type_that_is_asked_for(tmp_path, dtype):
    trained(Pooled).save_pretrained(tmp_path)
    for new_head in (False, True):
        again = Pooled.from_pretrained(tmp_path, dtype=dtype, new_head=new_head)
        state = again.state_dict()
        assert state["norm.num_batches_tracked"].dtype == torch.int64
        assert {each.dtype for each in state.values()} == {dtype, torch.int64}


@pytest.mark.parametrize("kind", [Gated, Pooled])
def test_its_own_layers_are_not_made_up(tmp_path, kind):
    trained(DistilBertModel).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError) as error:
        kind.from_pretrained(tmp_path)
    message = str(error.value)
    assert "new_head=True" in message
    assert "two different models" not in message
    own = "gate.0.weight" if kind is Gated else "lstm.weight_ih_l0"
    assert f"{own} " in message


@pytest.mark.parametrize("kind", [Gated, Pooled])
def test_its_own_layers_are_new_if_that_is_asked_for(tmp_path, kind, recwarn):
    encoder = trained(DistilBertModel)
    encoder.save_pretrained(tmp_path)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = kind.from_pretrained(tmp_path, new_head=True)
        assert same_weights(model.distilbert, encoder)
        drawn.append(torch.cat([each.flatten() for each in model.parameters()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert all(each.isfinite().all() for each in drawn)
    assert [str(each.message) for each in recwarn] == []


def test_new_layers_are_what_the_class_makes(tmp_path):
    trained(DistilBertModel).save_pretrained(tmp_path)
    model = Pooled.from_pretrained(tmp_path, new_head=True)
    assert torch.equal(model.temperature, torch.tensor([2.0]))
    assert torch.equal(model.scale, torch.arange(5.0))
    assert torch.equal(model.steps, torch.arange(5))
    assert bool((model.norm.weight == 1).all())
    # As transformers does for the layers that it knows.
    assert not model.classifier[0].bias.any()


def test_the_encoder_must_fit_all_the_same(tmp_path):
    trained(DistilBertModel).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="two different models"):
        Gated.from_pretrained(tmp_path, new_head=True, hidden_dim=24)


def test_attention_is_the_one_that_is_asked_for(tmp_path):
    trained(Gated).save_pretrained(tmp_path)
    model = Gated.from_pretrained(tmp_path, attn_implementation="eager")
    assert model.distilbert.attn_implementation == "eager"
    with pytest.raises(ValueError, match="expected 'eager' or 'sdpa'"):
        Gated.from_pretrained(tmp_path, attn_implementation="flex")


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (Gated, "DistilBertForSequenceClassification"),
        (Renamed, "DistilBertForSequenceClassification"),
        (Pooled, "DistilBertModel"),
    ],
)
def test_the_file_names_a_class_that_transformers_opens(tmp_path, kind, known):
    model = trained(kind)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [known]
    theirs, report = getattr(transformers, known).from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert same_weights(getattr(theirs, "distilbert", theirs), model.distilbert)


def test_load_says_of_which_class_strange_layers_may_be(tmp_path):
    trained(Gated).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="saved by a subclass with layers of its"):
        load(tmp_path)


class Wider(DistilBertForSequenceClassification):
    def __init__(self, config: DistilBertConfig, width: int) -> None:
        super().__init__(config)
        self.wide = nn.Linear(config.dim, width)


def test_a_class_that_loading_could_not_build_is_not_saved(tmp_path: Path):
    model = Wider(DistilBertConfig(**SHAPE), 5)
    with pytest.raises(CheckpointError, match=r"Wider\(config\) raises.*config\.extra"):
        model.save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_subclass_whose_layers_were_changed_is_not_saved(tmp_path):
    model = trained(Gated)
    model.gate = nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match=r"gate\.0\.weight \(2, 2\) is missing"):
        model.save_pretrained(tmp_path)
