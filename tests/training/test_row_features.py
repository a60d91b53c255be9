"""Features: rows end to end, padded when they are read, in memory and in files."""

from __future__ import annotations

import subprocess
import sys
from array import array

import pytest
import torch
from safetensors.torch import load_file

from minidistil.training.features import (
    Features,
    FeaturesError,
    is_token,
    making,
    padded,
)

ROWS = [[5, 7, 8], [9], [4, 4, 4, 4], [6, 2]]


def some(path=None, rows=ROWS):
    with making(path) as made:
        made.add(array("i", row) for row in rows[:1])
        made.add(array("i", row) for row in rows[1:])
        made.targets["labels"] = torch.arange(len(rows), dtype=torch.int32)
        made.targets["flags"] = torch.ones(len(rows), 2)
        made.about["key"] = "made of rows"
    return made.features()


@pytest.fixture(params=["memory", "file"])
def features(request, tmp_path):
    return some(tmp_path / "f.safetensors" if request.param == "file" else None)


def test_rows_stand_end_to_end(features):
    assert len(features) == 4
    assert features.ids.tolist() == [5, 7, 8, 9, 4, 4, 4, 4, 6, 2]
    assert features.ids.dtype == torch.int32
    assert features.starts.tolist() == [0, 3, 4, 8, 10]
    assert features.lengths.tolist() == [3, 1, 4, 2]


def test_rows_are_found_in_any_order_and_more_than_once(features):
    places, lengths = features.places(torch.tensor([2, 0, 2]))
    assert features.ids[places].tolist() == ROWS[2] + ROWS[0] + ROWS[2]
    assert lengths.tolist() == [4, 3, 4]


def test_rows_are_padded_on_the_right(features):
    places, lengths = features.places(torch.tensor([1, 0]))
    assert padded(features.ids[places], lengths, 0).tolist() == [[9, 0, 0], [5, 7, 8]]
    assert padded(features.ids[places], lengths, -1, 4).tolist() == [
        [9, -1, -1, -1],
        [5, 7, 8, -1],
    ]
    assert is_token(lengths).tolist() == [[True, False, False], [True] * 3]


def test_a_file_gives_back_all_that_was_saved(tmp_path, features):
    path = tmp_path / "saved.safetensors"
    features.save(path)
    found = Features.load(path)
    assert torch.equal(found.ids, features.ids)
    assert torch.equal(found.starts, features.starts)
    assert found.targets.keys() == features.targets.keys()
    for name in found.targets:
        assert torch.equal(found.targets[name], features.targets[name])
    assert found.about == {"key": "made of rows"}
    # It is a file of safetensors like any other.
    assert torch.equal(load_file(path)["ids"], features.ids)


def test_the_digest_is_the_same_in_memory_and_in_a_file(tmp_path):
    path = tmp_path / "f.safetensors"
    assert some().digest() == some(path).digest() == Features.load(path).digest()


@pytest.mark.parametrize("what", ["ids", "lengths", "labels", "a target's name"])
def test_whatever_changes_the_digest_changes(what):
    before = some()
    ids, lengths, targets = before.ids.clone(), before.lengths, dict(before.targets)
    if what == "ids":
        ids[3] += 1
    elif what == "lengths":
        lengths = lengths.flip(0)
    elif what == "labels":
        targets["labels"] = targets["labels"].flip(0)
    else:
        targets["tags"] = targets.pop("labels")
    assert Features(ids, lengths.int(), targets).digest() != before.digest()


def test_a_file_that_is_not_finished_is_none(tmp_path):
    path = tmp_path / "f.safetensors"

    def broken():
        yield array("i", [1, 2])
        raise RuntimeError

    with pytest.raises(RuntimeError), making(path) as made:
        made.add(broken())
    assert [*tmp_path.iterdir()] == []


def test_what_holds_no_features_says_so(tmp_path):
    path = tmp_path / "f.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(FeaturesError, match="holds no features"):
        Features.load(path)


MAPPED = """
import resource, sys
import torch
from pathlib import Path
from minidistil.training.features import Features

def used():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

torch.ones(10) @ torch.ones(10)
before = used()
features = Features.load(Path(sys.argv[1]))
places, lengths = features.places(torch.tensor([len(features) // 2]))
features.ids[places].sum()
print(used() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what is in memory")
def test_a_file_is_mapped_and_not_in_memory(tmp_path):
    path, megabytes = tmp_path / "f.safetensors", 64
    with making(path) as made:
        for _ in range(megabytes):
            made.add([array("i", bytes(2**20))])
    command = [sys.executable, "-c", MAPPED, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert path.stat().st_size > megabytes * 2**20
    assert int(run.stdout) < megabytes * 2**20 / 4
