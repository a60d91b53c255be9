"""What a checkpoint holds, told from headers: here, and over the network."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
import transformers
from checkpoints import write_checkpoint
from damaged_files import HOSTILE
from hub_stand_in import COMMIT, point_the_hub_library_at, serving
from layouts import SMALL, SST_2, UNCASED, config_of, random_tensors, write_layout

from minidistil.checkpoint.stored import CheckpointError, read_header
from minidistil.hub import CheckpointNotFoundError
from minidistil.weights import headers
from minidistil.weights.inspection import inspect

REPO = "someone/a-model"
HEAD = "DistilBertForSequenceClassification"


@pytest.fixture
def folder(tmp_path):
    return write_layout(tmp_path / "sst2", SST_2, **SMALL)


def loads(found):
    return {each.kind: each.loads for each in found.loadings}


# Here


def test_parameters_are_counted_by_module_as_transformers_has_them(folder):
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    found = inspect(folder)
    parts = {
        "embeddings": theirs.distilbert.embeddings,
        "transformer.layer.0": theirs.distilbert.transformer.layer[0],
        "transformer.layer.1": theirs.distilbert.transformer.layer[1],
        "pre_classifier": theirs.pre_classifier,
        "classifier": theirs.classifier,
    }
    expected = {
        name: sum(each.numel() for each in part.parameters())
        for name, part in parts.items()
    }
    assert found.modules == expected


def test_each_class_is_told_whether_it_loads(folder):
    assert loads(inspect(folder)) == {
        "DistilBertModel": "as it is",
        "DistilBertForMaskedLM": "with a new head",
        HEAD: "as it is",
        "DistilBertForTokenClassification": "with a new head",
        "DistilBertForQuestionAnswering": "with a new head",
        "DistilBertForMultipleChoice": "with a new head",
    }


def test_the_head_and_the_class_are_named(folder):
    found = inspect(folder)
    modules = {"pre_classifier", "classifier"}
    assert found.heads == {"sequence classification or multiple choice": modules}
    assert found.kind == HEAD


def test_without_architectures_the_head_tells_the_class(folder):
    config = config_of(SST_2, **SMALL)
    del config["architectures"]
    (folder / "config.json").write_text(json.dumps(config))
    assert inspect(folder).kind == HEAD


def test_what_is_missing_and_left_over_is_listed(tmp_path):
    config = config_of(SST_2, **SMALL)
    tensors = random_tensors(config)
    del tensors["distilbert.embeddings.LayerNorm.bias"]
    tensors["distilbert.pooler.weight"] = torch.ones(2)
    tensors["distilbert.transformer.layer.0.ffn.lin1.bias"] = torch.ones(3)
    (tmp_path / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    told = inspect(tmp_path).to_dict()["loads"][HEAD]
    assert told["loads"] == "no"
    assert told["missing"] == [
        "distilbert.embeddings.LayerNorm.bias (24,) is missing from the file"
    ]
    assert told["unexpected"] == ["'distilbert.pooler.weight' (2,) is only in the file"]
    assert told["shape"] == [
        "distilbert.transformer.layer.0.ffn.lin1.bias is (3,) in the file, (40,) in "
        "the model"
    ]


def test_each_tensor_is_told_where_it_loads_into(tmp_path):
    config = config_of(SST_2, **SMALL)
    tensors = {
        name.removeprefix("distilbert."): tensor
        for name, tensor in random_tensors(config).items()
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    places = {
        t["name"]: t["loads_into"] for t in inspect(tmp_path).to_dict()["tensors"]
    }
    word = "embeddings.word_embeddings.weight"
    assert places[word] == f"distilbert.{word}"
    assert places["classifier.bias"] == "classifier.bias"
    assert None not in places.values()


def test_one_file_can_be_looked_into(folder):
    found = inspect(folder / "model.safetensors")
    assert found.kind == HEAD
    assert found.source == str(folder / "model.safetensors")


def test_a_file_that_is_no_distilbert_is_only_listed(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"x.y": torch.ones(2, 3)}, path)
    found = inspect(path)
    assert found.modules == {"x": 6}
    assert found.kind is None
    assert "has no config.json" in found.config_problem


def test_a_bert_is_told_to_be_converted(tmp_path):
    config = {"model_type": "bert", "hidden_size": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
    assert "minidistil weights convert" in inspect(tmp_path).config_problem


def test_a_head_that_the_config_cannot_have_is_told(tmp_path):
    folder = write_checkpoint(tmp_path, num_labels=3)
    found = {each.kind: each for each in inspect(folder).loadings}
    told = found["DistilBertForQuestionAnswering"]
    assert told.loads == "no"
    assert "num_labels is 3, expected 2 for question answering" in told.reason


def test_shards_are_looked_into_as_one(tmp_path):
    config = transformers.DistilBertConfig(**SMALL)
    model = transformers.DistilBertForSequenceClassification(config)
    model.save_pretrained(tmp_path, max_shard_size="8KB")
    found = inspect(tmp_path)
    assert len(found.headers) > 2
    assert loads(found)[HEAD] == "as it is"
    assert sum(found.modules.values()) == model.num_parameters()


def test_what_is_told_can_be_written_as_json(folder):
    told = json.loads(json.dumps(inspect(folder).to_dict()))
    assert told["files"][0]["name"] == "model.safetensors"
    assert told["parameters"] == sum(told["modules"].values())


# Over the network


@pytest.fixture
def hub(monkeypatch, tmp_path, socket_enabled):
    with serving() as hub:
        point_the_hub_library_at(hub, monkeypatch, tmp_path / "cache")
        yield hub


def names_asked(hub):
    return [path.rpartition("/")[2] for method, path, _ in hub.requests]


def test_of_a_file_on_the_hub_only_the_header_is_fetched(hub, folder):
    hub.repos[REPO] = write_layout(folder, SST_2, **SMALL | {"vocab_size": 30522})
    size = (folder / "model.safetensors").stat().st_size
    assert size > 2_900_000
    found = inspect(REPO)
    assert found.headers[0].size == size
    assert loads(found)[HEAD] == "as it is"
    assert hub.sent < 70_000
    asked = [each for each in hub.requests if "safetensors" in each[1]]
    assert [each[2] for each in asked] == ["bytes=0-65535"]


def test_what_is_fetched_is_what_a_folder_tells(hub, folder):
    hub.repos[REPO] = folder
    there, here = inspect(REPO).to_dict(), inspect(folder).to_dict()
    assert there["source"] == f"hub repository {REPO!r}"
    assert {**there, "source": ""} == {**here, "source": ""}


def test_a_long_header_is_asked_for_once_more(hub, folder, monkeypatch):
    monkeypatch.setattr(headers, "_FIRST", 100)
    hub.repos[REPO] = folder
    assert loads(inspect(REPO))[HEAD] == "as it is"
    start = read_header(folder / "model.safetensors").data_start
    asked = [each[2] for each in hub.requests if "safetensors" in each[1]]
    assert asked == ["bytes=0-99", f"bytes=0-{start - 1}"]


def test_a_server_that_sends_the_whole_file_is_not_heard_out(hub, folder):
    hub.ranges = False
    hub.repos[REPO] = write_layout(folder, SST_2, **SMALL | {"vocab_size": 400_000})
    found = inspect(REPO)
    assert found.headers[0].size == (folder / "model.safetensors").stat().st_size
    assert hub.sent < found.headers[0].size  # it was hung up on


def test_a_file_in_the_cache_is_not_asked_for(hub, folder):
    import huggingface_hub

    hub.repos[REPO] = folder
    for name in ("config.json", "model.safetensors"):
        huggingface_hub.hf_hub_download(REPO, name)
    hub.requests.clear()
    assert inspect(REPO).kind == HEAD
    assert hub.requests == []


def test_a_revision_is_asked_for(hub, folder):
    hub.repos[REPO] = folder
    inspect(REPO, revision="v2")
    assert all("/v2/" in path or COMMIT in path for _, path, _ in hub.requests)


def test_shards_on_the_hub_are_looked_into(hub, tmp_path):
    config = transformers.DistilBertConfig(**SMALL)
    model = transformers.DistilBertForSequenceClassification(config)
    model.save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    hub.repos[REPO] = tmp_path / "shards"
    found = inspect(REPO)
    assert sum(found.modules.values()) == model.num_parameters()
    assert loads(found)[HEAD] == "as it is"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "model.safetensors",
            b"short",
            r"model\.safetensors \(\d+ bytes\) is not a sound",
        ),
        (
            "model.safetensors",
            b"\xff" * 100,
            r"model\.safetensors \(\d+ bytes\) is not a sound",
        ),
        ("pytorch_model.bin", b"", "minidistil weights convert someone/a-model"),
    ],
    ids=["short", "long", "a pickle"],
)
def test_what_is_not_sound_on_the_hub_is_told(hub, tmp_path, name, content, message):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / name).write_bytes(content)
    hub.repos[REPO] = tmp_path / "files"
    with pytest.raises(CheckpointError, match=message):
        inspect(REPO)


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - {"no tensors"}))
def test_a_hostile_file_on_the_hub_is_one_error_that_names_it(hub, tmp_path, name):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "model.safetensors").write_bytes(HOSTILE[name])
    hub.repos[REPO] = tmp_path / "files"
    with pytest.raises(CheckpointError, match=r"^model\.safetensors ") as error:
        inspect(REPO)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [0, 2**62, 2**70])
def test_a_size_that_cannot_be_is_one_error_that_names_the_file(
    hub, folder, monkeypatch, size
):
    start = (folder / "model.safetensors").read_bytes()[:65536]
    monkeypatch.setattr(headers, "_fetch", lambda *_: (start, size))
    hub.repos[REPO] = folder
    with pytest.raises(CheckpointError, match=r"^model\.safetensors "):
        inspect(REPO)


def test_looking_into_the_hub_leaves_nothing_behind(hub, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    hub.repos[REPO] = folder
    inspect(REPO)
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_a_repository_that_does_not_exist_is_told(hub):
    with pytest.raises(CheckpointNotFoundError, match="the hub has no repository"):
        inspect("someone/else")


def test_a_hub_that_fails_is_told_with_what_to_do(hub, folder):
    hub.repos[REPO] = folder
    hub.fail = 500
    with pytest.raises(CheckpointNotFoundError, match=r"cannot fetch model\.saf"):
        inspect(REPO)


def test_without_network_only_the_cache_is_looked_into(hub, folder):
    hub.repos[REPO] = folder
    with pytest.raises(CheckpointNotFoundError, match="is not in the cache"):
        inspect(REPO, local_files_only=True)
    assert hub.requests == []


def test_the_masked_lm_layout_needs_no_projector(tmp_path):
    found = inspect(write_layout(tmp_path, UNCASED, **SMALL))
    assert found.loading.loads == "as it is"
    assert found.heads.keys() == {"masked language modelling"}
