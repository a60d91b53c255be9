"""Publishing, to a stand-in for the hub: its HTTP answers to those who write."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import safetensors.torch
import torch
from checkpoints import say_how_sentences_become_vectors, write_checkpoint
from click.testing import CliRunner
from hub_for_writers import COMMIT, REPO, TOKEN, Hub, serving_writers

from minidistil import AutoTokenizer, CheckpointError, pipeline
from minidistil.cli import main
from minidistil.weights import publishing
from minidistil.weights.publishing import PublishError, publish
from minidistil.weights.verification import Check, Verification


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, socket_enabled: None) -> Iterator[Hub]:
    # It takes seconds, and has tests of its own.
    monkeypatch.setattr(publishing, "verify", lambda source: verified(source, "OK"))
    with serving_writers(monkeypatch) as hub:
        yield hub


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = {"id2label": {0: "no", 1: "so-so | <b>", 2: "yes"}}
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), **labels)


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def verified(source: str, status: str) -> Verification:
    """A verification with one result."""
    check = Check("float32 beside float64", status, "off by 3")
    return Verification(source, "DistilBertForSequenceClassification", "cpu", [check])


def commits(hub: Hub) -> int:
    return sum("/commit/" in each for each in hub.asked)


def test_what_is_published_is_the_checkpoint_and_a_card(hub, folder):
    done = publish(folder, REPO)
    assert hub.files is not None
    assert hub.files.keys() == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    }
    for name in hub.files.keys() - {"README.md"}:
        assert hub.files[name] == (folder / name).read_bytes()
    assert hub.files["README.md"].decode() == done.card
    assert done.files == {name: len(each) for name, each in hub.files.items()}
    assert done.url == f"https://huggingface.co/{REPO}/commit/{COMMIT}"
    assert hub.tokens <= {f"Bearer {TOKEN}", None}


def test_what_else_lies_in_the_folder_stays_there(hub, folder):
    (folder / "optimizer.pt").write_text("secret")
    (folder / ".env").write_text("secret")
    publish(folder, REPO)
    assert hub.files is not None
    assert not hub.files.keys() & {"optimizer.pt", ".env"}


def test_shards_go_with_their_index(hub, folder):
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for i, (name, tensor) in enumerate(tensors.items()):
        weight_map.setdefault(f"part-{i % 2}.safetensors", {})[name] = tensor
    for shard, part in weight_map.items():
        safetensors.torch.save_file(part, folder / shard)
    index = {name: shard for shard, part in weight_map.items() for name in part}
    text = json.dumps({"weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text)
    publish(folder, REPO)
    assert hub.files is not None
    assert {"part-0.safetensors", "part-1.safetensors"} <= hub.files.keys()
    assert "model.safetensors.index.json" in hub.files


def test_a_dry_run_sends_nothing_and_takes_no_token(hub, folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    done = publish(folder, REPO, dry_run=True)
    assert hub.asked == []
    assert done.url is None
    assert done.files["model.safetensors"] > 0
    assert done.card is not None


def test_without_a_token_nothing_is_asked(hub, folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(PublishError, match="there is no token for the hub: run `hf"):
        publish(folder, REPO)
    assert hub.asked == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_without_the_right_is_told_at_once(hub, folder, status):
    hub.trouble = {"/repos/create": [status] * 9}
    with pytest.raises(PublishError, match=f"HTTP {status}.*the token may not write"):
        publish(folder, REPO)
    assert sum("/repos/create" in each for each in hub.asked) == 1
    assert commits(hub) == 0


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    "where", ["/repos/create", "/preupload/", "/commit/", "/blob/"]
)
@pytest.mark.parametrize("trouble", [None, 503, 429])
def test_a_failure_that_passes_is_got_over(hub, folder, where, trouble):
    hub.trouble = {where: [trouble, trouble]}
    publish(folder, REPO)
    assert hub.trouble == {where: []}
    assert hub.files is not None
    assert hub.files["model.safetensors"] == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("trouble", [None, 500])
def test_a_failure_that_stays_is_told_after_five_attempts(hub, folder, trouble):
    hub.trouble = {"/commit/": [trouble] * 99}
    with pytest.raises(
        PublishError, match=r"cannot publish to 'someone/a-model'.* 5 t"
    ):
        publish(folder, REPO)
    assert commits(hub) == 5
    assert hub.files == {}


def test_an_existing_repository_gets_the_files(hub, folder):
    hub.files = {"other.txt": b"kept"}
    publish(folder, REPO)
    assert hub.files["other.txt"] == b"kept"
    assert hub.files["vocab.txt"] == (folder / "vocab.txt").read_bytes()


def test_a_card_that_is_there_is_not_written_over(hub, folder):
    hub.files = {"README.md": b"by hand"}
    done = publish(folder, REPO)
    assert hub.files["README.md"] == b"by hand"
    assert done.card is None
    assert "README.md" not in done.files


def test_a_card_in_the_folder_goes_as_it_is(hub, folder):
    (folder / "README.md").write_text("mine")
    assert publish(folder, REPO).card == "mine"
    assert hub.files is not None
    assert hub.files["README.md"] == b"mine"


def test_a_card_that_was_generated_is_generated_anew(hub, folder):
    publish(folder, REPO, metrics={"accuracy": 0.5})
    assert hub.files is not None
    (folder / "README.md").write_bytes(hub.files["README.md"])
    for _ in range(2):  # from the folder, then from the hub
        publish(folder, REPO, metrics={"accuracy": 0.75})
        assert "| accuracy | 0.75 |" in hub.files["README.md"].decode()
        (folder / "README.md").unlink(missing_ok=True)


@pytest.mark.parametrize("given", [{"metrics": {"accuracy": 1}}, {"licence": "mit"}])
@pytest.mark.parametrize("place", ["folder", "hub"])
def test_what_a_card_by_hand_would_swallow_is_refused(hub, folder, given, place):
    if place == "hub":
        hub.files = {"README.md": b"by hand"}
    else:
        (folder / "README.md").write_text("by hand")
    with pytest.raises(ValueError, match="write them there, or remove its README"):
        publish(folder, REPO, **given)
    assert commits(hub) == 0


def test_what_loading_would_read_of_an_earlier_checkpoint_is_removed(hub, folder):
    stale = ["model.safetensors.index.json", "modules.json", "tokenizer.json"]
    hub.files = dict.fromkeys([*stale, "other.json"], b"{}")
    assert publish(folder, REPO).removed == stale
    assert not hub.files.keys() & set(stale)
    assert "other.json" in hub.files


def test_what_says_how_sentences_become_vectors_is_published(hub, tmp_path):
    folder = write_checkpoint(tmp_path / "checkpoint", "DistilBertModel")
    say_how_sentences_become_vectors(folder)
    publish(folder, REPO)
    assert hub.files is not None
    there = tmp_path / "there"
    for name, content in hub.files.items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes(content)
    before, after = (
        pipeline("sentence-embeddings", model=str(each))("Not bad")
        for each in (folder, there)
    )
    assert torch.equal(after, before)


def test_a_private_repository_is_made_private(hub, folder):
    publish(folder, REPO, private=True)
    assert hub.private
    assert commits(hub) == 1


def test_what_shall_be_private_is_not_sent_to_a_public_repository(hub, folder):
    hub.files = {}
    with pytest.raises(PublishError, match="exists and is public"):
        publish(folder, REPO, private=True)
    assert hub.files == {}
    assert commits(hub) == 0


# A branch

BRANCH = "experiment-2"


def test_a_branch_that_does_not_exist_is_made_of_main(hub, folder):
    hub.files = {"other.txt": b"kept", "tokenizer.json": b"{}"}
    done = publish(folder, REPO, revision=BRANCH)
    assert hub.files == {"other.txt": b"kept", "tokenizer.json": b"{}"}
    there = hub.branches[BRANCH]
    assert there.keys() == {*done.files, "other.txt"}
    assert there["vocab.txt"] == (folder / "vocab.txt").read_bytes()
    assert done.removed == ["tokenizer.json"]


def test_a_new_repository_gets_the_branch_too(hub, folder):
    publish(folder, REPO, revision=BRANCH)
    assert hub.files == {}
    assert "model.safetensors" in hub.branches[BRANCH]


def test_a_branch_that_exists_is_the_one_that_is_looked_at(hub, folder):
    hub.files = {"README.md": b"main's"}
    hub.branches = {BRANCH: {"README.md": b"by hand", "modules.json": b"{}"}}
    done = publish(folder, REPO, revision=BRANCH)
    assert hub.files == {"README.md": b"main's"}
    assert done.card is None
    assert done.removed == ["modules.json"]
    assert hub.branches[BRANCH]["README.md"] == b"by hand"


def test_a_generated_card_of_a_branch_is_generated_anew(hub, folder):
    hub.files = {"README.md": b"by hand"}
    hub.branches = {BRANCH: {"README.md": publishing._MARK.encode()}}
    done = publish(folder, REPO, revision=BRANCH)
    assert hub.branches[BRANCH]["README.md"].decode() == done.card


def test_without_a_branch_main_is_the_one(hub, folder):
    hub.branches = {BRANCH: {}}
    publish(folder, REPO)
    assert hub.branches == {BRANCH: {}}
    assert not any(BRANCH in each or "/branch/" in each for each in hub.asked)


def test_a_failure_that_passes_is_got_over_for_a_branch_too(hub, folder):
    hub.trouble = {"/revision/": [503, None], "/branch/": [503, None]}
    publish(folder, REPO, revision=BRANCH)
    assert hub.trouble == {"/revision/": [], "/branch/": []}
    assert "model.safetensors" in hub.branches[BRANCH]


@pytest.mark.parametrize("revision", ["", " "])
def test_no_branch_is_not_taken_for_main(hub, folder, revision):
    with pytest.raises(ValueError, match="expected a branch; leave it out for main"):
        publish(folder, REPO, revision=revision)
    assert hub.asked == []


# What is not sent


def test_a_file_that_the_hub_leaves_out_is_told(hub, folder):
    hub.ignored = {"vocab.txt"}
    with pytest.raises(PublishError, match=r"without vocab\.txt"):
        publish(folder, REPO)


def spoil_numbers(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["classifier.weight"][0, 0] = torch.nan
    safetensors.torch.save_file(tensors, folder / "model.safetensors")


def spoil_names(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    del tensors["classifier.bias"]
    safetensors.torch.save_file(tensors, folder / "model.safetensors")


def spoil_the_vocabulary(folder: Path) -> None:
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("\none more\n")


def spoil_what_the_class_does_not_read(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["qa_outputs.weight"] = torch.full((2, 20), torch.inf)
    tensors["qa_outputs.bias"] = torch.zeros(2)
    safetensors.torch.save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_numbers,
        spoil_names,
        spoil_the_vocabulary,
        spoil_what_the_class_does_not_read,
    ],
)
def test_an_unsound_checkpoint_is_not_sent(hub, folder, spoil):
    spoil(folder)
    with pytest.raises(CheckpointError):
        publish(folder, REPO)
    assert hub.asked == []


def test_a_wrong_answer_is_not_sent(hub, folder, monkeypatch):
    monkeypatch.setattr(publishing, "verify", lambda source: verified(source, "WRONG"))
    with pytest.raises(CheckpointError, match="float32 beside float64 is wrong: off"):
        publish(folder, REPO)
    assert hub.asked == []


@pytest.mark.parametrize("repo", ["a b", "a/b/c", "", "../x"])
def test_an_impossible_name_is_told(hub, folder, repo):
    with pytest.raises(ValueError, match="cannot be a hub repository"):
        publish(folder, repo)
    assert hub.asked == []


@pytest.mark.parametrize("value", [float("nan"), "high", True])
def test_a_metric_that_is_no_number_is_told(folder, value):
    with pytest.raises(ValueError, match="metric 'accuracy' is"):
        publish(folder, REPO, metrics={"accuracy": value}, dry_run=True)


# The card


def card_of(folder: Path, **options: Any) -> str:
    card = publish(folder, REPO, dry_run=True, **options).card
    assert card is not None
    return card


def test_the_card_is_one_that_the_hub_library_reads(checkpoint):
    card = huggingface_hub.ModelCard(card_of(checkpoint, licence="mit"))
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.license == "mit"
    assert card.data.tags == ["distilbert"]


def test_the_card_claims_no_licence_and_no_metrics_that_were_not_given(checkpoint):
    card = card_of(checkpoint)
    assert "license" not in card
    assert "Metrics" not in card


def test_the_card_shows_the_metrics_and_who_states_them(checkpoint):
    card = card_of(checkpoint, metrics={"accuracy": 0.91})
    assert "| accuracy | 0.91 |" in card
    assert "As stated by whoever published this; not checked." in card


def test_labels_cannot_break_the_card(checkpoint):
    card = card_of(checkpoint)
    assert "| 0 | no |" in card
    assert r"| 1 | so-so \| \<b\> |" in card


def test_the_card_counts_what_is_in_the_file(checkpoint):
    tensors = safetensors.torch.load_file(checkpoint / "model.safetensors")
    numbers = sum(tensor.numel() for tensor in tensors.values())
    card = card_of(checkpoint)
    assert f"| parameters | {numbers:,}, stored as F32 |" in card
    kind = "DistilBertForSequenceClassification"
    assert f"All {len(tensors)} tensors of `{kind}` fit" in card


def test_the_card_names_the_tensors_that_are_not_read(folder):
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    read = len(tensors)
    tensors["qa_outputs.weight"] = torch.zeros(2, 20)
    tensors["qa_outputs.bias"] = torch.zeros(2)
    metadata = {"format": "pt"}
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata)
    card = card_of(folder)
    assert f"All {read} tensors of" in card
    assert r"not read: qa\_outputs.bias, qa\_outputs.weight." in card


def test_the_card_has_the_hash_of_the_weights(checkpoint):
    digest = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    assert f"SHA-256 of `model.safetensors`: `{digest}`" in card_of(checkpoint)


def test_the_code_on_the_card_of_a_branch_loads_the_branch(checkpoint):
    branch = 'quoted-"-branch'
    card = card_of(checkpoint, revision=branch)
    calls = re.findall(r"from_pretrained\((.*)\)", card)
    assert len(calls) == 2
    for call in calls:
        assert eval(f"dict(repo={call})") == {"repo": REPO, "revision": branch}


def test_the_code_on_the_card_runs(checkpoint, monkeypatch):
    code = re.search(r"```python\n(.*?)```", card_of(checkpoint), re.S)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1].replace(f'"{REPO}"', repr(str(checkpoint))), names)
    assert isinstance(names["tokenizer"], AutoTokenizer)


# The command


def test_the_command_shows_the_card_of_a_dry_run(checkpoint):
    arguments = ["weights", "publish", str(checkpoint), REPO, "--dry-run"]
    result = CliRunner().invoke(main, [*arguments, "--metric", "accuracy=0.9"])
    assert result.exit_code == 0, result.output
    assert "# a-model" in result.output
    assert "| accuracy | 0.9 |" in result.output
    assert "dry run: nothing was sent" in result.output


def test_the_command_publishes_to_a_branch(hub, folder):
    arguments = ["weights", "publish", str(folder), REPO, "--revision", BRANCH]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert hub.files == {}
    assert "vocab.txt" in hub.branches[BRANCH]


def test_the_command_tells_what_it_removed_and_that_a_card_was_kept(hub, folder):
    hub.files = {"README.md": b"by hand", "tokenizer.json": b"{}"}
    result = CliRunner().invoke(main, ["weights", "publish", str(folder), REPO])
    assert "removed  tokenizer.json\n" in result.output
    assert "README.md: kept, it was not generated\n" in result.output


def test_the_command_shows_the_card_of_the_folder(folder):
    (folder / "README.md").write_text("by hand")
    arguments = ["weights", "publish", str(folder), REPO, "--dry-run"]
    assert "by hand" in CliRunner().invoke(main, arguments).output


def test_the_command_speaks_json(checkpoint):
    arguments = ["weights", "publish", str(checkpoint), REPO, "--dry-run", "--json"]
    result = CliRunner().invoke(main, arguments)
    record = json.loads(result.stdout)
    assert record["url"] is None
    assert record["files"]["config.json"] > 0


@pytest.mark.parametrize("metric", ["accuracy", "=0.9", "accuracy=high"])
def test_the_command_refuses_what_is_no_metric(checkpoint, metric):
    arguments = ["weights", "publish", str(checkpoint), REPO, "--metric", metric]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "is not NAME=NUMBER" in result.output
