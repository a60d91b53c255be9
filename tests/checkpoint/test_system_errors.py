"""What the system refuses is not called damage; what cannot be mapped is read."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from damaged_files import HOSTILE
from safetensors import safe_open

from minidistil import (
    AutoModelForSequenceClassification,
    CheckpointError,
    DistilBertForSequenceClassification,
)
from minidistil.checkpoint import stored
from minidistil.checkpoint.stored import read_header
from minidistil.engine import Engine
from minidistil.weights import inspect, verify
from minidistil.weights.pickles import read_pickle

TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
# How safetensors and torch report a file system that cannot map files.
UNMAPPED = [
    OSError("No such device (os error 19)"),
    OSError("Invalid argument (os error 22)"),
    PermissionError("Permission denied (os error 13)"),
    RuntimeError("unable to mmap 80 bytes from file <x>: No such device (19)"),
]
EXHAUSTED = [
    (MemoryError("Cannot allocate memory (os error 12)"), errno.ENOMEM),
    (OSError("Too many open files (os error 24)"), errno.EMFILE),
    (RuntimeError("unable to mmap 8 bytes from file <x>: Cannot (12)"), errno.ENOMEM),
    (RuntimeError("unable to open file <x> in read-only mode: T (24)"), errno.EMFILE),
]


def unmapped(monkeypatch, error=UNMAPPED[0]):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(stored, "safe_open", refuse)


@pytest.fixture
def checkpoint(folder_of, tmp_path):
    return shutil.copytree(folder_of(), tmp_path / "checkpoint")


@pytest.mark.parametrize("error", UNMAPPED, ids=str)
def test_where_files_cannot_be_mapped_they_are_read(checkpoint, monkeypatch, error):
    expected = safetensors.torch.load_file(checkpoint / "model.safetensors")
    unmapped(monkeypatch, error)
    model = DistilBertForSequenceClassification.from_pretrained(checkpoint)
    found = model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_what_is_read_is_what_would_be_mapped(tmp_path, monkeypatch, dtype):
    path = tmp_path / "model.safetensors"
    tensors = {
        "matrix": torch.randn(3, 5).to(dtype),
        "number": torch.randn(()).to(dtype),
        "nothing": torch.empty(0, 4, dtype=dtype),
    }
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    header = read_header(path)
    with safe_open(path, "pt") as mapped:
        unmapped(monkeypatch)
        assert read_header(path) == header
        found = stored.StoredFile(path).map()
        for name in tensors:
            tensor = found.get_tensor(name)
            assert tensor.dtype == dtype
            assert torch.equal(tensor, mapped.get_tensor(name))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_file_is_refused_in_the_same_words_where_it_is_read(
    tmp_path, monkeypatch, name
):
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE[name])

    def said():
        try:
            return read_header(path)
        except CheckpointError as error:
            said = re.sub(r"\(Error while deserializing[^:]*: ", "(", str(error))
            # Of two that lie in one place, the library names either.
            said = re.sub(r"tensor `\w+`", "tensor", said)
            return said.partition(str(path))[2][:300]  # of a long one, less is shown

    mapped = said()
    unmapped(monkeypatch)
    assert said() == mapped


def test_an_engine_reads_what_cannot_be_mapped(checkpoint, monkeypatch):
    expected = Engine.from_pretrained(checkpoint)([[2, 5, 3]])
    unmapped(monkeypatch)
    assert torch.equal(Engine.from_pretrained(checkpoint)([[2, 5, 3]])[0], expected[0])


@pytest.mark.parametrize(("error", "number"), EXHAUSTED, ids=str)
@pytest.mark.parametrize(
    "work", [AutoModelForSequenceClassification.from_pretrained, inspect, verify]
)
def test_what_is_exhausted_is_not_damage(checkpoint, monkeypatch, error, number, work):
    unmapped(monkeypatch, error)
    with pytest.raises(OSError, match="raise the limit") as found:
        work(checkpoint)
    assert found.value.errno == number
    assert found.value.filename == str(checkpoint / "model.safetensors")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_file_that_may_not_be_read_is_neither_damaged_nor_missing(
    checkpoint, monkeypatch, name
):
    # Root may read all files, so the system's answer is put in its mouth.
    real_stat, real_open, real_read = Path.stat, os.open, Path.read_bytes

    def refusing(real):
        def call(path, *arguments, **options):
            if Path(path).name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return real(path, *arguments, **options)

        return call

    monkeypatch.setattr(Path, "stat", refusing(real_stat))
    monkeypatch.setattr(Path, "read_bytes", refusing(real_read))
    monkeypatch.setattr(os, "open", refusing(real_open))
    from minidistil.pipelines import pipeline

    with pytest.raises(PermissionError) as error:
        pipeline("text-classification", str(checkpoint))
    assert str(error.value.filename) == str(checkpoint / name)


# A pickle


@pytest.fixture
def pickled(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"w": torch.arange(6.0).view(2, 3)}, path)
    return path


def refusing_to_map(monkeypatch, error):
    real = torch.load

    def load(*arguments, mmap, **options):
        if mmap:
            raise error
        return real(*arguments, mmap=mmap, **options)

    monkeypatch.setattr(torch, "load", load)


def test_a_pickle_that_cannot_be_mapped_is_read(pickled, monkeypatch):
    refusing_to_map(monkeypatch, UNMAPPED[-1])
    assert torch.equal(read_pickle(pickled)["w"], torch.arange(6.0).view(2, 3))


def test_a_pickle_for_which_there_is_no_memory_is_not_damaged(pickled, monkeypatch):
    refusing_to_map(monkeypatch, EXHAUSTED[2][0])
    with pytest.raises(OSError, match="ulimit -v") as error:
        read_pickle(pickled)
    assert (error.value.errno, error.value.filename) == (errno.ENOMEM, str(pickled))


def test_a_pickle_that_asks_for_more_memory_than_it_can_fill_is_damaged(
    pickled, monkeypatch
):
    with pytest.raises(RuntimeError) as asked:
        torch.empty(2**60, dtype=torch.uint8)
    refusing_to_map(monkeypatch, asked.value)
    with pytest.raises(CheckpointError, match="more memory than it can fill"):
        read_pickle(pickled)


# With the system's own limits

LIMITED = """
import resource, sys
from minidistil import DistilBertForSequenceClassification as Model
Model.from_pretrained(sys.argv[1])  # imports all
kind, room = sys.argv[2:]
if kind == "memory":
    import re
    used = re.search(r"VmSize:\\s*(\\d+)", open("/proc/self/status").read())
    limit = resource.RLIMIT_AS, int(used[1]) * 1024 + int(room)
else:
    import os
    last = max(map(int, os.listdir("/proc/self/fd")))
    limit = resource.RLIMIT_NOFILE, last + int(room)
resource.setrlimit(limit[0], (limit[1],) * 2)
try:
    Model.from_pretrained(sys.argv[1])
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize(
    ("kind", "room", "number"),
    [("memory", 2**20, errno.ENOMEM), ("files", 1, errno.EMFILE)],
)
def test_at_the_limits_of_the_system_a_sound_file_is_not_called_damaged(
    kind, room, number
):
    import minidistil

    folder = Path(minidistil.__file__).parent / "bundled" / "tiny-sst2"
    command = [sys.executable, "-c", LIMITED, str(folder), kind, str(room)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    found, name = run.stdout.split(maxsplit=1)
    assert int(found) == number
    assert Path(name.strip()).parent == folder
