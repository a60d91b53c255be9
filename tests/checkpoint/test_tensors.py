"""Reading safetensors, sound, odd and hostile; and writing them."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import safetensors.torch
import torch
from damaged_files import EIGHT, HOSTILE, OK, described, file_bytes
from hypothesis import given, settings, strategies as st

from minidistil.checkpoint import saving
from minidistil.checkpoint.saving import save
from minidistil.checkpoint.tensors import DTYPES, CheckpointError, Weights, plain_name
from minidistil.hub import CheckpointNotFoundError, open_checkpoint

CPU = torch.device("cpu")


def read(weights: Weights, name: str, dtype: torch.dtype = torch.float32):
    return weights.tensor(name, dtype=dtype, device=CPU)


def folder_with(folder: Path, content: bytes) -> Path:
    (folder / "model.safetensors").write_bytes(content)
    return folder


def weights_of(folder: Path) -> Weights:
    return Weights(open_checkpoint(folder))


# Sound files


def test_tensors_are_read_as_the_safetensors_library_wrote_them(tmp_path):
    tensors = {
        "a.weight": torch.randn(3, 5),
        "a.bias": torch.randn(3),
        "scalar": torch.tensor(2.5),
        "none": torch.empty(0, 4),
    }
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    weights = weights_of(tmp_path)
    assert weights.entries.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert weights.entries[name].shape == tuple(tensor.shape)
        assert torch.equal(read(weights, name), tensor)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_when_asked(tmp_path, dtype):
    stored = torch.randn(7, 3).to(dtype)
    safetensors.torch.save_file({"w": stored}, tmp_path / "model.safetensors")
    weights = weights_of(tmp_path)
    assert torch.equal(read(weights, "w"), stored.to(torch.float32))
    assert torch.equal(read(weights, "w", dtype), stored)
    assert read(weights, "w", dtype).dtype == dtype


def test_a_header_that_is_not_padded_is_read(tmp_path):
    # As in distilbert-base-uncased-finetuned-sst-2-english: the data begin at a byte
    # that is 2 more than a multiple of 4.
    text = json.dumps({"w": described()}).encode()
    text += b" " * ((2 - (8 + len(text))) % 4)
    content = file_bytes(text, EIGHT)
    assert (len(content) - len(EIGHT)) % 4 == 2
    weights = weights_of(folder_with(tmp_path, content))
    assert read(weights, "w").tolist() == [1.5, -2.25]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_every_tensor_gets_aligned_memory_of_its_own(tmp_path, dtype):
    count = 20
    data = b"\x00" * 4 * sum(range(1, count))
    header, begin = {}, 0
    for i in range(1, count):
        header[f"t{i}"] = described(shape=(i,), begin=begin, end=begin + 4 * i)
        begin += 4 * i
    text = json.dumps(header).encode()
    text += b" " * ((2 - (8 + len(text))) % 4)
    weights = weights_of(folder_with(tmp_path, file_bytes(text, data)))
    copies = [read(weights, name, dtype) for name in weights.entries]
    assert [copy.data_ptr() % 64 for copy in copies] == [0] * len(copies)
    assert len({copy.untyped_storage().data_ptr() for copy in copies}) == len(copies)


def test_writing_to_a_copy_does_not_reach_the_file(tmp_path):
    content = file_bytes({"w": described()}, EIGHT)
    weights = weights_of(folder_with(tmp_path, content))
    read(weights, "w").zero_()
    assert read(weights, "w").tolist() == [1.5, -2.25]
    assert (tmp_path / "model.safetensors").read_bytes() == content


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "tf"}])
def test_metadata_do_not_matter(tmp_path, metadata):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"w": torch.ones(2)}, path, metadata)
    assert read(weights_of(tmp_path), "w").tolist() == [1, 1]


def test_opening_reads_the_header_alone(tmp_path):
    file = folder_with(tmp_path, file_bytes({"w": described()}, EIGHT))
    entry = weights_of(file).entries["w"]
    assert (entry.name, entry.dtype, entry.shape) == ("w", "F32", (2,))
    assert entry.file == tmp_path / "model.safetensors"


def test_the_common_type_is_that_of_the_file(tmp_path):
    tensors = {"a": torch.ones(2).half(), "position": torch.arange(3)}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    assert weights_of(tmp_path).common_dtype() == torch.float16


def test_mixed_types_have_no_common_one(tmp_path):
    tensors = {"a": torch.ones(2).half(), "b": torch.ones(2)}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"as F16, F32, so dtype=\"auto\" cannot"):
        weights_of(tmp_path).common_dtype()


# Names


@pytest.mark.parametrize(
    ("stored", "plain"),
    [
        ("distilbert.embeddings.LayerNorm.weight", "embeddings.LayerNorm.weight"),
        ("embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"),
        ("distilbert.embeddings.LayerNorm.beta", "embeddings.LayerNorm.bias"),
        ("distilbert.transformer.layer.0.b.bias", "transformer.layer.0.b.bias"),
        ("transformer.layer.0.n.gamma", "transformer.layer.0.n.weight"),
        ("embeddings.position_ids", None),
        ("distilbert.embeddings.position_ids", None),
        ("classifier.weight", "classifier.weight"),
        ("distilbert.classifier.weight", "distilbert.classifier.weight"),
        ("bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.weight"),
    ],
)
def test_a_tensor_has_one_plain_name(stored, plain):
    assert plain_name(stored) == plain


def test_two_spellings_of_one_tensor_are_told(tmp_path):
    tensors = {
        "distilbert.embeddings.LayerNorm.gamma": torch.ones(2),
        "embeddings.LayerNorm.weight": torch.ones(2),
    }
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"are the same tensor, 'embeddings"):
        weights_of(tmp_path)


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(tmp_path):
    path = tmp_path / "model.safetensors"
    old = {"a": torch.ones(5), "b": torch.ones(7)}
    safetensors.torch.save_file(old, path)
    weights = weights_of(tmp_path)
    assert torch.equal(read(weights, "a"), old["a"])
    save(tmp_path, {"a": torch.zeros(5), "b": torch.zeros(7)}, "{}")
    assert torch.equal(read(weights, "b"), old["b"])
    assert torch.equal(read(weights_of(tmp_path), "b"), torch.zeros(7))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells the count")
def test_weights_that_are_no_longer_used_leave_no_file_open(tmp_path):
    save(tmp_path, {"a": torch.ones(5)}, "{}")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        read(weights_of(tmp_path), "a")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# Shards


def shard(folder: Path, shards: dict[str, dict], weight_map: object = None) -> Path:
    for name, tensors in shards.items():
        safetensors.torch.save_file(tensors, folder / name)
    if weight_map is None:
        weight_map = {name: file for file, part in shards.items() for name in part}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def test_shards_are_read_as_one(tmp_path):
    parts = {ONE: {"a": torch.randn(2)}, TWO: {"b": torch.randn(3), "c": torch.ones(1)}}
    weights = weights_of(shard(tmp_path, parts))
    assert set(weights.entries) == {"a", "b", "c"}
    assert torch.equal(read(weights, "a"), parts[ONE]["a"])
    assert torch.equal(read(weights, "b"), parts[TWO]["b"])


def test_shards_that_transformers_writes_are_read(tmp_path):
    import transformers

    config = transformers.DistilBertConfig(
        vocab_size=50, dim=8, n_heads=2, hidden_dim=8, n_layers=2
    )
    model = transformers.DistilBertModel(config)
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    weights = weights_of(tmp_path)
    expected = model.state_dict()
    assert weights.entries.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(read(weights, name), tensor)


def test_a_single_file_goes_before_an_index(tmp_path):
    shard(tmp_path, {ONE: {"a": torch.ones(1)}})
    safetensors.torch.save_file({"b": torch.ones(1)}, tmp_path / "model.safetensors")
    assert set(weights_of(tmp_path).entries) == {"b"}


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": ONE, "b": ONE}, f"'b' is not in {ONE}"),
        ({"a": ONE}, None),
        ({"a": ONE, "b": TWO, "c": TWO}, f"'c' is not in {TWO}"),
        ({"a": TWO, "b": TWO}, f"'a' is not in {TWO}"),
        ({"a": ONE, "b": "gone.safetensors"}, "lists 'gone.safetensors', which folder"),
        ({}, 'expected {"weight_map": {tensor name: file name, …}}'),
        ([ONE], 'expected {"weight_map": {tensor name: file name, …}}'),
        ({"a": 1}, "1 is not the plain name of a file"),
    ],
)
def test_an_index_and_its_files_must_agree(tmp_path, weight_map, message):
    parts = {ONE: {"a": torch.ones(1)}, TWO: {"b": torch.ones(1)}}
    shard(tmp_path, parts, weight_map)
    if message is None:  # the second file is not listed, so it is not part of this
        assert set(weights_of(tmp_path).entries) == {"a"}
        return
    with pytest.raises(CheckpointError) as error:
        weights_of(tmp_path)
    assert message in str(error.value)
    assert "model.safetensors.index.json" in str(error.value)


def test_a_tensor_in_a_listed_file_that_is_not_listed_is_told(tmp_path):
    parts = {ONE: {"a": torch.ones(1), "b": torch.ones(1)}}
    with pytest.raises(CheckpointError, match=f"'b' in {ONE} is not listed"):
        weights_of(shard(tmp_path, parts, {"a": ONE}))


def test_a_tensor_in_two_shards_is_told(tmp_path):
    parts = {ONE: {"a": torch.ones(1)}, TWO: {"a": torch.ones(1), "b": torch.ones(1)}}
    with pytest.raises(CheckpointError, match=f"'a' in {TWO} is not listed"):
        weights_of(shard(tmp_path, parts, {"a": ONE, "b": TWO}))


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "..", ".", "", "a/b", r"a\b", "C:x", "a\nb", "~", "é"],
)
def test_a_shard_name_cannot_lead_out_of_the_checkpoint(tmp_path, name):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "secret")
    with pytest.raises(CheckpointError, match="is not the plain name of a file beside"):
        weights_of(shard(folder, {}, {"a": name}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"weight_map": "\xff"}', "is not valid JSON"),
        (b"[]", "holds a list, expected a JSON object"),
        (b"{}", "expected"),
        (b'{"weight_map": {"a": "x", "a": "y"}}', "names 'a' twice"),
    ],
)
def test_a_broken_index_is_told(tmp_path, text, message):
    (tmp_path / "model.safetensors.index.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=message) as error:
        weights_of(tmp_path)
    assert "model.safetensors.index.json" in str(error.value)


# What is not there


def test_a_checkpoint_without_weights_says_what_it_has(tmp_path):
    (tmp_path / "config.json").touch()
    with pytest.raises(CheckpointNotFoundError, match=r"has no model.safetensors. It"):
        weights_of(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_a_pickle_is_not_read_and_the_way_round_is_told(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError) as error:
        weights_of(tmp_path)
    assert "pytorch_model.bin only" in str(error.value)
    assert "can hold any program" in str(error.value)
    assert f"minidistil weights convert {tmp_path} FOLDER" in str(error.value)


# Hostile files


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_one_error_that_names_it(tmp_path, content):
    folder = folder_with(tmp_path, content)
    with pytest.raises(CheckpointError) as error:
        weights_of(folder)
    assert str(tmp_path / "model.safetensors") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_cut_short_says_how_long_it_is_and_what_to_do(tmp_path):
    folder = folder_with(tmp_path, file_bytes(OK, EIGHT[:-1]))
    size = (tmp_path / "model.safetensors").stat().st_size
    with pytest.raises(CheckpointError) as error:
        weights_of(folder)
    assert f"({size} bytes) is not a sound safetensors file" in str(error.value)
    assert "delete it and fetch it again" in str(error.value)


def test_a_git_lfs_pointer_is_recognised(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 8\n"
    with pytest.raises(CheckpointError, match="run `git lfs pull`"):
        weights_of(folder_with(tmp_path, pointer))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", DTYPES.values())
def test_a_weight_that_is_not_finite_is_told_by_name(tmp_path, number, dtype):
    tensor = torch.zeros(5, 7)
    tensor[3, 4] = number
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"ok": torch.ones(1), "bad": tensor.to(dtype)}, path)
    weights = weights_of(tmp_path)
    assert read(weights, "ok").tolist() == [1]
    with pytest.raises(CheckpointError) as error:
        read(weights, "bad")
    assert f"{path}: 'bad' holds NaN or infinite numbers" in str(error.value)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float64])
def test_a_weight_too_large_for_the_type_asked_for_is_told(tmp_path, stored):
    tensor = torch.tensor([1.0, 1e5]).to(stored)
    safetensors.torch.save_file({"w": tensor}, tmp_path / "model.safetensors")
    weights = weights_of(tmp_path)
    with pytest.raises(CheckpointError, match=r"too large for torch.float16; load it"):
        read(weights, "w", torch.float16)
    assert read(weights, "w").tolist() == tensor.tolist()


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.float8_e4m3fn])
def test_numbers_that_are_no_weights_are_told(tmp_path, dtype):
    tensor = torch.ones(2).to(dtype)
    safetensors.torch.save_file({"w": tensor}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"'w' is stored as .*, expected one of"):
        read(weights_of(tmp_path), "w")


def load_all(folder: Path) -> None:
    """Read a whole checkpoint; what is wrong may only be said by a CheckpointError."""
    try:
        weights = weights_of(folder)
        for name, entry in weights.entries.items():
            assert read(weights, name).shape == entry.shape
    except CheckpointError as error:
        assert str(folder) in str(error)  # noqa: PT017 (both ways out are right)


def test_random_damage_never_gets_past_the_checks(tmp_path):
    tensors = {f"layer.{i}.weight": torch.randn(i + 1, 3) for i in range(4)}
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    sound = path.read_bytes()
    header_end = 8 + int.from_bytes(sound[:8], "little")
    draw = random.Random(0)
    for _ in range(400):
        damaged = bytearray(sound)
        for _ in range(draw.randint(1, 3)):
            # Mostly the header, where damage is more than other numbers.
            place = draw.randrange(header_end if draw.random() < 0.8 else len(sound))
            damaged[place] = draw.choice([draw.randrange(256), *b'0179-[]{}",:e'])
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(damaged)) :]
        path.write_bytes(bytes(damaged))
        load_all(tmp_path)


whole = st.integers(-2, 20) | st.sampled_from([2**31, 2**63, 2**64])


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    header=st.dictionaries(
        st.sampled_from(["a", "b", "embeddings.position_ids", "__metadata__"]),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "F4", "BOOL"]),
                "shape": st.lists(whole, max_size=3),
                "data_offsets": st.lists(whole, min_size=2, max_size=2),
            }
        ),
    ),
    data=st.binary(max_size=32),
)
def test_headers_that_lie_never_get_past_the_checks(tmp_path_factory, header, data):
    folder = tmp_path_factory.mktemp("lie")
    load_all(folder_with(folder, file_bytes(header, data)))


# Writing


def test_what_is_saved_is_read_by_the_safetensors_library(tmp_path):
    tensors = {"a": torch.randn(3, 2), "b": torch.randn(4).half(), "c": torch.tensor(1)}
    save(tmp_path / "new" / "folder", tensors, '{"x": 1}\n')
    found = safetensors.torch.load_file(tmp_path / "new/folder/model.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
    assert (tmp_path / "new/folder/config.json").read_text() == '{"x": 1}\n'


def test_the_metadata_say_that_the_tensors_are_torchs(tmp_path):
    save(tmp_path, {"a": torch.ones(1)}, "{}")
    with safetensors.safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_tensors_that_share_memory_are_written_in_full(tmp_path):
    one = torch.randn(4, 4)
    tensors = {"a": one, "b": one, "row": one[1], "turned": one.T}
    save(tmp_path, tensors, "{}")
    found = safetensors.torch.load_file(tmp_path / "model.safetensors")
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)


def test_parameters_can_be_saved(tmp_path):
    save(tmp_path, {"a": torch.nn.Parameter(torch.ones(2))}, "{}")
    assert read(weights_of(tmp_path), "a").tolist() == [1, 1]


def test_weights_that_could_not_be_loaded_again_are_not_saved(tmp_path):
    save(tmp_path, {"a": torch.ones(2)}, "old")
    with pytest.raises(CheckpointError, match=r"not saved to .*'b' holds NaN or infin"):
        save(tmp_path, {"a": torch.ones(2), "b": torch.tensor([float("nan")])}, "new")
    assert (tmp_path / "config.json").read_text() == "old"
    assert set(weights_of(tmp_path).entries) == {"a"}


def test_a_save_that_fails_leaves_the_old_files(tmp_path, monkeypatch):
    save(tmp_path, {"a": torch.ones(2)}, "old")

    def full(path, *_):
        Path(path).write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(saving, "write_tensors", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, {"a": torch.zeros(2)}, "new")
    assert read(weights_of(tmp_path), "a").tolist() == [1, 1]
    assert (tmp_path / "config.json").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_save_that_is_killed_leaves_the_old_files(tmp_path):
    save(tmp_path, {"a": torch.ones(2)}, "old")
    program = f"""
        import os, pathlib, signal, torch
        from minidistil.checkpoint import saving

        def die(path, *_):
            pathlib.Path(path).write_bytes(b"half of it")
            os.kill(os.getpid(), signal.SIGKILL)

        saving.write_tensors = die
        saving.save(pathlib.Path({str(tmp_path)!r}), {{"a": torch.zeros(2)}}, "new")
    """
    program = textwrap.dedent(program)
    run = subprocess.run([sys.executable, "-c", program], timeout=120, check=False)
    assert run.returncode == -9
    assert read(weights_of(tmp_path), "a").tolist() == [1, 1]
    assert (tmp_path / "config.json").read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="Windows opens no folder")
def test_new_names_are_on_the_disk_when_saving_is_done(tmp_path, monkeypatch):
    real, done = os.fsync, []

    def fsync(number):
        if stat.S_ISDIR(os.fstat(number).st_mode):
            done.append(sorted(path.name for path in tmp_path.iterdir()))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    save(tmp_path, {"a": torch.ones(1)}, "{}")
    assert done == [["config.json", "model.safetensors"]]
