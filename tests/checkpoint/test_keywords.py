"""Keywords that the course, the docs and the example scripts pass when they load."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from checkpoints import SHAPE, same_weights
from safetensors.torch import load_file

import minidistil
from minidistil import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    CheckpointError,
    DistilBertConfig,
    load,
)
from minidistil.checkpoint import conveniences, keywords
from minidistil.model import ATTENTION

IDS = torch.tensor([[5, 9, 3, 7]])
CLASSIFIER = "DistilBertForSequenceClassification"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier of two labels, written by transformers."""
    torch.manual_seed(0)
    config = transformers.DistilBertConfig(**SHAPE)
    getattr(transformers, CLASSIFIER)(config).save_pretrained(tmp_path)
    return tmp_path


# What asks for nothing


@pytest.mark.parametrize(
    "given",
    [
        {"trust_remote_code": False, "revision": "main", "token": None},
        {"use_auth_token": None, "force_download": False, "resume_download": True},
        {"low_cpu_mem_usage": True, "use_safetensors": True, "from_tf": False},
        {
            "proxies": None,
            "subfolder": "",
            "local_files_only": True,
            "_fast_init": True,
        },
        {"quantization_config": None, "load_in_8bit": False, "max_memory": None},
        {"offload_folder": "there", "output_loading_info": False, "variant": None},
        {"attn_implementation": None, "dtype": None, "torch_dtype": None},
        {"device_map": None, "config": None, "state_dict": None, "key_mapping": None},
        {"ignore_mismatched_sizes": True, "weights_only": True, "_from_auto": True},
        {"attn_implementation": "eager", "torch_dtype": "float32", "mirror": "tuna"},
    ],
    ids=lambda given: "-".join(given),
)
@pytest.mark.parametrize("call", ["class", "load"])
def test_what_asks_for_nothing_is_accepted(folder, given, call):
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    loader = (
        load if call == "load" else AutoModelForSequenceClassification.from_pretrained
    )
    assert same_weights(loader(folder, **given), plain)


def test_the_example_scripts_call_runs(folder):
    """run_glue.py passes all of these, for a folder too."""
    where = {"cache_dir": None, "revision": "main", "token": None}
    where["trust_remote_code"] = False
    config = AutoConfig.from_pretrained(folder).replace(num_labels=2)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        from_tf=bool(".ckpt" in str(folder)),
        config=config,
        ignore_mismatched_sizes=False,
        **where,
    )
    theirs = getattr(transformers, CLASSIFIER).from_pretrained(folder)
    assert same_weights(model, theirs)


def test_the_keywords_of_transformers_are_all_known():
    """What its own from_pretrained takes out of its keywords, by its source."""
    source = inspect.getsource(transformers.PreTrainedModel.from_pretrained)
    taken = set(re.findall(r'kwargs\.pop\("(\w+)"', source))
    taken |= set(
        inspect.signature(transformers.PreTrainedModel.from_pretrained).parameters
    )
    taken -= {"cls", "model_args", "kwargs"}
    ours = inspect.signature(minidistil.DistilBertModel.from_pretrained).parameters
    accepted = ours.keys() | keywords.IGNORED_WHEN_LOADING
    accepted |= keywords.REFUSED_WHEN_LOADING.keys() | keywords.CONFIG_KEYS
    accepted |= {"pretrained_model_name_or_path", "use_safetensors", "use_auth_token"}
    assert taken - accepted == set()


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"use_safetensors": False}, "minidistil weights convert"),
        ({"from_tf": True}, "minidistil weights convert"),
        ({"force_download": True}, "hf download REPO --force-download"),
        ({"proxies": {"https": "a"}}, "HTTPS_PROXY"),
        ({"variant": "fp16"}, r"dtype=torch\.float16"),
        ({"load_in_8bit": True}, "precision="),
        ({"quantization_config": {"bits": 4}}, "precision="),
        ({"output_loading_info": True}, "is an error"),
        ({"max_memory": {0: "1GB"}}, "device="),
        ({"tp_plan": "auto"}, "leave it out"),
        ({"key_mapping": {"a": "b"}}, "rename="),
        ({"gguf_file": "a.gguf"}, "safetensors"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_done_names_what_to_use(folder, given, advice):
    with pytest.raises(TypeError, match=f"cannot take {next(iter(given))}=.*{advice}"):
        AutoModel.from_pretrained(folder, **given)


def test_code_of_a_checkpoint_is_not_run_and_that_is_said(folder):
    with pytest.warns(UserWarning, match="no code of a checkpoint is ever run"):
        AutoModel.from_pretrained(folder, trust_remote_code=True)


# Two names of one thing


def test_torch_dtype_is_dtype(folder):
    for name in ("dtype", "torch_dtype"):
        for value in (torch.float16, "float16"):
            assert (
                AutoModel.from_pretrained(folder, **{name: value}).dtype == torch.half
            )
    with pytest.raises(ValueError, match="two names of one argument"):
        AutoModel.from_pretrained(folder, dtype="float32", torch_dtype="float16")


def test_torch_dtype_auto_keeps_the_files(folder):
    AutoModel.from_pretrained(folder).half().save_pretrained(folder / "half")
    model = AutoModel.from_pretrained(folder / "half", torch_dtype="auto")
    assert model.dtype == torch.half


def test_the_long_name_of_the_source_is_taken(folder):
    model = AutoModel.from_pretrained(pretrained_model_name_or_path=str(folder))
    assert same_weights(model, AutoModel.from_pretrained(folder))
    with pytest.raises(TypeError, match="needs a source"):
        AutoModel.from_pretrained()


def test_a_folder_in_a_folder(folder):
    for loader in (AutoModel.from_pretrained, load):
        found = loader(folder.parent, subfolder=folder.name)
        assert same_weights(found, loader(folder))
    with pytest.raises(TypeError, match="hf download"):
        AutoModel.from_pretrained("someone/a-model", subfolder="a")


# Devices


@pytest.mark.parametrize(
    "device_map",
    ["cpu", torch.device("cpu"), {"": "cpu"}, {"": torch.device("cpu")}, -1],
    ids=str,
)
def test_a_map_of_one_device_is_that_device(folder, device_map):
    model = AutoModel.from_pretrained(folder, device_map=device_map)
    assert model.device == torch.device("cpu")


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential"])
def test_auto_is_a_gpu_if_there_is_one(folder, device_map):
    model = AutoModel.from_pretrained(folder, device_map=device_map)
    assert (model.device.type != "cpu") == torch.accelerator.is_available()


@pytest.mark.parametrize(
    ("device_map", "message"),
    [
        ({"distilbert": "cpu", "classifier": "cuda:0"}, "expected one device"),
        ({}, "expected one device"),
        ("cuda:99", "device 'cuda:99' cannot be used"),
        ("everywhere", "device 'everywhere' cannot be used"),
    ],
    ids=str,
)
def test_what_would_split_a_model_is_refused(folder, device_map, message):
    with pytest.raises(ValueError, match=message):
        AutoModel.from_pretrained(folder, device_map=device_map)


# Configurations


def test_a_configuration_in_place_of_the_files(folder):
    names = {0: "bad", 1: "good"}
    config = AutoConfig.from_pretrained(folder).replace(id2label=names, dropout=0.3)
    theirs = transformers.DistilBertConfig.from_pretrained(
        folder, id2label=names, dropout=0.3
    )
    for given in (config, theirs, theirs.to_dict()):
        model = AutoModelForSequenceClassification.from_pretrained(folder, config=given)
        assert model.config.id2label == names
        assert model.distilbert.embeddings.dropout.p == 0.3


def test_a_configuration_that_lies_elsewhere(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("config")
    AutoConfig.from_pretrained(folder).replace(dropout=0.3).save_pretrained(elsewhere)
    model = AutoModel.from_pretrained(folder, config=str(elsewhere))
    assert model.config.dropout == 0.3


def test_a_configuration_of_another_shape_does_not_fit(folder):
    config = AutoConfig.from_pretrained(folder).replace(n_layers=1)
    with pytest.raises(CheckpointError, match=r"transformer\.layer\.1\..*only in the"):
        AutoModel.from_pretrained(folder, config=config)


def test_something_else_is_no_configuration(folder):
    with pytest.raises(TypeError, match="config is a int, expected a DistilBertConfig"):
        AutoModel.from_pretrained(folder, config=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("dropout", 0.25), ("attention_dropout", 0.5), ("qa_dropout", 0)],
)
def test_keys_of_the_configuration_can_be_given(folder, name, value):
    ours = AutoModel.from_pretrained(folder, **{name: value})
    theirs = transformers.AutoModel.from_pretrained(folder, **{name: value})
    assert getattr(ours.config, name) == getattr(theirs.config, name) == value
    assert ours.embeddings.dropout.p == theirs.embeddings.dropout.p


@pytest.mark.parametrize("key", ["output_attentions", "output_hidden_states"])
def test_what_is_asked_of_every_call_is_in_the_configuration(folder, key):
    ours = AutoModel.from_pretrained(folder, **{key: True})
    assert ours.config.to_dict()[key] is True


def test_a_model_of_a_configuration_is_new_and_trains(folder):
    config = transformers.DistilBertConfig.from_pretrained(folder, num_labels=3)
    ours = AutoModelForSequenceClassification.from_config(
        config, torch_dtype=torch.bfloat16, trust_remote_code=False
    )
    theirs = transformers.AutoModelForSequenceClassification.from_config(
        config, dtype=torch.bfloat16
    )
    shapes = [
        {name: (each.shape, each.dtype) for name, each in model.state_dict().items()}
        for model in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
    assert ours.training is theirs.training is True
    other = AutoModelForSequenceClassification.from_config(config, num_labels=5)
    assert other.num_labels == 5
    with pytest.raises(TypeError, match="did you mean 'dtype'"):
        AutoModel.from_config(config, dtyp="float32")


def test_the_kinds_of_attention_are_the_models():
    assert {*conveniences.ATTENTION_NAMES} == ATTENTION.keys()


def test_attention_can_be_chosen_later(folder):
    model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=2)
    model.set_attn_implementation("eager")
    assert model.distilbert.attn_implementation == "eager"
    with pytest.raises(ValueError, match="expected 'eager' or 'sdpa'"):
        model.set_attn_implementation("flash_attention_2")


# Tensors in place of the file's


def test_tensors_in_place_of_the_files(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.bias"] += 1
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, state_dict=tensors
    )
    assert torch.equal(model.classifier.bias, tensors["classifier.bias"])
    # Nor are they the model's: training it leaves them alone.
    with torch.no_grad():
        model.classifier.bias.zero_()
    assert tensors["classifier.bias"].any()


def test_tensors_and_a_configuration_need_no_folder(folder):
    tensors = load_file(folder / "model.safetensors")
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        None, config=config, state_dict=tensors
    )
    assert same_weights(
        model, AutoModelForSequenceClassification.from_pretrained(folder)
    )


def test_tensors_must_fit_like_a_files(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["distilbert.embeddings.LayerNorm.bias"]
    with pytest.raises(CheckpointError, match=r"LayerNorm\.bias \(12,\) is missing"):
        AutoModel.from_pretrained(folder, state_dict=tensors)
    with pytest.raises(TypeError, match="expected tensors by their names"):
        AutoModel.from_pretrained(folder, state_dict={"model": {}})


# A head that is new is never silent


def warned(recorded: Any) -> list[str]:
    return [str(each.message) for each in recorded]


@pytest.mark.parametrize(
    "given",
    [
        {"num_labels": 3},
        {"id2label": {0: "a", 1: "b", 2: "c"}},
        {"config": DistilBertConfig(**SHAPE, num_labels=3)},
    ],
    ids=lambda given: next(iter(given)),
)
def test_one_warning_names_the_tensors_that_are_new(folder, given, recwarn):
    encoder = folder / "encoder"
    AutoModel.from_pretrained(folder).save_pretrained(encoder)
    _, report = getattr(transformers, CLASSIFIER).from_pretrained(
        encoder, num_labels=3, output_loading_info=True
    )
    recwarn.clear()
    AutoModelForSequenceClassification.from_pretrained(encoder, **given)
    (text,) = warned(recwarn)
    names, _, rest = text.partition(" are new, drawn at random: ")
    assert {*names.split(", ")} == report["missing_keys"]
    assert str(encoder) in rest


def test_a_new_head_that_was_asked_for_by_name_is_no_surprise(folder, recwarn):
    AutoModelForSequenceClassification.from_pretrained(folder, new_head=True)
    AutoModelForMaskedLM.from_pretrained(folder, new_head=True)
    assert warned(recwarn) == []


def test_a_head_that_is_read_is_no_surprise(folder, recwarn):
    AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    assert warned(recwarn) == []


@pytest.mark.parametrize("given", [{"num_labels": 3}, {"id2label": {0: "a"}}])
def test_layers_of_another_size_are_drawn_if_that_is_asked_for(folder, given, recwarn):
    name, asked = CLASSIFIER, {**given, "ignore_mismatched_sizes": True}
    theirs, report = getattr(transformers, name).from_pretrained(
        folder, **asked, output_loading_info=True
    )
    recwarn.clear()
    ours = getattr(minidistil, name).from_pretrained(folder, **asked)
    assert ours.classifier.weight.shape == theirs.classifier.weight.shape
    assert torch.equal(ours.pre_classifier.weight, theirs.pre_classifier.weight)
    (text,) = warned(recwarn)
    new = {*text.partition(" are new")[0].split(", ")}
    assert new == {key for key, *_ in report["mismatched_keys"]}


def test_an_encoder_of_another_size_does_not_fit_even_so(folder):
    with pytest.raises(CheckpointError, match="does not fit"):
        AutoModelForSequenceClassification.from_pretrained(
            folder, hidden_dim=24, ignore_mismatched_sizes=True
        )


def test_a_configuration_asks_for_no_head_without_labels(folder):
    """Words to guess are not labels: that head must be asked for by name."""
    config = AutoConfig.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="new_head=True"):
        AutoModelForMaskedLM.from_pretrained(folder, config=config)


def test_the_file_that_is_saved_says_what_was_given(folder):
    model = AutoModel.from_pretrained(folder, dropout=0.3, finetuning_task="mrpc")
    model.save_pretrained(folder / "again")
    saved = json.loads((folder / "again" / "config.json").read_text())
    assert (saved["dropout"], saved["finetuning_task"]) == (0.3, "mrpc")
