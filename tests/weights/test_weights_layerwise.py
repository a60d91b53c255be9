"""Two models side by side, layer by layer; and the script that puts transformers there.

The script must find what is broken, and name it first.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from checkpoints import write_checkpoint
from click.testing import CliRunner
from reference import ATTENTIONS, HEADS
from torch import nn
from transformers.utils import logging

from minidistil import AutoModel, progress
from minidistil.weights.layerwise import (
    compare_layers,
    first_difference,
    record_layers,
)

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_with_transformers.py"
IDS = torch.tensor([[101, 2054, 102]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model"), vocabulary=4000)


def run(*arguments):
    main = runpy.run_path(str(SCRIPT))["main"]
    return CliRunner().invoke(main, [str(each) for each in arguments])


def recorded(model):
    return record_layers(model, lambda model: model(IDS))


def test_models_without_a_common_layer_do_not_agree():
    with pytest.raises(ValueError, match="no layer in common: 1 layers were recorded"):
        compare_layers({"a": torch.ones(1)}, {})


def test_every_layer_is_recorded_in_order_of_completion(folder):
    model = AutoModel.from_pretrained(folder)
    names = [*recorded(model)]
    assert names[0] == "embeddings.word_embeddings"
    assert names[-1] == ""  # the model itself
    assert "transformer.layer.1.attention.q_lin" in names
    assert names.index("transformer.layer.0") < names.index("transformer.layer.1")


def test_recording_leaves_no_hooks(folder):
    model = AutoModel.from_pretrained(folder)
    recorded(model)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_recorded_output_is_not_changed_by_what_follows():
    class Doubling(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x):
            return self.inner(x).mul_(2)

    found = record_layers(Doubling(), lambda model: model(torch.ones(2)))
    assert found["inner"].tolist() == [1, 1]
    assert found[""].tolist() == [2, 2]


def test_the_same_model_has_no_difference(folder):
    model = AutoModel.from_pretrained(folder)
    rows = compare_layers(recorded(model), recorded(model))
    assert {row.status for row in rows} == {"OK"}
    assert first_difference(rows) is None


def test_the_first_layer_that_differs_is_named(folder):
    ours, theirs = (AutoModel.from_pretrained(folder) for _ in range(2))
    with torch.no_grad():
        theirs.transformer.layer[1].ffn.lin1.bias[0] += 1
    rows = compare_layers(recorded(ours), recorded(theirs))
    assert first_difference(rows).name == "transformer.layer.1.ffn.lin1"
    assert first_difference(rows).status == "DIFF"
    assert first_difference(rows).difference == pytest.approx(1, abs=1e-5)


def test_a_small_difference_may_be_allowed():
    left, right = {"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([1.0, 2.5])}
    assert compare_layers(left, right)[0].status == "DIFF"
    assert compare_layers(left, right, 0.5)[0].status == "OK"


def test_another_shape_is_told():
    (row,) = compare_layers({"a": torch.ones(2, 3)}, {"a": torch.ones(3, 2)}, 10.0)
    assert (row.status, row.shapes) == ("SHAPE", ((2, 3), (3, 2)))


def test_a_number_that_is_none_is_a_difference():
    left, right = {"a": torch.tensor([1.0])}, {"a": torch.tensor([float("nan")])}
    (row,) = compare_layers(left, right, 10.0)
    assert (row.status, row.difference) == ("DIFF", float("inf"))


# The script


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_our_model_and_transformers_have_no_difference(folder, attention, dtype):
    result = run(folder, "--attention", attention, "--dtype", dtype)
    assert result.exit_code == 0, result.output
    assert "no difference in" in result.stdout
    assert "DIFF" not in result.stdout
    assert "transformer.layer.1.attention.q_lin" in result.stdout


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_can_be_compared(tmp_path, kind):
    result = run(write_checkpoint(tmp_path, kind))
    assert result.exit_code == 0, result.output
    assert f"{kind} in float32" in result.stdout


def test_a_broken_layer_of_ours_is_found_and_named(folder, monkeypatch):
    from minidistil import model

    real = model.FFN.forward
    monkeypatch.setattr(model.FFN, "forward", lambda self, x: real(self, x) * 1.01)
    result = run(folder)
    assert result.exit_code == 1
    broken = "distilbert.transformer.layer.0.ffn"
    assert f"the first difference is in {broken}\n" in result.stdout


def test_the_other_attention_differs_in_the_last_bits_only(folder, monkeypatch):
    from minidistil import model

    real = model.DistilBertModel.__init__

    def eager(self, config, *, attn_implementation="sdpa"):
        real(self, config, attn_implementation="eager")

    monkeypatch.setattr(model.DistilBertModel, "__init__", eager)
    assert run(folder, "--tolerance", "1e-4").exit_code == 0


def test_a_checkpoint_that_is_not_there_is_told(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "has no file 'config.json'" in result.output


def test_json_has_every_layer_and_how_it_was_compared(folder):
    result = run(folder, "--json", "--device", "cpu", "--dtype", "float64")
    record = json.loads(result.stdout)
    layers = record.pop("layers")
    assert record == {
        "source": str(folder),
        "model": "DistilBertForSequenceClassification",
        "dtype": "float64",
        "attention": "sdpa",
        "device": "cpu",
        "tolerance": 0.0,
        "first_difference": None,
    }
    assert {layer["status"] for layer in layers} == {"OK"}
    names = [layer["name"] for layer in layers]
    assert "distilbert.transformer.layer.1.ffn.lin2" in names
    assert layers[-1]["shapes"] == [[2, 2], [2, 2]]


def test_json_names_the_first_difference_and_has_no_infinity(folder, monkeypatch):
    from minidistil import model

    real = model.FFN.forward
    monkeypatch.setattr(
        model.FFN, "forward", lambda self, x: real(self, x) * float("nan")
    )
    result = run(folder, "--json")
    assert result.exit_code == 1
    record = json.loads(result.stdout, parse_constant=pytest.fail)
    assert record["first_difference"] == "distilbert.transformer.layer.0.ffn"
    found = {layer["name"]: layer for layer in record["layers"]}
    broken = found["distilbert.transformer.layer.0.ffn"]
    assert (broken["status"], broken["difference"]) == ("DIFF", None)


@pytest.mark.parametrize("device", ["gpu", "meta"])
def test_a_device_that_cannot_compute_is_told(folder, device):
    result = run(folder, "--device", device)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code != 0
    assert f"'{device}'" in result.output


def test_both_models_go_to_the_device(folder, monkeypatch):
    asked = []
    real = nn.Module.to
    monkeypatch.setattr(
        nn.Module, "to", lambda self, *at: asked.append((self, at)) or real(self, *at)
    )
    assert run(folder, "--device", "cpu:0").exit_code == 0
    theirs = [each for each, at in asked if at == ("cpu:0",)]
    assert "transformers" in type(theirs[-1]).__module__


@pytest.mark.parametrize("terminal", [True, False])
def test_what_takes_a_while_has_bars_on_a_terminal_alone(folder, monkeypatch, terminal):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda _: terminal, raising=False
    )
    logging.enable_progress_bar()  # transformers' own, which the script turns off
    result = run(folder)
    assert result.exit_code == 0
    assert "Loading weights" not in result.stderr
    for stage in ("loading ours", "loading theirs", "running"):
        assert (f"{stage}: 00:00" in result.stderr) is terminal
    assert terminal or result.stderr == ""
