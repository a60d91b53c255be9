"""Reading the header of a safetensors file: what the library accepts, and no more."""

from __future__ import annotations

import errno
import json
import random
import struct

import pytest
import safetensors.torch
import torch
from damaged_files import HOSTILE
from safetensors import SafetensorError, safe_open

from minidistil.checkpoint import stored
from minidistil.checkpoint.stored import CheckpointError, read_header
from minidistil.checkpoint.tensors import Weights
from minidistil.hub import open_checkpoint

# The types that the format has.
TYPES = (
    *("F64", "I64", "U64", "C64", "F32", "I32", "U32", "F16", "BF16", "I16", "U16"),
    *("BOOL", "I8", "U8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E5M2FNUZ"),
    *("F8_E4M3FNUZ", "F6_E2M3", "F6_E3M2", "F4"),
)
LONGEST = 100_000_000  # bytes of a header; the safetensors library's limit


def test_a_header_is_what_the_safetensors_library_wrote(tmp_path):
    path = tmp_path / "a.safetensors"
    stored = {"a": torch.ones(3, 2), "b": torch.ones(4).half(), "c": torch.tensor(1)}
    safetensors.torch.save_file(stored, path, {"format": "pt"})
    header = read_header(path)
    assert header.metadata == {"format": "pt"}
    assert header.size == path.stat().st_size
    found = {entry.name: (entry.dtype, entry.shape) for entry in header.tensors}
    assert found == {"a": ("F32", (3, 2)), "b": ("F16", (4,)), "c": ("I64", ())}
    assert sum(each.size for each in header.tensors) == header.size - header.data_start


def test_a_file_may_hold_no_tensor(tmp_path):
    safetensors.torch.save_file({}, tmp_path / "empty.safetensors")
    assert read_header(tmp_path / "empty.safetensors").tensors == []


# A file without tensors is sound, and it is for loading to refuse it.
@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - {"no tensors"}))
def test_a_hostile_file_is_one_error_that_names_it(tmp_path, name):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(CheckpointError) as error:
        read_header(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_git_lfs_pointer_is_recognised(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match="run `git lfs pull`"):
        read_header(path)


def test_a_header_is_not_read_beyond_the_librarys_own_limit(tmp_path):
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", LONGEST + 1))
        file.truncate(LONGEST + 100)
    with pytest.raises(CheckpointError, match="is not a sound safetensors file"):
        read_header(path)
    with pytest.raises(SafetensorError):
        safe_open(path, "pt")


@pytest.mark.parametrize(
    "described",
    [
        ["F32", [2], [0, 8]],
        {"dtype": {"F32": None}, "shape": [2], "data_offsets": [0, 8]},
    ],
    ids=["a list", "a type that is an object"],
)
def test_what_only_the_library_understands_is_one_error_that_names_it(
    tmp_path, described
):
    path = tmp_path / "model.safetensors"
    text = json.dumps({"w": described}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with safe_open(path, "pt") as file:
        assert [*file.keys()] == ["w"]
    for read in (read_header, lambda path: Weights(open_checkpoint(path.parent))):
        with pytest.raises(CheckpointError, match="'w' is described by") as error:
            read(path)
        assert str(path) in str(error.value)


def test_a_file_too_large_to_be_mapped_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"w": torch.ones(1)}, path)

    def refuse(*_, **__):
        message = f"unable to mmap 10000000000000 bytes from file <{path}>"
        raise RuntimeError(f"{message}: Cannot allocate memory (12)")  # as torch does

    monkeypatch.setattr(stored, "safe_open", refuse)
    with pytest.raises(OSError, match="Cannot allocate memory") as error:
        read_header(path)
    assert error.value.errno == errno.ENOMEM
    assert error.value.filename == str(path)


def test_a_shape_of_ten_thousand_dimensions_takes_no_time(tmp_path):
    described = {"dtype": "F32", "shape": [2**62] * 10_000, "data_offsets": [0, 8]}
    text = json.dumps({"w": described}).encode()
    start = struct.pack("<Q", len(text)) + text
    path = tmp_path / "model.safetensors"
    path.write_bytes(start + bytes(8))
    with pytest.raises(CheckpointError, match="is not a sound safetensors file"):
        read_header(path)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_has_the_size_that_the_library_knows(tmp_path, dtype):
    path = tmp_path / "typed.safetensors"
    for size in range(0, 72):
        described = {"dtype": dtype, "shape": [8], "data_offsets": [0, size]}
        text = json.dumps({"w": described}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
        try:
            safe_open(path, "np")
        except SafetensorError as error:
            if "unknown variant" in str(error):
                pytest.skip(f"this safetensors does not know {dtype}")
            with pytest.raises(CheckpointError):
                read_header(path)
        else:
            assert read_header(path).tensors[0].size == size


def test_what_the_library_refuses_is_refused_and_the_rest_is_read(tmp_path):
    path = tmp_path / "mutated.safetensors"
    stored = {f"layer.{i}": torch.ones(i + 1, 2) for i in range(3)}
    safetensors.torch.save_file(stored, path, {"format": "pt"})
    sound = path.read_bytes()
    end = 8 + int.from_bytes(sound[:8], "little")
    chance = random.Random(0)
    taken = 0
    for _ in range(1500):
        damaged = bytearray(sound)
        for _ in range(chance.randint(1, 2)):
            damaged[chance.randrange(end)] = chance.choice(b'0123456789[]{}",:Fe t')
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(damaged)) :]
        path.write_bytes(bytes(damaged))
        try:
            with safe_open(path, "np") as file:
                expected = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError:
            with pytest.raises(CheckpointError):
                read_header(path)
            continue
        try:
            found = read_header(path)
        except CheckpointError as error:
            # The library lets a name stand twice, and takes the last.
            assert "twice" in str(error)  # noqa: PT017
            continue
        taken += 1
        assert {entry.name: list(entry.shape) for entry in found.tensors} == {
            name: each.get_shape() for name, each in expected.items()
        }
    assert taken > 50
