"""``push_to_hub`` of models and tokenizers, to a stand-in for the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch
from checkpoints import SHAPE
from hub_for_writers import COMMIT, REPO, TOKEN, Hub, serving_writers

import minidistil
from minidistil import (
    AutoTokenizer,
    CheckpointError,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
)
from minidistil.checkpoint.companions import TOKENIZER_FILES
from minidistil.hub.upload import PublishError

WEIGHTS = {"config.json", "model.safetensors"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, socket_enabled: None) -> Iterator[Hub]:
    with serving_writers(monkeypatch) as hub:
        yield hub


@pytest.fixture
def model() -> DistilBertForSequenceClassification:
    return DistilBertForSequenceClassification(DistilBertConfig(**SHAPE))


def write(files: dict[str, bytes] | None, folder: Path) -> Path:
    assert files is not None
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_what_is_pushed_is_the_model(hub, model, tmp_path):
    sent = model.push_to_hub(REPO, commit_message="First", private=True)
    assert hub.files is not None
    assert hub.files.keys() == WEIGHTS
    again = minidistil.load(write(hub.files, tmp_path))
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert hub.private
    assert isinstance(sent, huggingface_hub.CommitInfo)
    assert (sent.oid, sent.commit_message) == (COMMIT, "First")
    assert hub.tokens <= {f"Bearer {TOKEN}", None}
    assert sum("/commit/" in each for each in hub.asked) == 1


def test_what_is_pushed_is_the_tokenizer(hub, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained("tiny")
    tokenizer.push_to_hub(REPO)
    again = AutoTokenizer.from_pretrained(write(hub.files, tmp_path))
    assert again("Not bad!") == tokenizer("Not bad!")


def test_model_and_tokenizer_leave_each_other_in_place(hub, model):
    AutoTokenizer.from_pretrained("tiny").push_to_hub(REPO)
    model.push_to_hub(REPO)
    AutoTokenizer.from_pretrained("tiny").push_to_hub(REPO)
    assert hub.files is not None
    assert {*WEIGHTS, "vocab.txt"} <= hub.files.keys()


def test_what_loading_would_read_of_an_earlier_model_is_removed(hub, model):
    stale = ["model.safetensors.index.json", "model-00001-of-00002.safetensors"]
    hub.files = dict.fromkeys([*stale, "other.json", "training_args.bin"], b"{}")
    model.push_to_hub(REPO)
    assert hub.files.keys() == {*WEIGHTS, "other.json", "training_args.bin"}


def test_shards_are_not_pushed_beside_the_one_file(hub, model):
    model.push_to_hub(REPO)
    model.push_to_hub(REPO, max_shard_size=2000)
    assert hub.files is not None
    assert "model.safetensors" not in hub.files
    assert "model.safetensors.index.json" in hub.files


def test_what_loading_would_read_of_an_earlier_tokenizer_is_removed(hub):
    hub.files = {"added_tokens.json": b'{"<new>": 30522}', "model.safetensors": b""}
    AutoTokenizer.from_pretrained("tiny").push_to_hub(REPO)
    assert "added_tokens.json" not in hub.files
    assert "model.safetensors" in hub.files


def test_the_tokenizers_files_are_those_that_loading_reads():
    tokenizer = AutoTokenizer.from_pretrained("tiny")
    assert all(tokenizer._own_files.fullmatch(name) for name in TOKENIZER_FILES)
    assert not tokenizer._own_files.fullmatch("config.json")


def test_saving_can_push_too(hub, model, tmp_path):
    folder = tmp_path / "here"
    model.save_pretrained(folder, push_to_hub=True, repo_id=REPO, token=TOKEN)
    (folder / "optimizer.pt").write_text("stays here")
    model.save_pretrained(folder, push_to_hub=True, repo_id=REPO)
    assert hub.files is not None
    assert hub.files.keys() == WEIGHTS
    assert hub.files["config.json"] == (folder / "config.json").read_bytes()


def test_one_process_of_several_pushes(hub, model, tmp_path):
    model.save_pretrained(
        tmp_path / "a", push_to_hub=True, repo_id=REPO, is_main_process=False
    )
    assert hub.asked == []
    assert not (tmp_path / "a").exists()


def test_a_branch_is_made(hub, model):
    model.push_to_hub(REPO, revision="trial")
    assert hub.branches["trial"].keys() == WEIGHTS
    assert hub.files == {}


def test_a_model_that_diverged_is_not_pushed(hub):
    model = DistilBertForMaskedLM(DistilBertConfig(**SHAPE))
    torch.nn.init.constant_(model.vocab_projector.bias, torch.nan)
    with pytest.raises(CheckpointError, match="holds NaN"):
        model.push_to_hub(REPO)
    assert hub.asked == []


def test_what_shall_be_private_is_not_pushed_to_a_public_repository(hub, model):
    hub.files = {}
    with pytest.raises(PublishError, match="exists and is public"):
        model.push_to_hub(REPO, private=True)
    assert hub.files == {}


@pytest.mark.parametrize(
    ("keyword", "error", "message"),
    [
        ({"tags": ["a"]}, TypeError, r"weights\.publish\(folder, repo\)"),
        ({"safe_serialization": False}, TypeError, "pickles are not written"),
        ({"commit_mesage": "a"}, TypeError, "has no argument 'commit_mesage'"),
        ({"revision": " "}, ValueError, "expected a branch"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_sent(
    hub, model, keyword, error, message
):
    with pytest.raises(error, match=message):
        model.push_to_hub(REPO, **keyword)
    assert hub.asked == []


def test_without_a_token_nothing_is_asked(hub, model, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(PublishError, match="run `hf auth login`"):
        model.push_to_hub(REPO)
    assert hub.asked == []
