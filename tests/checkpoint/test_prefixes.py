"""Names with something before them, which a wrapper around the model puts there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import SHAPE
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minidistil import (
    CheckpointError,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertModel,
    load,
)
from minidistil.cli import main
from minidistil.weights.conversion import convert


class Lit(nn.Module):
    """A module that holds a model, as Lightning's do."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager")


WRAPPERS = {
    "_orig_mod": (compiled, "torch.compile"),
    "module": (nn.DataParallel, "DataParallel or DistributedDataParallel"),
    "module._orig_mod": (
        lambda model: nn.DataParallel(compiled(model)),
        "DataParallel or DistributedDataParallel and torch.compile",
    ),
    "model": (Lit, "Lightning"),
}


@pytest.fixture
def model() -> DistilBertForSequenceClassification:
    return DistilBertForSequenceClassification(DistilBertConfig(**SHAPE)).eval()


def tensors_of(wrapped: nn.Module) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in wrapped.state_dict().items()}


def write(folder: Path, model: Any, wrapped: nn.Module) -> Path:
    model.save_pretrained(folder)
    save_file(tensors_of(wrapped), folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("prefix", WRAPPERS)
def test_a_prefix_is_explained_and_the_command_that_is_named_removes_it(
    tmp_path, model, prefix
):
    wrap, origin = WRAPPERS[prefix]
    folder = write(tmp_path / "wrapped", model, wrap(model))
    with pytest.raises(CheckpointError) as error:
        DistilBertForSequenceClassification.from_pretrained(folder)
    last = str(error.value).splitlines()[-1]
    assert f"'{prefix}.'" in last
    assert origin in last
    assert "two different models" not in last
    command = f"minidistil weights convert SOURCE FOLDER --rename {prefix}="
    assert f"`{command}`" in last
    out = tmp_path / "out"
    words = command.replace("SOURCE", str(folder)).replace("FOLDER", str(out)).split()
    assert CliRunner().invoke(main, words[1:]).exit_code == 0
    again = load(out)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.parametrize("rename", [{"module": ""}, {"module.": ""}])
def test_a_prefix_is_removed_as_a_whole(tmp_path, model, rename):
    folder = write(tmp_path / "wrapped", model, nn.DataParallel(model))
    made = convert(folder, tmp_path / "out", rename=rename)
    assert made.kind == "DistilBertForSequenceClassification"
    assert load_file(tmp_path / "out" / "model.safetensors").keys() == {
        *model.state_dict()
    }


def test_a_prefix_of_the_encoder_alone_is_removed(tmp_path, model):
    folder = write(tmp_path / "wrapped", model, model)
    model.distilbert = compiled(model.distilbert)
    save_file(tensors_of(model), folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"--rename distilbert\._orig_mod="):
        load(folder)
    convert(folder, tmp_path / "out", rename={"distilbert._orig_mod": ""})
    load(tmp_path / "out")


def test_a_tensor_needs_a_name(tmp_path, model):
    folder = write(tmp_path / "in", model, model)
    with pytest.raises(ValueError, match="is a tensor and needs a name"):
        convert(folder, tmp_path / "out", rename={"classifier.bias": ""})


def test_what_was_renamed_must_not_meet_another(tmp_path, model):
    tensors = tensors_of(nn.DataParallel(model))
    model.save_pretrained(tmp_path)
    tensors["classifier.bias"] = torch.ones(2)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"there is a 'classifier\.bias' already"):
        convert(tmp_path, tmp_path / "out", rename={"module": ""})


def test_a_model_with_its_adapter_is_told_from_a_prefix(tmp_path, model):
    """The names that the whole state dict of a peft model has."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        inner = name.replace("q_lin.", "q_lin.base_layer.")
        tensors[f"base_model.model.{inner}"] = tensor.clone()
    tensors["base_model.model.x.lora_A.default.weight"] = torch.ones(2)
    model.save_pretrained(tmp_path)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"peft put there.*merge_and_unload\(\)"):
        load(tmp_path)


def test_names_without_a_prefix_are_explained_as_before(tmp_path, model):
    folder = write(tmp_path, model, model)
    tensors = load_file(folder / "model.safetensors")
    del tensors["distilbert.embeddings.LayerNorm.bias"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="are of two different models"):
        load(folder)


def test_a_state_dict_in_memory_is_explained_too(tmp_path, model):
    tensors = tensors_of(nn.DataParallel(model))
    with pytest.raises(RuntimeError, match=r"begin with 'module\.', which DataPar"):
        model.load_state_dict(tensors)
    with pytest.raises(CheckpointError, match=r"begin with 'module\.', which DataPar"):
        model.save_pretrained(tmp_path, state_dict=tensors)
    with pytest.raises(CheckpointError, match=r"begin with 'module\.', which DataPar"):
        type(model).from_pretrained(None, config=model.config, state_dict=tensors)


def test_nothing_but_a_prefix_is_not_loaded_in_silence(model):
    """What torch does with ``strict=False``: nothing."""
    tensors = tensors_of(nn.DataParallel(model))
    with pytest.warns(UserWarning, match=r"nothing was loaded.*'module\.'"):
        model.load_state_dict(tensors, strict=False)


def test_torchs_own_errors_stay(model):
    tensors = tensors_of(model)
    del tensors["classifier.bias"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\).*"classifier\.bias"'):
        model.load_state_dict(tensors)
    found = model.load_state_dict(tensors, strict=False)
    assert found.missing_keys == ["classifier.bias"]


def test_the_bare_encoders_names_have_no_prefix(tmp_path):
    encoder = DistilBertModel(DistilBertConfig(**SHAPE))
    folder = write(tmp_path, encoder, compiled(encoder))
    with pytest.raises(CheckpointError, match="--rename _orig_mod="):
        load(folder)
