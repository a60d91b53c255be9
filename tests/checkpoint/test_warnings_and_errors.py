"""What other libraries guess or drop silently is a warning or an error here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub import errors

from minidistil import (
    AutoTokenizer,
    CheckpointError,
    ConfigError,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertModel,
    pipeline,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "day", "##s", "<", ">"]
SHAPE = {
    "vocab_size": 30,
    "dim": 20,
    "n_heads": 2,
    "hidden_dim": 44,
    "n_layers": 2,
    "max_position_embeddings": 16,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer's folder as old checkpoints have it: vocab.txt alone."""
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    return tmp_path


def write(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content))


def test_a_lost_connection_does_not_silently_lower_case(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "models--a--cased"
    snapshot = cache / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("c" * 40)
    (snapshot / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())
    (snapshot / "config.json").write_text("{}")

    def lost(*_: object, **__: object) -> str:
        raise errors.LocalEntryNotFoundError("connection reset")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lost)
    with pytest.warns(UserWarning, match="tokenizer_config.json .* taken not to exist"):
        AutoTokenizer.from_pretrained("a/cased", cache_dir=tmp_path / "cache")


def test_tokens_that_only_an_old_file_adds_are_read_as_transformers_does(
    folder: Path,
) -> None:
    write(folder, "added_tokens.json", {"<new>": len(WORDS)})
    theirs = transformers.DistilBertTokenizer.from_pretrained(folder)
    ours = AutoTokenizer.from_pretrained(folder)
    assert ours("[UNK]<new>") == dict(theirs("[UNK]<new>"))


def test_an_old_file_that_adds_nothing_is_no_trouble(folder: Path) -> None:
    write(folder, "added_tokens.json", {"[PAD]": 0})
    assert len(AutoTokenizer.from_pretrained(folder)) == len(WORDS)


def test_special_tokens_of_an_old_file_are_read_as_transformers_does(
    folder: Path,
) -> None:
    write(folder, "special_tokens_map.json", {"pad_token": "[UNK]"})
    theirs = transformers.DistilBertTokenizer.from_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).pad_token == theirs.pad_token


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("special_tokens_map.json", {"pad_token": 7}),
        ("special_tokens_map.json", {"pad_token": {}}),
        ("added_tokens.json", {"new": []}),
        ("tokenizer_config.json", {"cls_token": ["[CLS]"]}),
    ],
    ids=str,
)
def test_tokens_that_are_no_text_are_refused(
    folder: Path, name: str, content: dict
) -> None:
    write(folder, name, content)
    with pytest.raises(
        ValueError,
        match=r"a token is given as|'new' has the id \[\], expected a number",
    ):
        AutoTokenizer.from_pretrained(folder)


def test_extra_tokens_with_names_are_the_tokens_and_not_the_names(
    folder: Path,
) -> None:
    extra = {"extra_special_tokens": {"image_token": "<new>"}}
    write(folder, "tokenizer_config.json", extra)
    theirs = transformers.DistilBertTokenizer.from_pretrained(folder)
    ours = AutoTokenizer.from_pretrained(folder)
    text = "good <new> image_token"
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    assert ours.tokenize(text)[1] == "<new>"


@pytest.mark.parametrize("positions", [16, 1024])
def test_without_a_length_the_model_tells_it(folder: Path, positions: int) -> None:
    write(folder, "config.json", {"max_position_embeddings": positions})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == positions
    assert len(tokenizer("good " * 2000, truncation=True)["input_ids"]) == positions


def test_padding_refuses_a_mask_of_another_length(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"attention_mask has rows of \[1\] values"):
        tokenizer.pad([{"input_ids": [1, 2, 3], "attention_mask": [1]}])


@pytest.mark.parametrize("truncation", [0, 1])
def test_numbers_are_no_choice_of_truncation(truncation: int) -> None:
    with pytest.raises(ValueError, match="truncation is"):
        pipeline(model="tiny", truncation=truncation)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.full((2, 3), torch.nan), "holds nan"),
        (torch.full((2, 3), 1.5), "holds numbers from 1.5 to 1.5, expected 0.0 to 1.0"),
        (torch.full((2, 3), -0.5), "expected 0.0 to 1.0"),
    ],
)
def test_targets_that_are_no_targets_are_refused(
    labels: torch.Tensor, message: str
) -> None:
    model = DistilBertForSequenceClassification(DistilBertConfig(**SHAPE, num_labels=3))
    with pytest.raises(ValueError, match=message):
        model(torch.ones(2, 4, dtype=torch.long), labels=labels)


def test_an_empty_batch_has_no_loss() -> None:
    model = DistilBertForSequenceClassification(DistilBertConfig(**SHAPE, num_labels=3))
    with pytest.raises(ValueError, match="nothing to take a loss of"):
        model(torch.ones(0, 4, dtype=torch.long), labels=torch.ones(0, 3))


def test_whole_numbers_are_no_word_vectors() -> None:
    with pytest.raises(TypeError, match="token ids are given as input_ids"):
        DistilBertModel(DistilBertConfig(**SHAPE))(
            inputs_embeds=torch.ones(1, 4, 20, dtype=torch.long)
        )


def test_results_compare_without_an_error() -> None:
    model = DistilBertModel(DistilBertConfig(**SHAPE))
    first, second = (model(torch.ones(1, 4, dtype=torch.long)) for _ in range(2))
    assert first == first
    assert first != second


@pytest.mark.parametrize(
    "values",
    [
        {"n_layers": 100_000},
        {"dim": 10**12, "n_heads": 1},
        {"initializer_range": float("inf")},
        {"is_decoder": True},
        {"pruned_heads": {"0": [1]}},
        {"quantization_config": {"bits": 8}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_what_no_distilbert_has_is_refused_at_once(values: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        DistilBertConfig.from_dict(values)


def test_a_number_too_large_names_a_type_that_holds_it(tmp_path: Path) -> None:
    model = DistilBertModel(DistilBertConfig(**SHAPE)).to(torch.float64)
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 3] = 1e300
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"with dtype=torch\.float64"):
        DistilBertModel.from_pretrained(tmp_path)
    DistilBertModel.from_pretrained(tmp_path, dtype=torch.float64)


@pytest.mark.parametrize("device", ["foo", "cuda:99", 99])
def test_a_device_that_is_not_there_is_refused(device: str | int) -> None:
    with pytest.raises(ValueError, match=r"device .* cannot be used"):
        DistilBertModel.from_pretrained("tiny", device=device)


PEAK = """
import sys
from minidistil import DistilBertForMaskedLM

def resident(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) << 10

DistilBertForMaskedLM.from_pretrained(sys.argv[2])  # what loading imports
before = resident("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # forget the highest mark
DistilBertForMaskedLM.from_pretrained(sys.argv[1])
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_loading_takes_the_model_and_one_tensor_of_memory(tmp_path: Path) -> None:
    large = SHAPE | {"vocab_size": 20_000, "dim": 256, "hidden_dim": 1024}
    model = DistilBertForMaskedLM(DistilBertConfig(**large | {"n_layers": 24}))
    model.save_pretrained(tmp_path / "large")
    DistilBertForMaskedLM(DistilBertConfig(**SHAPE)).save_pretrained(tmp_path / "small")
    size = (tmp_path / "large" / "model.safetensors").stat().st_size
    largest = 20_000 * 256 * 4
    script = [sys.executable, "-c", PEAK, tmp_path / "large", tmp_path / "small"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    peak = int(subprocess.check_output(script, env=environment))
    # The rest is the interpreter's; twice the model it is not.
    assert size * 0.8 < peak < size + largest + 16e6
