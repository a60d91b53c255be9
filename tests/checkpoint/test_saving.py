"""What a save takes, and what it refuses before anything is written."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
import transformers
from checkpoints import SHAPE, same_weights
from reference import HEADS
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    checkpoint_wrapper,
)
from torch.nn.utils import parametrizations, parametrize

import minidistil
from minidistil import (
    CheckpointError,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertModel,
    load,
)

IDS = torch.tensor([[5, 9, 3, 7]])
WRITTEN = {"config.json", "model.safetensors"}


def classifier(**config: Any) -> DistilBertForSequenceClassification:
    return DistilBertForSequenceClassification(DistilBertConfig(**SHAPE, **config))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


# Keywords of training loops


@pytest.mark.parametrize(
    "given",
    [
        {"is_main_process": True, "save_function": torch.save},
        {"safe_serialization": True, "max_shard_size": "5GB"},
        {"state_dict": None, "push_to_hub": False, "token": None, "variant": None},
        {"save_peft_format": True, "save_original_format": True},
        {"distributed_checkpoint": False, "safe_serialization": None},
    ],
    ids=lambda given: "-".join(given),
)
def test_the_keywords_of_training_loops_are_taken(tmp_path, given):
    model = classifier()
    model.save_pretrained(save_directory=tmp_path, **given)
    assert names(tmp_path) == WRITTEN
    assert same_weights(load(tmp_path), model)


@pytest.mark.parametrize("head", HEADS)
def test_the_loop_of_the_docs_saves(tmp_path, head):
    """As in accelerate's examples, of all processes at once."""
    accelerator = accelerate.Accelerator(cpu=True)
    plain = getattr(minidistil, head)(DistilBertConfig(**SHAPE))
    model = accelerator.prepare(plain)
    unwrapped = accelerator.unwrap_model(model)
    unwrapped.save_pretrained(
        tmp_path,
        is_main_process=accelerator.is_main_process,
        save_function=accelerator.save,
        state_dict=accelerator.get_state_dict(model),
    )
    assert same_weights(getattr(minidistil, head).from_pretrained(tmp_path), plain)
    _, report = getattr(transformers, head).from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report.values())


def test_of_several_processes_one_writes(tmp_path):
    classifier().save_pretrained(tmp_path / "a", is_main_process=False)
    assert not (tmp_path / "a").exists()


def test_tensors_that_were_gathered_elsewhere_are_what_is_saved(tmp_path):
    model = classifier()
    gathered = {name: each + 1 for name, each in model.state_dict().items()}
    model.save_pretrained(tmp_path, state_dict=gathered)
    saved = load(tmp_path).state_dict()
    assert all(torch.equal(saved[name], gathered[name]) for name in gathered)


def test_the_config_says_of_which_type_the_gathered_tensors_are(tmp_path):
    model = classifier()
    half = {name: each.half() for name, each in model.state_dict().items()}
    model.save_pretrained(tmp_path, state_dict=half)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("classifier.bias"), r"classifier\.bias \(2,\) is missing"),
        (lambda t: t.update(extra=torch.ones(3)), r"'extra' \(3,\) is of no layer"),
        (
            lambda t: t.update({"classifier.bias": torch.ones(5)}),
            r"classifier\.bias is \(5,\), expected \(2,\)",
        ),
        (
            lambda t: t.update({"classifier.bias": torch.ones(2, dtype=torch.int8)}),
            r"classifier\.bias is torch\.int8, expected a float",
        ),
        (
            lambda t: t.update({"classifier.bias": torch.ones(2, device="meta")}),
            r"classifier\.bias has no numbers",
        ),
    ],
)
def test_gathered_tensors_are_checked_as_loading_checks(tmp_path, change, message):
    model = classifier()
    tensors = dict(model.state_dict())
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        model.save_pretrained(tmp_path, state_dict=tensors)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"safe_serialization": False}, r"torch\.save"),
        ({"variant": "fp16"}, "a folder of its own"),
        ({"distributed_checkpoint": True}, "state_dict="),
        ({"max_shard_sise": "1GB"}, "did you mean 'max_shard_size'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    tmp_path, given, advice
):
    with pytest.raises(TypeError, match=advice):
        classifier().save_pretrained(tmp_path / "a", **given)
    assert not (tmp_path / "a").exists()


# Shards


def test_shards_are_those_of_transformers(tmp_path):
    model = classifier()
    model.save_pretrained(tmp_path / "ours", max_shard_size=3000)
    theirs = transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(**SHAPE)
    )
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size=3000)
    indexes = [
        json.loads((tmp_path / who / "model.safetensors.index.json").read_text())
        for who in ("ours", "theirs")
    ]
    assert len(names(tmp_path / "ours")) > 3
    assert indexes[0]["weight_map"].keys() == indexes[1]["weight_map"].keys()
    sizes = [index["metadata"]["total_size"] for index in indexes]
    assert sizes[0] == sizes[1]
    assert same_weights(load(tmp_path / "ours"), model)
    again = type(theirs).from_pretrained(tmp_path / "ours")
    assert same_weights(again, model)


def test_no_shard_is_larger_than_asked(tmp_path):
    classifier().save_pretrained(tmp_path, max_shard_size="2KB")
    shards = list(tmp_path.glob("model-*.safetensors"))
    header = 1000
    assert max(path.stat().st_size for path in shards) < 2000 + header


@pytest.mark.parametrize(
    ("first", "second"),
    [("1GB", 3000), (3000, "1GB"), (3000, 5000), (5000, 3000), (3000, 3000)],
)
def test_what_was_saved_last_is_what_is_loaded(tmp_path, first, second):
    classifier().save_pretrained(tmp_path, max_shard_size=first)
    model = classifier(num_labels=3)
    model.save_pretrained(tmp_path, max_shard_size=second)
    fresh = tmp_path / "fresh"
    model.save_pretrained(fresh, max_shard_size=second)
    assert names(tmp_path) - {"fresh"} == names(fresh)
    assert same_weights(load(tmp_path), model)
    theirs = transformers.DistilBertForSequenceClassification.from_pretrained(tmp_path)
    assert same_weights(theirs, model)


@pytest.mark.parametrize("first", ["1GB", 3000])
@pytest.mark.parametrize("renames", range(6))
def test_a_save_that_is_stopped_mixes_no_shards(tmp_path, monkeypatch, first, renames):
    """After any number of renames: the old model, the new one, or none."""
    old, new = classifier(), classifier()
    old.save_pretrained(tmp_path, max_shard_size=first)
    real, done = Path.replace, []

    def stopped(self: Path, target: Path) -> Path:
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", stopped)
    with contextlib.suppress(KeyboardInterrupt):
        new.save_pretrained(tmp_path, max_shard_size=3000)
    try:
        found = load(tmp_path)
    except (CheckpointError, minidistil.CheckpointNotFoundError):
        return
    assert same_weights(found, old) or same_weights(found, new)


# Layers of one's own


def sequential(model: Any) -> None:
    model.classifier = nn.Sequential(nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2))


def weight_norm(model: Any) -> None:
    parametrizations.weight_norm(model.classifier)


def spectral_norm(model: Any) -> None:
    parametrizations.spectral_norm(model.pre_classifier)


def one_more_layer(model: Any) -> None:
    model.gate = nn.Linear(12, 12)


def another_head(model: Any) -> None:
    model.qa_outputs = nn.Linear(12, 2)


def bare_parameter(model: Any) -> None:
    model.temperature = nn.Parameter(torch.ones(1))


def buffer(model: Any) -> None:
    model.register_buffer("class_weights", torch.ones(2))


def other_size(model: Any) -> None:
    model.classifier = nn.Linear(12, 7)


def no_bias(model: Any) -> None:
    model.classifier = nn.Linear(12, 2, bias=False)


def more_words(model: Any) -> None:
    model.distilbert.embeddings.word_embeddings = nn.Embedding(40, 12)


def one_block_less(model: Any) -> None:
    del model.distilbert.transformer.layer[-1]


def adapter(model: Any) -> None:
    """The names that peft gives to the layers of a model that it adapts."""
    layer = model.distilbert.transformer.layer[0].attention
    layer.q_lin = nn.ModuleDict(
        {"base_layer": layer.q_lin, "lora_A": nn.Linear(12, 2, bias=False)}
    )


@pytest.mark.parametrize(
    ("change", "layer", "cure"),
    [
        (sequential, "'classifier.0.weight'", "class MyModel(DistilBertForSeq"),
        (weight_norm, "classifier.parametrizations", "remove_parametrizations"),
        (spectral_norm, "pre_classifier.parametrizations", "remove_parametriz"),
        (one_more_layer, "'gate.weight'", "class MyModel("),
        (another_head, "'qa_outputs.weight'", "class MyModel("),
        (bare_parameter, "'temperature'", "class MyModel("),
        (buffer, "'class_weights'", "class MyModel("),
        (other_size, "classifier.weight is (7, 12), expected (2, 12)", "num_labels="),
        (no_bias, "classifier.bias (2,) is missing", "class MyModel("),
        (more_words, "word_embeddings.weight is (40, 12)", "resize_token_embeddings"),
        (one_block_less, "layer.1.ffn.lin1.bias", "class MyModel("),
        (adapter, "q_lin.base_layer.weight", "merge_and_unload()"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, change, layer, cure):
    model = classifier()
    change(model)
    with pytest.raises(CheckpointError) as error:
        model.save_pretrained(tmp_path / "a")
    message = str(error.value)
    assert message.startswith(f"not saved to '{tmp_path / 'a'}'")
    assert layer in message
    assert cure in message
    assert not (tmp_path / "a").exists()


def test_a_layer_of_ones_own_on_the_bare_encoder_is_not_saved(tmp_path):
    model = DistilBertModel(DistilBertConfig(**SHAPE))
    model.classifier = nn.Linear(12, 2)
    with pytest.raises(CheckpointError, match=r"'classifier\.weight'"):
        model.save_pretrained(tmp_path)


def test_the_ways_out_are_ways_out(tmp_path):
    model = classifier()
    weight_norm(model)
    parametrize.remove_parametrizations(model.classifier, "weight")
    model.save_pretrained(tmp_path)
    assert same_weights(load(tmp_path), model)
    other_size(model)
    model.config = model.config.replace(num_labels=7)
    model.save_pretrained(tmp_path)
    assert same_weights(load(tmp_path), model)


class Cosine(nn.Linear):
    """The tensors of a linear layer, and another formula."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(super().forward(input), dim=-1)


def test_another_formula_with_the_usual_tensors_is_not_saved_in_silence(tmp_path):
    model = classifier()
    model.classifier = Cosine(12, 2)
    with pytest.warns(UserWarning, match="classifier is a Cosine, and loading"):
        model.save_pretrained(tmp_path)


# Wrappers that mean no harm


def compiled(module: nn.Module) -> Any:
    return torch.compile(module, backend="eager")


@pytest.mark.parametrize(
    "wrap",
    [
        compiled,
        lambda model: nn.DataParallel(model).module,
        lambda model: model.half().float(),
    ],
    ids=["compiled", "unwrapped", "cast"],
)
def test_a_wrapped_model_saves_what_is_inside(tmp_path, wrap):
    model = classifier()
    wrap(model).save_pretrained(tmp_path)
    assert same_weights(load(tmp_path), model)


@pytest.mark.parametrize("part", ["distilbert", "classifier"])
def test_a_part_that_is_compiled_is_saved_by_its_own_name(tmp_path, part):
    model = classifier()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    setattr(model, part, compiled(getattr(model, part)))
    model.save_pretrained(tmp_path)
    saved = load(tmp_path).state_dict()
    assert saved.keys() == before.keys()
    assert all(torch.equal(saved[name], before[name]) for name in before)


def test_words_that_are_compiled_stay_tied(tmp_path):
    model = DistilBertForMaskedLM(DistilBertConfig(**SHAPE))
    model.distilbert = compiled(model.distilbert)
    model.save_pretrained(tmp_path)
    assert load(tmp_path).is_tied


def test_blocks_that_are_recomputed_are_saved_by_their_own_names(tmp_path):
    model = classifier()
    layers = model.distilbert.transformer.layer
    layers[0] = checkpoint_wrapper(layers[0])
    model.save_pretrained(tmp_path)
    layers[0] = layers[0]._checkpoint_wrapped_module
    assert same_weights(load(tmp_path), model)
