"""``pytorch_model.bin``: read in all its formats, and never run."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile

import pytest
import torch
from layouts import SMALL, SST_2, config_of, random_tensors
from torch.torch_version import TorchVersion

from minidistil.checkpoint.tensors import CheckpointError
from minidistil.hub import CheckpointNotFoundError, open_checkpoint
from minidistil.weights.pickles import read_pickle, read_pickles

pytestmark = pytest.mark.skipif(
    torch.__version__ < "2.10", reason="an older torch is trusted with no pickle"
)
NEW, LEGACY = True, False
FORMATS = pytest.mark.parametrize("new", [NEW, LEGACY], ids=["zip", "legacy"])


@pytest.fixture
def tensors():
    return random_tensors(config_of(SST_2, **SMALL))


def save(content, path, new=NEW):
    torch.save(content, path, _use_new_zipfile_serialization=new)
    return path


def same(found, expected):
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


@pytest.mark.parametrize("version", ["2.4.1", "2.9.1+cpu", "2.10.0rc1"])
def test_an_older_torch_is_trusted_with_no_pickle(tmp_path, monkeypatch, version):
    path = save({"a": torch.ones(2)}, tmp_path / "a.bin")
    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    with pytest.raises(CheckpointError, match=r"this is torch 2\..*; upgrade torch"):
        read_pickle(path)


@pytest.mark.parametrize("version", ["2.10.0", "2.10.0+cpu", "3.0.0"])
def test_torch_is_told_by_number(tmp_path, monkeypatch, version):
    path = save({"a": torch.ones(2)}, tmp_path / "a.bin")
    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    assert same(read_pickle(path), {"a": torch.ones(2)})


# Sound ones


@FORMATS
def test_the_tensors_are_those_that_were_saved(tmp_path, tensors, new):
    path = save(tensors, tmp_path / "pytorch_model.bin", new)
    assert same(read_pickle(path), tensors)


@FORMATS
def test_a_models_own_state_is_read(tmp_path, new):
    model = torch.nn.Linear(3, 2)
    path = save(model.state_dict(), tmp_path / "a.bin", new)
    assert same(read_pickle(path), dict(model.state_dict()))


@FORMATS
def test_a_parameter_becomes_a_tensor(tmp_path, new):
    path = save({"a": torch.nn.Parameter(torch.ones(2))}, tmp_path / "a.bin", new)
    assert type(read_pickle(path)["a"]) is torch.Tensor
    assert not read_pickle(path)["a"].requires_grad


@FORMATS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_are_kept(tmp_path, new, dtype):
    path = save({"a": torch.ones(2).to(dtype)}, tmp_path / "a.bin", new)
    assert read_pickle(path)["a"].dtype == dtype


@FORMATS
def test_tied_tensors_are_read_twice(tmp_path, new):
    one = torch.randn(200, 4)
    path = save({"a": one, "b": one}, tmp_path / "a.bin", new)
    assert same(read_pickle(path), {"a": one, "b": one})


def write_shards(folder, tensors, weight_map=None):
    names = sorted(tensors)
    parts = {"one.bin": names[::2], "two.bin": names[1::2]}
    for file, part in parts.items():
        save({name: tensors[name] for name in part}, folder / file)
    weight_map = weight_map or {n: file for file, part in parts.items() for n in part}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return open_checkpoint(folder)


def test_shards_are_read_as_one(tmp_path, tensors):
    assert same(read_pickles(write_shards(tmp_path, tensors)), tensors)


def test_an_index_and_its_shards_must_agree(tmp_path, tensors):
    wrong = dict.fromkeys(tensors, "one.bin")
    with pytest.raises(CheckpointError, match="and its files disagree"):
        read_pickles(write_shards(tmp_path, tensors, wrong))


def test_a_shard_cannot_lie_elsewhere(tmp_path, tensors):
    with pytest.raises(CheckpointError, match="is not the plain name of a file"):
        read_pickles(write_shards(tmp_path, tensors, {"a": "../one.bin"}))


def test_a_folder_without_pickles_has_none(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=r"has no model\.safetensors"):
        read_pickles(open_checkpoint(tmp_path))


# Hostile ones


class Program:
    """What, unpickled, would write a file: the harmless stand-in for any program."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def by_torch(program, path, new):
    save({"a": torch.ones(2), "b": program}, path, new)


def by_torch_alone(program, path, new):
    save(program, path, new)


def by_pickle(program, path, new):
    path.write_bytes(pickle.dumps({"a": program}))


def by_magic_and_pickle(program, path, new):
    # The legacy format's magic number, and then what is no torch.save at all.
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    path.write_bytes(magic + pickle.dumps(program, protocol=2))


def by_zip_of_pickle(program, path, new):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(program, protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


def by_tar(program, path, new):
    """A format that torch read long ago, here disguised as the one that followed."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    body = pickle.dumps(program, protocol=2)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name in (magic.decode("latin-1"), "storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    content = path.read_bytes()
    if not content.startswith(magic):  # not every tarfile writes such a name
        header = bytearray(content[:512])
        header[:100] = magic.ljust(100, b"\0")
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        path.write_bytes(bytes(header) + content[512:])
    assert path.read_bytes().startswith(magic)
    assert tarfile.is_tarfile(path)


ATTACKS = [
    by_torch,
    by_torch_alone,
    by_pickle,
    by_magic_and_pickle,
    by_zip_of_pickle,
    by_tar,
]


@FORMATS
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_program_in_a_file_is_refused_and_not_run(tmp_path, attack, new):
    path, written = tmp_path / "pytorch_model.bin", tmp_path / "the program ran"
    attack(Program(written), path, new)
    with pytest.raises(CheckpointError) as error:
        read_pickle(path)
    assert not written.exists()
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("attack", [by_pickle, by_tar])
def test_what_torch_does_not_write_torch_never_sees(tmp_path, attack, monkeypatch):
    # Before 2.6, torch read a tar with a machine that could be made to call anything.
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch read it"))
    path = tmp_path / "pytorch_model.bin"
    attack(Program(tmp_path / "the program ran"), path, LEGACY)
    with pytest.raises(CheckpointError, match=r"is not a file that torch\.save writes"):
        read_pickle(path)


def test_the_program_would_run_if_it_were_let(tmp_path):
    path, written = tmp_path / "pytorch_model.bin", tmp_path / "the program ran"
    by_torch(Program(written), path, NEW)
    torch.load(path, weights_only=False)
    assert written.exists()


def test_the_environment_cannot_open_the_door(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path, written = tmp_path / "pytorch_model.bin", tmp_path / "the program ran"
    by_torch(Program(written), path, NEW)
    with pytest.raises(CheckpointError):
        read_pickle(path)
    assert not written.exists()


@FORMATS
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "holds a list, expected tensors by name"),
        ({"a": 1}, "holds a int under 'a'"),
        ({"state_dict": {"a": torch.ones(1)}}, "holds a dict under 'state_dict'"),
        ({1: torch.ones(1)}, "holds a Tensor under 1"),
        ({"a": torch.ones(2, 2).to_sparse()}, "'a' is a sparse"),
    ],
)
def test_what_is_not_tensors_by_name_is_told(tmp_path, new, content, message):
    path = save(content, tmp_path / "pytorch_model.bin", new)
    with pytest.raises(CheckpointError, match=message):
        read_pickle(path)


@FORMATS
def test_a_tensor_that_claims_to_be_larger_than_its_file_is_refused(tmp_path, new):
    path = save({"a": torch.ones(1).expand(10**6, 10**6)}, tmp_path / "a.bin", new)
    assert path.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match="its tensors would take 4,000,000,000"):
        read_pickle(path)


def test_a_compressed_file_is_refused(tmp_path, tensors):
    save(tensors, tmp_path / "sound.bin")
    with (
        zipfile.ZipFile(tmp_path / "sound.bin") as sound,
        zipfile.ZipFile(tmp_path / "a.bin", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in sound.infolist():
            packed.writestr(member.filename, sound.read(member))
    with pytest.raises(CheckpointError, match="is compressed"):
        read_pickle(tmp_path / "a.bin")


@FORMATS
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_cut_short_is_told(tmp_path, tensors, new, share):
    path = save(tensors, tmp_path / "pytorch_model.bin", new)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError) as error:
        read_pickle(path)
    assert str(path) in str(error.value)


def test_a_git_lfs_pointer_is_told(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        read_pickle(path)
