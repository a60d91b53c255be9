"""The official checkpoints: as the hub has them, or else the dated list."""

from __future__ import annotations

import pytest
from hub_stand_in import point_the_hub_library_at, serving
from layouts import OFFICIAL as LAYOUTS

from minidistil.weights.catalogue import OFFICIAL, hub_files, official_checkpoints

REPOS = [each.repo for each in OFFICIAL]


@pytest.fixture
def hub(monkeypatch, tmp_path, socket_enabled):
    with serving() as hub:
        point_the_hub_library_at(hub, monkeypatch, tmp_path / "cache")
        for i, repo in enumerate(REPOS):
            folder = tmp_path / "files" / repo
            folder.mkdir(parents=True)
            (folder / "model.safetensors").write_bytes(bytes(100 + i))
            hub.repos[repo] = folder
            hub.cards[repo] = {
                "pipeline_tag": f"task-{i}",
                "cardData": {"license": f"licence-{i}"},
            }
        yield hub


def test_the_list_has_the_seven_that_there_are():
    assert [f"distilbert/{name}" for name in LAYOUTS] == REPOS


# The licence of each repository, from its page on huggingface.co. What is named is a
# commit of README.md, or a page: of the model card, or with the hub's own licence tag.
LICENCES = {
    "distilbert-base-uncased": "apache-2.0",  # the tag at commits/main/README.md
    "distilbert-base-uncased-finetuned-sst-2-english": "apache-2.0",  # the card
    "distilbert-base-cased": "apache-2.0",  # 935ac13
    "distilbert-base-cased-distilled-squad": "apache-2.0",  # 626af31
    "distilbert-base-uncased-distilled-squad": "apache-2.0",  # the card
    "distilbert-base-german-cased": "apache-2.0",  # e965bc0
    "distilbert-base-multilingual-cased": "apache-2.0",  # 1a01b38
}


def test_the_licences_are_those_of_the_repositories():
    found = {each.repo: each.licence for each in OFFICIAL}
    assert found == {f"distilbert/{name}": said for name, said in LICENCES.items()}


def test_the_sizes_that_were_published_are_the_files():
    known = {each.repo: each.bytes for each in OFFICIAL if each.bytes_of == "file"}
    assert known == {
        "distilbert/distilbert-base-uncased": 267_954_768,
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english": 267_832_558,
    }


def test_the_hub_is_asked(hub):
    listing = official_checkpoints()
    assert listing.offline == ""
    assert [each.repo for each in listing.checkpoints] == REPOS
    assert [each.task for each in listing.checkpoints] == [
        f"task-{i}" for i in range(7)
    ]
    assert [each.bytes for each in listing.checkpoints] == [*range(100, 107)]
    assert {each.bytes_of for each in listing.checkpoints} == {"file"}
    assert [each.licence for each in listing.checkpoints] == [
        f"licence-{i}" for i in range(7)
    ]


def test_what_the_hub_does_not_say_is_as_in_the_list(hub):
    hub.cards.clear()
    for folder in hub.repos.values():
        (folder / "model.safetensors").unlink()
    assert official_checkpoints().checkpoints == [*OFFICIAL]


def test_a_hub_that_fails_leaves_the_dated_list(hub):
    hub.fail = 500
    listing = official_checkpoints()
    assert listing.checkpoints == [*OFFICIAL]
    assert "500" in listing.offline


def test_without_network_there_is_the_dated_list():
    listing = official_checkpoints()  # sockets are blocked
    assert listing.checkpoints == [*OFFICIAL]
    assert listing.offline


def test_the_hub_need_not_be_asked(hub):
    listing = official_checkpoints(local_files_only=True)
    assert listing.checkpoints == [*OFFICIAL]
    assert hub.requests == []


@pytest.mark.parametrize("revision", [None, "0123456789abcdef0123456789abcdef01234567"])
def test_what_is_in_the_cache_is_told(hub, revision):
    import huggingface_hub

    huggingface_hub.hf_hub_download(REPOS[2], "model.safetensors", revision=revision)
    found = official_checkpoints(local_files_only=True).checkpoints
    assert [each.repo for each in found if each.cached] == [REPOS[2]]


def test_the_hashes_are_the_hubs(hub):
    # Of a hundred zeros: `head -c 100 /dev/zero | sha256sum`.
    assert hub_files(REPOS[0]) == {
        "model.safetensors": (
            "cd00e292c5970d3c5e2f0ffa5171e555bc46bfc4faddfb4a418b6840b86e79a3"
        )
    }
