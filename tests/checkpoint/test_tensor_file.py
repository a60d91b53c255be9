"""Files of tensors: byte for byte as safetensors writes them."""

from __future__ import annotations

import gc
import os
import signal

import pytest
import safetensors.torch
import torch

from minidistil.checkpoint import tensor_file
from minidistil.checkpoint.tensor_file import NAMES, bytes_of, write_tensors


def of_every_type():
    bits = torch.arange(48, dtype=torch.uint8)
    found = {
        f"{place} of {str(dtype)[6:]}": bits.view(dtype)
        for place, dtype in enumerate(NAMES)
        if dtype != torch.bool
    }
    return found | {"true": bits > 20}


ODD = {
    "layer.weight": torch.arange(6.0).view(2, 3),
    "turned": torch.arange(6.0).view(2, 3).t(),
    "none": torch.zeros(0, 4, dtype=torch.int64),
    "one": torch.tensor(1.5),
    'é "\\\n\x01/': torch.ones(2, dtype=torch.float16),
    "trained": torch.nn.Parameter(torch.ones(3)),
}


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"a": 'é"\n'}])
@pytest.mark.parametrize("tensors", [{}, ODD, of_every_type()])
def test_a_file_is_what_safetensors_writes(tmp_path, tensors, metadata):
    write_tensors(tmp_path / "a", tensors, metadata)
    whole = {name: each.detach().contiguous().clone() for name, each in tensors.items()}
    expected = safetensors.torch.save(whole, metadata or None)
    assert (tmp_path / "a").read_bytes() == expected


def test_tensors_that_share_memory_are_each_written(tmp_path):
    whole = torch.arange(4.0)
    write_tensors(tmp_path / "a", {"whole": whole, "half": whole[2:]}, {})
    found = safetensors.torch.load_file(tmp_path / "a")
    assert found["half"].tolist() == [2, 3]
    assert found["whole"].tolist() == [0, 1, 2, 3]


def test_the_bytes_outlive_their_tensor():
    found = bytes_of(torch.arange(100_000))
    gc.collect()
    others = [torch.zeros(100_000, dtype=torch.int64) for _ in range(3)]
    assert found[8:16].tobytes() == (1).to_bytes(8, "little")
    assert len(others) == 3


def test_what_is_only_marked_as_negative_is_written_as_it_is():
    marked = torch.complex(torch.ones(2), torch.ones(2)).conj().imag
    assert marked.is_neg()
    expected = bytes_of(torch.tensor([-1.0, -1.0])).tobytes()
    assert bytes_of(marked).tobytes() == expected


def test_other_numbers_are_refused_by_name(tmp_path):
    with pytest.raises(TypeError, match=r"'odd' is torch\.complex128, expected one of"):
        write_tensors(tmp_path / "a", {"odd": torch.zeros(1, dtype=torch.cdouble)}, {})
    assert not (tmp_path / "a").exists()


def test_a_tensor_without_numbers_is_refused():
    with pytest.raises(ValueError, match="on meta, which has no numbers"):
        bytes_of(torch.empty(3, device="meta"))


def test_who_is_killed_in_a_write_leaves_no_other_file(tmp_path):
    child = os.fork()
    if child == 0:
        last, real = torch.ones(1), tensor_file.bytes_of

        def bytes_or_death(tensor):
            if tensor is last:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(tensor)

        tensor_file.bytes_of = bytes_or_death
        write_tensors(tmp_path / "a", {"a": torch.ones(9), "b": last}, {})
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
