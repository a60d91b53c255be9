"""A tokenizer that is saved and killed meanwhile: the old, the new, or none at all."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import DistilBertTokenizer as Reference

from minidistil.tokenizer import DistilBertTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXT = "A <n> b Ab <m> é"


def make(words: str, **settings: Any) -> DistilBertTokenizer:
    vocab = {word: id for id, word in enumerate([*SPECIALS, *words.split()])}
    return DistilBertTokenizer(vocab, **settings)


NEW = {
    "words": "b a A ##b e é < n > m",
    "do_lower_case": False,
    "extra_special_tokens": ["<n>"],
}


def saved_by_us(folder: Path) -> None:
    make("a b ##b e < n > m", extra_special_tokens=["<m>"]).save_pretrained(folder)


def saved_by_transformers(folder: Path) -> None:
    words = [*SPECIALS, *["a", "b", "##b", "e", "<", "n", ">", "m"]]
    theirs = Reference({word: id for id, word in enumerate(words)})
    theirs.add_special_tokens({"additional_special_tokens": ["<m>"]})
    theirs.save_pretrained(folder)


def saved_by_version_4(folder: Path) -> None:
    folder.mkdir()
    words = [*SPECIALS, *["a", "b", "##b", "e", "<", "n", ">", "m"]]
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    (folder / "special_tokens_map.json").write_text(
        '{"additional_special_tokens": ["<m>"]}'
    )


def save_and_die(folder: Path, number: int) -> bool:
    """Save in a child that is killed before its n-th change of a name; was it?"""
    child = os.fork()
    if child == 0:
        changes = []

        def watch(event: str, _: Any) -> None:
            if event in ("os.rename", "os.remove"):
                changes.append(event)
                if len(changes) == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            new = make(**NEW)
            sys.addaudithook(watch)
            new.save_pretrained(folder)
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def read(reader: Any, folder: Path) -> list[int] | None:
    """The ids of a text; None if there is nothing that can be loaded."""
    if not {"vocab.txt", "tokenizer.json"} & {path.name for path in folder.iterdir()}:
        # transformers then makes one of five special tokens.
        if reader is DistilBertTokenizer:
            with pytest.raises(FileNotFoundError):
                reader.from_pretrained(folder)
        return None
    return list(reader.from_pretrained(folder)(TEXT)["input_ids"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the child is forked")
@pytest.mark.parametrize(
    "save_old", [saved_by_us, saved_by_transformers, saved_by_version_4]
)
def test_a_killed_save_leaves_the_old_the_new_or_nothing_that_loads(
    tmp_path: Path, save_old: Any
) -> None:
    seen = set()
    for number in range(1, 20):
        folder = tmp_path / str(number)
        save_old(folder)
        (folder / "config.json").write_text('{"model_type": "distilbert"}')
        old = {kind: read(kind, folder) for kind in (DistilBertTokenizer, Reference)}
        expected = {kind: make(**NEW)(TEXT).input_ids for kind in old}
        killed = save_and_die(folder, number)
        for kind in old:
            found = read(kind, folder)
            assert found in (old[kind], expected[kind], None), (kind, number)
            names = {str(old[kind]): "old", str(expected[kind]): "new"}
            seen.add(names.get(str(found), "none"))
        if not killed:
            assert found == expected[Reference]
            break
    assert not killed
    assert seen == {"old", "new", "none"}


def test_a_tokenizer_is_saved_beside_a_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}')
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    make(**NEW).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == b"weights"
    assert {path.name for path in tmp_path.iterdir()} == {
        *("config.json", "model.safetensors"),
        *("vocab.txt", "tokenizer.json", "tokenizer_config.json"),
    }


def test_a_disk_that_is_full_leaves_the_old_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "there"
    saved_by_us(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write, written = Path.write_bytes, []

    def fail(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        make(**NEW).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
