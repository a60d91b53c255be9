"""The script that loads a checkpoint by hand, beside the library and transformers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from checkpoints import write_checkpoint
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

SCRIPT = Path(__file__).parents[2] / "scripts" / "load_step_by_step.py"
EQUAL = [
    "Loaded by minidistil: equal, to the last bit.",
    "Loaded by transformers: equal, to the last bit.",
]
CLASSES = [
    "DistilBertModel",
    "DistilBertForMaskedLM",
    "DistilBertForSequenceClassification",
    "DistilBertForTokenClassification",
    "DistilBertForQuestionAnswering",
    "DistilBertForMultipleChoice",
]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("load_step_by_step", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script, *arguments: str | Path) -> Result:
    return CliRunner().invoke(script.main, [*map(str, arguments)])


def rewrite(folder: Path, change) -> None:
    """Save the tensors of a checkpoint again, changed."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def test_it_can_be_read_in_one_go():
    assert len(SCRIPT.read_text("utf-8").splitlines()) < 150


def test_the_embedded_checkpoint_is_loaded_without_arguments(script):
    result = run(script)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == EQUAL
    assert "header up to byte 12,312" in result.output
    assert "  classifier.bias   " in result.output


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_loaded_and_gives_the_same_bits(script, tmp_path, kind):
    write_checkpoint(tmp_path, kind)
    result = run(script, tmp_path, "A text about [MASK].")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == EQUAL
    assert f"{kind}: " in result.output


@pytest.mark.parametrize("kind", CLASSES[:-1])
def test_a_class_is_known_by_its_tensors(script, tmp_path, kind):
    write_checkpoint(tmp_path, kind)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["architectures"]
    path.write_text(json.dumps(config))
    result = run(script, tmp_path / "model.safetensors")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == EQUAL
    assert f"{kind}: " in result.output


def test_an_output_matrix_of_its_own_is_used(script, tmp_path):
    write_checkpoint(tmp_path, "DistilBertForMaskedLM")
    path = tmp_path / "config.json"
    config = json.loads(path.read_text()) | {"tie_word_embeddings": False}
    path.write_text(json.dumps(config))

    def untie(tensors):
        words = tensors["distilbert.embeddings.word_embeddings.weight"]
        return tensors | {"vocab_projector.weight": torch.randn_like(words)}

    rewrite(tmp_path, untie)
    result = run(script, tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == EQUAL


def test_old_names_are_matched(script, tmp_path):
    write_checkpoint(tmp_path, "DistilBertForSequenceClassification")

    def age(tensors):
        old = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): tensor
            for name, tensor in tensors.items()
        }
        ids = torch.arange(48)[None].float()
        return old | {"distilbert.embeddings.position_ids": ids}

    rewrite(tmp_path, age)
    result = run(script, tmp_path)
    assert result.exit_code == 0, result.output
    assert EQUAL[0] in result.output


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file[:6], "not a whole safetensors file"),
        (lambda file: file[:100], "not a whole safetensors file"),
        (lambda file: b"\xff" * 8 + file[8:], "not a whole safetensors file"),
        (lambda file: file.replace(b'"F32"', b'"I32"'), "I32 is not a type of weights"),
        (
            lambda file: file.replace(b'"classifier.bias"', b'"classifier.bxas"'),
            "has no place for classifier.bxas",
        ),
    ],
)
def test_a_damaged_file_is_one_clear_error(script, tmp_path, damage, message):
    write_checkpoint(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    result = run(script, tmp_path)
    assert result.exit_code == 1
    assert message in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_missing_tensor_is_named(script, tmp_path):
    write_checkpoint(tmp_path)
    rewrite(
        tmp_path,
        lambda tensors: {n: t for n, t in tensors.items() if n != "classifier.bias"},
    )
    result = run(script, tmp_path)
    assert result.exit_code == 1
    assert "the file lacks classifier.bias" in result.output


def test_a_wrong_copy_is_found(script, monkeypatch):
    """The comparison can fail: one number is changed on the way."""
    right = script.read_tensor

    def wrong(numbers, entry):
        tensor = right(numbers, entry)
        return tensor + 1 if entry["shape"] == [2] else tensor

    monkeypatch.setattr(script, "read_tensor", wrong)
    result = run(script)
    assert result.exit_code == 1
    assert "loaded by minidistil, it gives other results" in result.output
