"""A download that is killed, cut off or out of disk leaves the old file or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from checkpoints import write_checkpoint
from hub_stand_in import COMMIT, point_the_hub_library_at, serving
from safetensors.torch import load_file, save_file

from minidistil import AutoModelForSequenceClassification, CheckpointNotFoundError

REPO = "someone/a-model"
NEWER = "fedcba9876543210fedcba9876543210fedcba98"
WEIGHTS = "model.safetensors"
SECONDS = 60  # that the program may take until it has a part of the weights

PROGRAM = f"""
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 1024  # or nothing would be written before the end
from minidistil import AutoModelForSequenceClassification
AutoModelForSequenceClassification.from_pretrained({REPO!r}, revision="v2")
"""

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither SIGKILL nor limits"
)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch, tmp_path, cache, socket_enabled):
    with serving() as hub:
        point_the_hub_library_at(hub, monkeypatch, cache)
        hub.repos[REPO] = write_checkpoint(tmp_path / "files")
        yield hub


def load(**options):
    return AutoModelForSequenceClassification.from_pretrained(REPO, **options)


def assert_has(model, tensors):
    found = model.state_dict()
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def assert_not_in_the_cache(**options):
    missing = f"hub repository '{REPO}'.* has no {WEIGHTS}\\. Only the cache"
    with pytest.raises(CheckpointNotFoundError, match=missing):
        load(local_files_only=True, **options)


def kill_when_a_part_is_there(program, cache, whole):
    """Kill the program; return how many bytes of the weights it had written."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and program.poll() is None:
        sizes = [path.stat().st_size for path in cache.rglob("*.incomplete")]
        if any(2048 <= size < whole for size in sizes):
            break
        time.sleep(0.01)
    program.kill()
    assert program.wait() == -signal.SIGKILL, program.stderr.read()
    (part,) = (path.stat().st_size for path in cache.rglob("*.incomplete"))
    return part


def test_a_killed_download_leaves_the_old_file_and_no_half_of_the_new(hub, cache):
    path = hub.repos[REPO] / WEIGHTS
    old = load_file(path)
    assert_has(load(), old)
    new = {name: tensor + 1 for name, tensor in old.items()}
    save_file(new, path, {"format": "pt"})
    hub.commit, hub.pause = NEWER, 0.05
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": str(cache)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        part = kill_when_a_part_is_there(program, cache, path.stat().st_size)
    assert 2048 <= part < path.stat().st_size
    hub.pause = 0.0
    assert_not_in_the_cache(revision="v2")
    assert_has(load(local_files_only=True, revision=COMMIT), old)
    assert_has(load(local_files_only=True), old)
    assert_has(load(revision="v2"), new)
    assert_has(load(local_files_only=True, revision="v2"), new)


FETCH = f"""
import sys
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 1024
from minidistil import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained({REPO!r})
model.save_pretrained(sys.argv[1])
"""


@pytest.mark.full
def test_processes_that_fetch_the_same_do_not_harm_each_other(hub, cache, tmp_path):
    hub.pause = 0.05  # they overlap: it takes longer than starting a process
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": str(cache)}
    folders = [tmp_path / str(i) for i in range(3)]
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", FETCH, str(folder)], env=os.environ | environment
        )
        for folder in folders
    ]
    assert [program.wait(10 * SECONDS) for program in programs] == [0, 0, 0]
    stored = load_file(hub.repos[REPO] / WEIGHTS)
    for folder in folders:
        found = load_file(folder / WEIGHTS)
        assert all(torch.equal(found[name], stored[name]) for name in stored)
    assert [*cache.rglob("*.incomplete")] == []


def test_a_connection_cut_midway_is_one_error_and_can_be_tried_again(hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between the library's attempts
    hub.cut = 100_000
    with pytest.raises(CheckpointNotFoundError) as error:
        load()
    assert f"cannot fetch {WEIGHTS} of hub repository '{REPO}'" in str(error.value)
    assert "Check the connection and try again" in str(error.value)
    assert_not_in_the_cache()
    hub.cut = None
    assert_has(load(), load_file(hub.repos[REPO] / WEIGHTS))


def test_a_full_disk_is_one_error_and_can_be_tried_again(hub):
    import resource

    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, usual[1]))
    try:
        with pytest.raises(CheckpointNotFoundError, match="File too large"):
            load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert_not_in_the_cache()
    assert_has(load(), load_file(hub.repos[REPO] / WEIGHTS))
