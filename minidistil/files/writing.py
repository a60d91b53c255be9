"""Write files: whole or not at all, and as the old ones were. The one place for it."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minidistil.files.reading import errno_of, refusal
from minidistil.messages import MinidistilError


@contextmanager
def replacing_all(
    *paths: Path,
    remove_first: Path | Sequence[Path] | None = None,
    inside: Path | None = None,
) -> Iterator[tuple[Path, ...]]:
    """Give a path beside each of ``paths`` to write to; on success they are renamed.

    All new files are on the disk (``fsync``) before the first gets its name; names are
    given in order. If the block raises, if a file cannot be renamed, or if the process
    is killed before that, the old files are still at ``paths``.

    A file keeps its mode, its group and (where the system allows it) its owner. What a
    link leads to is written, and the link stays. Another name of the same file (a hard
    link) keeps the old contents. What is no file (a pipe, a terminal, ``/dev/stdout``)
    gets the contents when they are complete; who reads there may still get a part.

    Args:
        paths: What is to be written; folders are made if need be.
        remove_first: Out of the way before the first rename: a file without which
            nobody reads the others, or all of which one must be there for that. If the
            process is killed between two renames, new files are then not read together
            with old ones.
        inside: A folder of the same file system for what is being written, in place
            of the folder of each path: where the caller finds what a killed process
            left behind.

    Raises:
        OSError: if the system refuses; it names one of ``paths``.
    """
    written: list[_Written] = []
    try:
        with _naming(written):
            for path in paths:
                written.append(_Written(path, inside))
                written[-1].begin()
            yield tuple(each.temporary for each in written)
            for each in written:
                each.finish()
            for each in written:
                each.pour_into_stream()
            first = [remove_first] if isinstance(remove_first, Path) else remove_first
            _rename([each for each in written if not each.stream], first or ())
    finally:
        for each in written:
            with suppress(OSError):
                each.temporary.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, *, inside: Path | None = None) -> Iterator[Path]:
    """Write one file as `replacing_all` does: give a path to write to."""
    with replacing_all(path, inside=inside) as (temporary,):
        yield temporary


def write_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` as `replacing_all` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


class _Written:
    """A file that is being written: under a temporary name, and then in its place."""

    def __init__(self, path: Path, inside: Path | None = None) -> None:
        self.path = path
        self._descriptor = _descriptor(path)
        self._old = _status(path)  # of what a link leads to
        kind = stat.S_IFREG if self._old is None else stat.S_IFMT(self._old.st_mode)
        if kind == stat.S_IFDIR:
            raise refusal(errno.EISDIR, path)
        if self._descriptor is not None and self._old is None:
            raise refusal(errno.EBADF, path)  # closed
        self.stream = kind != stat.S_IFREG or self._descriptor is not None
        self.target = Path(os.path.realpath(path)) if path.is_symlink() else path
        beside = _spare_folder() if self.stream else self.target.parent
        self.temporary = _beside((inside or beside) / path.name)

    def begin(self) -> None:
        """Make the file with the temporary name."""
        if not self.stream:
            # A link to a folder that is not there is no folder yet.
            folder = Path(os.path.realpath(self.target.parent))
            folder.mkdir(parents=True, exist_ok=True)
        # Nobody reads it who may not read the old one.
        private = self.stream or self._old is not None
        self.temporary.touch(0o600 if private else 0o666, exist_ok=False)
        self._mode = self.temporary.stat().st_mode  # of a new file, as the umask has it

    def finish(self) -> None:
        """Give the new file the mode of the old one, and bring it to the disk."""
        if self.stream:
            return
        with self.temporary.open("rb+") as file:  # Windows syncs no other
            self._keep_mode()
            _sync(file)

    def _keep_mode(self) -> None:
        """Keep the mode, the group and the owner; where the system refuses, do without.

        Some libraries put a file of their own in the temporary's place, mode 600.
        """
        mode = stat.S_IMODE(self._mode if self._old is None else self._old.st_mode)
        if self._old is not None and not _give(self.temporary, self._old):
            # What one group may do is not for another one to do.
            mode &= ~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3
        with suppress(OSError):
            self.temporary.chmod(mode)

    def pour_into_stream(self) -> None:
        """Copy what was written to what is no file."""
        if not self.stream:
            return
        import shutil  # not above: `minidistil --help` does without

        number = self._descriptor
        with (
            self.temporary.open("rb") as source,
            self.path.open("wb")
            if number is None
            else os.fdopen(os.dup(number), "wb") as target,
        ):
            shutil.copyfileobj(source, target)


def _spare_folder() -> Path:
    import tempfile  # not above: it takes 10 ms

    return Path(tempfile.gettempdir())


def _rename(written: Sequence[_Written], remove_first: Sequence[Path]) -> None:
    """Rename all, or none: if one cannot be renamed, the old files are put back."""
    together = bool(remove_first)
    kept: list[tuple[Path, Path | None]] = []  # what was there: where it is, and now is

    def keep(path: Path) -> None:
        other = _beside(path)
        try:
            # Nobody reads a part of what is read together; one file is always there.
            (path.rename if together else lambda to: os.link(path, to))(other)
        except FileNotFoundError:
            kept.append((path, None))
        except OSError:
            if together:
                raise  # some systems have no links, but all can rename
        else:
            kept.append((path, other))

    try:
        moved = {Path(os.path.realpath(path)) for path in remove_first}
        for path in moved:
            keep(path)
            sync_folder(path.parent)
        for each in written:
            if each.target not in moved and (together or each is not written[-1]):
                keep(each.target)
            each.temporary.replace(each.target)
    except BaseException:
        for path, other in reversed(kept):
            with suppress(OSError):
                if other is None:
                    path.unlink()
                else:
                    other.replace(path)
                    other.unlink(missing_ok=True)  # still there if both are one file
        raise
    for _, other in kept:
        if other is not None:
            with suppress(OSError):  # all is in its place already
                other.unlink(missing_ok=True)
    for folder in {each.target.parent for each in written}:
        sync_folder(folder)


@contextmanager
def _naming(written: Sequence[_Written]) -> Iterator[None]:
    """Name in a refusal what was to be written, not the temporary file."""
    try:
        yield
    except MinidistilError:
        raise
    except Exception as error:
        number = errno_of(error)
        name = getattr(error, "filename", None)
        ours = {str(each.temporary): each.path for each in written}
        if number is None or not (name is None or str(name) in ours):
            raise
        # Which of several files it was, not every error says.
        some = written[0].path if len(written) == 1 else written[0].path.parent
        raise refusal(number, ours.get(str(name), some)) from error


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _give(path: Path, old: os.stat_result) -> bool:
    """Give a new file the old one's group, and its owner where the system allows it."""
    new, owner = path.stat(), (old.st_uid, old.st_gid)
    if (new.st_uid, new.st_gid) == owner:
        return True
    for ids in (owner, (-1, old.st_gid)):
        with suppress(OSError):
            os.chown(path, *ids)
            return True
    return False


def _descriptor(path: Path) -> int | None:
    """The open file that a path such as /dev/stdout stands for, through links too."""
    for _ in range(40):
        place = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", str(path))
        if place:
            return int(place[1])
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None  # a loop


def _sync(file: BinaryIO) -> None:
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise  # it is not on the disk


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def is_temporary(path: Path) -> bool:
    """Whether a name is one that new files have until they are whole."""
    return re.fullmatch(r"\..*\.[0-9a-f]{16}", path.name) is not None


def _beside(path: Path) -> Path:
    # In the same folder: a rename is atomic only within one file system.
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")
