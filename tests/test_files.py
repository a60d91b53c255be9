"""Files are written whole or not at all, where they lie and as they were."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from minidistil.files import (
    errno_of,
    is_file,
    read_bytes,
    reading_from,
    replacing,
    replacing_all,
    write_file,
)
from minidistil.pipelines import save_features, save_vectors

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of this")
MODES = [0o600, 0o660, 0o644, 0o640, 0o755, 0o444]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refusing(name, number, monkeypatch, *, when=lambda *_: True):
    """Let the system refuse a call, as some file systems do."""
    real = getattr(os, name)

    def refuse(*arguments, **options):
        if when(*arguments):
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, refuse)


def is_folder_number(number):
    return stat.S_ISDIR(os.fstat(number).st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What was there


@posix
@pytest.mark.parametrize("mode", MODES, ids=oct)
def test_a_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode_of(path) == mode


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o027])
def test_a_new_file_has_the_mode_that_the_system_gives(tmp_path, mask):
    before = os.umask(mask)
    try:
        (tmp_path / "theirs").write_bytes(b"")
        write_file(tmp_path / "ours", b"")
        save_vectors(torch.ones(1, 2), tmp_path / "ours.safetensors")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "ours") == mode_of(tmp_path / "theirs")
    assert mode_of(tmp_path / "ours.safetensors") == mode_of(tmp_path / "theirs")


@posix
def test_what_a_library_writes_to_a_file_of_its_own_keeps_the_mode_too(tmp_path):
    path = tmp_path / "file.safetensors"
    path.write_bytes(b"old")
    path.chmod(0o660)
    save_features([torch.ones(1, 2)], path)
    assert mode_of(path) == 0o660


@posix
def test_a_file_keeps_its_group(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    groups = [4321] if os.geteuid() == 0 else [*os.getgroups(), os.getegid()]
    os.chown(path, -1, groups[0])
    path.chmod(0o660)
    write_file(path, b"new")
    assert path.stat().st_gid == groups[0]
    assert mode_of(path) == 0o660


@posix
def test_a_group_that_cannot_be_kept_gives_its_rights_to_no_other(
    tmp_path, monkeypatch
):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o664)
    of_another = SimpleNamespace(st_mode=path.stat().st_mode, st_uid=12, st_gid=34)
    real = Path.stat
    monkeypatch.setattr(
        Path,
        "stat",
        lambda self, **how: of_another if self == path else real(self, **how),
    )
    refusing("chown", errno.EPERM, monkeypatch)
    write_file(path, b"new")
    monkeypatch.undo()
    assert mode_of(path) == 0o644


@posix
def test_nobody_reads_a_file_before_it_has_the_mode_of_the_old_one(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with replacing(path) as temporary:
        assert mode_of(temporary) == 0o600
        assert temporary.parent == tmp_path  # a setgid folder gives it its group


@posix
@pytest.mark.parametrize("link", [True, False], ids=["link", "file"])
def test_what_is_being_written_may_lie_in_another_folder(tmp_path, link):
    path, inside = tmp_path / "file", tmp_path / "inside"
    path.write_bytes(b"old")
    path.chmod(0o640)
    inside.mkdir()
    named = tmp_path / "link" if link else path
    if link:
        named.symlink_to("file")
    with replacing(named, inside=inside) as temporary:
        assert temporary.parent == inside
        temporary.write_bytes(b"new")
        assert names(tmp_path) == sorted({"file", "inside", named.name})
    assert (path.read_bytes(), mode_of(path)) == (b"new", 0o640)
    assert named.is_symlink() == link
    assert names(inside) == []


@posix
def test_another_name_of_the_file_keeps_the_old_contents(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"old")
    other.hardlink_to(path)
    write_file(path, b"new")
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"old")


# Links and pipes


@posix
@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
def test_what_a_link_leads_to_is_written(tmp_path, there, relative):
    target = tmp_path / "elsewhere" / "file"
    link, second = tmp_path / "link", tmp_path / "second"
    if there:
        target.parent.mkdir()
        target.write_bytes(b"old")
    link.symlink_to("elsewhere/file" if relative else target)
    second.symlink_to("link")
    write_file(second, b"new")
    assert second.is_symlink()
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(target.parent) == ["file"]
    assert names(tmp_path) == ["elsewhere", "link", "second"]


@posix
def test_a_folder_may_be_a_link_to_one_that_is_not_there_yet(tmp_path):
    (tmp_path / "link").symlink_to("folder")
    write_file(tmp_path / "link" / "file", b"new")
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"


@posix
def test_links_in_a_circle_are_an_error_that_names_them(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links") as error:
        write_file(tmp_path / "a", b"new")
    assert error.value.filename == str(tmp_path / "a")
    assert not is_file(tmp_path / "a")


@pytest.fixture
def pipe(tmp_path):
    """A pipe with a name, and what was read from it."""
    path = tmp_path / "pipe.safetensors"
    os.mkfifo(path)
    found = []
    reader = Thread(target=lambda: found.append(path.read_bytes()), daemon=True)
    reader.start()
    yield path, lambda: reader.join(60) or found
    with suppress(OSError):  # of a test that failed
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


@posix
def test_a_pipe_gets_all_and_stays_a_pipe(pipe, tmp_path):
    path, found = pipe
    content = os.urandom(300_000)  # more than a pipe holds at once
    write_file(path, content)
    assert found() == [content]
    assert path.is_fifo()
    assert names(tmp_path) == [path.name]


@posix
def test_a_pipe_gets_what_a_library_can_only_write_to_a_file(pipe, tmp_path):
    path, found = pipe
    vectors = torch.rand(3, 4)
    save_vectors(vectors, path)
    save_vectors(vectors, tmp_path / "file.safetensors")
    assert found() == [(tmp_path / "file.safetensors").read_bytes()]


@posix
def test_a_pipe_gets_nothing_when_the_work_fails(pipe):
    path, found = pipe

    def fail():
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    path.open("wb").close()
    assert found() == [b""]


@posix
@pytest.mark.parametrize("name", ["/dev/fd/{}", "link"])
def test_an_open_file_is_written_where_it_is(tmp_path, name):
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        file.write(b"before ")
        path = Path(f"/dev/fd/{file.fileno()}")
        if name == "link":
            (tmp_path / "link").symlink_to(path)
            path = tmp_path / "link"
        write_file(path, b"new ")
        file.write(b"after")
    assert (tmp_path / "file").read_bytes() == b"before new after"
    assert set(names(tmp_path)) <= {"file", "link"}


@posix
def test_a_device_stays_a_device(tmp_path):
    # A terminal of the test's own: a writer with a fault must not replace the system's.
    ours, theirs = os.openpty()
    device = Path(os.ttyname(theirs))
    (tmp_path / "link").symlink_to(device)
    try:
        for path in (device, tmp_path / "link"):
            write_file(path, b"new")
            assert os.read(ours, 100) == b"new"
        assert stat.S_ISCHR(device.stat().st_mode)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (tmp_path / "link").is_symlink()


def test_a_folder_is_not_replaced_and_nothing_is_computed_for_it(tmp_path):
    (tmp_path / "folder").mkdir()
    computed = []
    with pytest.raises(IsADirectoryError) as error, replacing(tmp_path / "folder"):
        computed.append(1)
    assert computed == []
    assert error.value.filename == str(tmp_path / "folder")
    assert names(tmp_path) == ["folder"]


def test_a_name_as_long_as_the_system_allows_is_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".npy")
    try:
        path.write_bytes(b"old")
    except OSError:  # of a folder whose own name is long, on some systems
        path = tmp_path / "x.npy"
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


# File systems that can do less


@posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_without_modes_files_are_written(tmp_path, monkeypatch, number):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    for name in ("chmod", "chown"):
        refusing(name, number, monkeypatch)
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


FOLDER = [errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES]


@posix
@pytest.mark.parametrize("number", FOLDER)
def test_where_a_folder_cannot_be_synced_files_are_written(
    tmp_path, monkeypatch, number
):
    first, path = tmp_path / "first", tmp_path / "file"
    first.write_bytes(b"old")
    refusing("fsync", number, monkeypatch, when=is_folder_number)
    with replacing_all(path, first, remove_first=first) as temporaries:
        for temporary in temporaries:
            temporary.write_bytes(b"new")
    assert path.read_bytes() == first.read_bytes() == b"new"


@posix
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_where_nothing_can_be_synced_files_are_written(tmp_path, monkeypatch, number):
    refusing("fsync", number, monkeypatch)
    write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_what_is_not_on_the_disk_is_an_error_and_the_old_file_stays(
    tmp_path, monkeypatch, number
):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    refusing("fsync", number, monkeypatch)
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        write_file(path, b"new")
    assert (error.value.errno, error.value.filename) == (number, str(path))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_windows_syncs_only_a_file_that_is_open_for_writing(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(number):
        if is_folder_number(number):
            raise PermissionError(errno.EACCES, "a folder")
        os.write(number, b"")  # which a file that is open for reading refuses
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


# All or none


def write_three(folder: Path, content: bytes, *, together: bool) -> None:
    first = folder / "config" if together else None
    paths = [folder / name for name in ("words", "weights", "config")]
    with replacing_all(*paths, remove_first=first) as temporaries:
        for temporary in temporaries:
            temporary.write_bytes(content)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("new", [True, False], ids=["new", "old"])
@pytest.mark.parametrize("name", ["words", "weights", "config"])
def test_if_one_cannot_be_renamed_all_are_as_they_were(
    tmp_path, monkeypatch, together, new, name
):
    if not new:
        write_three(tmp_path, b"old", together=together)
    real = Path.replace

    def replace(self, target):
        if Path(target).name == name and self.read_bytes() == b"new":
            raise PermissionError(errno.EACCES, "another program has it open", target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(PermissionError):
        write_three(tmp_path, b"new", together=together)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    expected = [] if new else ["config", "weights", "words"]
    assert found == dict.fromkeys(expected, b"old")


@pytest.mark.parametrize("together", [True, False])
def test_where_there_are_no_hard_links_several_files_are_written(
    tmp_path, monkeypatch, together
):
    refusing("link", errno.EPERM, monkeypatch)
    for content in (b"old", b"new"):
        write_three(tmp_path, content, together=together)
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"new"}
    assert names(tmp_path) == ["config", "weights", "words"]


def test_when_all_is_in_its_place_an_old_file_may_stay(tmp_path, monkeypatch):
    write_three(tmp_path, b"old", together=True)
    refusing("unlink", errno.EIO, monkeypatch)
    write_three(tmp_path, b"new", together=True)
    three = ("config", "weights", "words")
    assert {(tmp_path / name).read_bytes() for name in three} == {b"new"}


def test_what_was_written_together_leaves_nothing_else(tmp_path):
    for content in (b"old", b"new"):
        for together in (True, False):
            write_three(tmp_path, content, together=together)
    assert names(tmp_path) == ["config", "weights", "words"]


# What the system refuses


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.EIO, "x"), errno.EIO),
        (MemoryError(), errno.ENOMEM),
        # As safetensors and torch say it.
        (OSError("No such device (os error 19)"), 19),
        (SafetensorError("Error while serializing: No space (os error 28)"), 28),
        (RuntimeError("unable to mmap 8 bytes from file <x>: Cannot (12)"), 12),
        (RuntimeError("unable to open file <x> in read-only mode: Too many (24)"), 24),
        (OSError("x"), None),
        (RuntimeError("size mismatch (4)"), None),
        (SafetensorError("invalid header: '(os error 5)' at line 1"), None),
    ],
    ids=str,
)
def test_the_number_of_a_refusal_is_found_wherever_it_is_hidden(error, number):
    assert errno_of(error) == number


def test_the_number_in_what_torch_says_without_memory_is_found():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60, dtype=torch.uint8)
    assert errno_of(error.value) == errno.ENOMEM


def test_a_refusal_is_of_the_class_that_python_has_for_it(tmp_path):
    with (
        pytest.raises(PermissionError, match="rights") as error,
        reading_from(tmp_path),
    ):
        raise OSError("Permission denied (os error 13)")
    assert error.value.filename == str(tmp_path)


def test_an_error_while_reading_names_the_file(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))  # as read() says it: no name

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="check the disk") as error:
        read_bytes(tmp_path / "config.json")
    assert error.value.filename == str(tmp_path / "config.json")


def test_a_file_that_may_not_be_asked_for_is_not_missing(tmp_path, monkeypatch):
    real = Path.stat

    def refuse(self, **how):
        if self.name == "file":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self, **how)

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(PermissionError):
        is_file(tmp_path / "file")
    assert not is_file(tmp_path / "other")
