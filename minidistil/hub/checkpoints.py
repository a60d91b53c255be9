"""Where a checkpoint's files are: the bundled one, a folder, or a hub repository.

This file finds files and knows nothing of what is in them. Hub files come through
``huggingface_hub``, with its cache, its progress bars and its environment variables
(``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN``, …).
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from minidistil.files import is_file, is_folder, mode_of
from minidistil.hub.errors import (
    NOT_ALLOWED,
    CheckpointNotFoundError,
    refused_here,
    status,
    why_not_sent,
    why_offline,
    without_a_bar,
)
from minidistil.messages import first_line
from minidistil.progress import can_be_shown

BUNDLED = {"tiny": Path(__file__).parents[1] / "bundled" / "tiny-sst2"}

# Any of these in the cache shows which commit of a repository the cache holds.
_USUAL_FILES = ("config.json", "model.safetensors", "vocab.txt", "tokenizer.json")


class CheckpointFiles:
    """The files of a checkpoint that lies in a folder."""

    def __init__(self, folder: Path, description: str) -> None:
        self._folder = folder
        self._description = description
        self.name = str(folder)  # by which it can be opened

    @property
    def revision(self) -> str | None:
        """The commit of a hub repository that the files are of; None of a folder."""
        return None

    def __str__(self) -> str:
        return self._description

    def find(self, name: str) -> Path | None:
        """The path of the file called ``name``, or None if the checkpoint has none."""
        return self._get(name)

    def _get(self, name: str) -> Path | None:
        path = self._folder / name
        return path if is_file(path) else None

    def has(self, name: str) -> bool:
        """Whether the checkpoint has a file called ``name``; it is not fetched."""
        return self.find(name) is not None

    def at_hand(self, name: str) -> Path | None:
        """The path of a file that need not be fetched, or None."""
        return self._get(name)

    def first(self, *names: str) -> Path | None:
        """The first of ``names`` that is at hand; if none is, the first there is."""
        for get in (self.at_hand, self._get):
            for name in names:
                path = get(name)
                if path is not None:
                    return path
        return None

    def require(self, name: str) -> Path:
        """The path of the file called ``name``.

        Raises:
            CheckpointNotFoundError: if the checkpoint has no such file.
        """
        path = self._get(name)
        if path is None:
            raise CheckpointNotFoundError(f"{self} has no file {name!r}. {self.hint}")
        return path

    @property
    def hint(self) -> str:
        """What to do about a file that is not there."""
        names = sorted(entry.name for entry in self._folder.iterdir())
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        return (
            f"It holds: {shown or 'nothing'}. A checkpoint folder holds config.json, "
            "model.safetensors and vocab.txt or tokenizer.json; save_pretrained() "
            "writes one."
        )


class HubCheckpointFiles(CheckpointFiles):
    """The files of one commit of a hub repository, fetched as they are asked for.

    What is in the cache is used as it is, without asking the hub whether there is
    anything newer. The first file found sets the commit, and every later one is
    taken from the same commit, so that two versions never mix.

    Attributes:
        name: The repository, such as ``"distilbert/distilbert-base-uncased"``.
        offline: Why the network is not used; None if it is.
    """

    def __init__(
        self,
        repo: str,
        *,
        revision: str | None,
        token: str | bool | None,
        cache_dir: Path | None,
        local_files_only: bool,
    ) -> None:
        self.name = repo
        self._revision = revision
        self._token = token
        self._cache_dir = cache_dir
        self.offline = "local_files_only=True" if local_files_only else None
        self._commit: str | None = None
        self._description = f"hub repository {repo!r}" + (
            f" at revision {revision!r}" if revision is not None else ""
        )
        for name in _USUAL_FILES:
            if self.at_hand(name) is not None:  # which sets the commit
                break

    def find(self, name: str) -> Path | None:
        """The path of the file called ``name``, or None if the checkpoint has none.

        Without network (or with ``local_files_only``), a file that is not in the cache
        counts as one that the checkpoint does not have, as long as other files of the
        same commit are cached, and a warning says so.

        Raises:
            CheckpointNotFoundError: if the hub cannot be reached, refuses, or knows no
                such repository or revision.
        """
        found = self._get(name)
        if found is None and self.offline and not self._known_to_be_absent(name):
            warnings.warn(
                f"{name} of {self} is not in the cache and is taken not to exist. "
                f"{self.hint}",
                stacklevel=2,
            )
        return found

    def _get(self, name: str) -> Path | None:
        if self._known_to_be_absent(name):
            return None
        found = self.at_hand(name)
        if found is None and not self.offline:
            found = self._fetch(name)
        if found is None and self.offline and self._commit is None:
            is_folder(self._cache / f"models--{self.name.replace('/', '--')}" / "refs")
            raise CheckpointNotFoundError(f"{self} is not in the cache. {self.hint}")
        return found

    def has(self, name: str) -> bool:
        """Whether the checkpoint is known to have a file; it is not fetched."""
        import huggingface_hub

        if self.at_hand(name) is not None:
            return True
        if self.offline is not None:
            return False
        try:
            return huggingface_hub.file_exists(
                self.name, name, revision=self.revision, token=self._token
            )
        except Exception:
            # As in `_fetch`. Without a reply, nothing is known.
            return False

    @property
    def _cache(self) -> Path:
        from huggingface_hub import constants

        return self._cache_dir or Path(constants.HF_HUB_CACHE)

    def _look_up(self, name: str) -> object:
        import huggingface_hub

        return huggingface_hub.try_to_load_from_cache(
            self.name, name, cache_dir=self._cache_dir, revision=self.revision
        )

    def at_hand(self, name: str) -> Path | None:
        """The path of a file that is in the cache, or None."""
        found = self._look_up(name)
        return self._pin(found, name) if isinstance(found, str) else None

    def _known_to_be_absent(self, name: str) -> bool:
        from huggingface_hub import _CACHED_NO_EXIST

        return self._look_up(name) is _CACHED_NO_EXIST

    def _pin(self, found: str, name: str) -> Path:
        # The cache is laid out as …/snapshots/COMMIT/NAME, and NAME may be in a folder.
        path = Path(found)
        self._commit = path.parents[name.count("/")].name
        return path

    def _fetch(self, name: str) -> Path | None:
        """Ask the hub for a file; None if it has none or cannot be reached."""
        import huggingface_hub
        from huggingface_hub import errors

        try:
            found = huggingface_hub.hf_hub_download(
                self.name,
                name,
                revision=self.revision,
                token=self._token,
                cache_dir=self._cache_dir,
                **({} if can_be_shown() else without_a_bar()),
            )
        except errors.LocalEntryNotFoundError as error:
            if status(error.__cause__) in NOT_ALLOWED:
                raise self.refused(name, error.__cause__ or error) from error
            # The rest must come from the cache too: a connection that fails for one
            # file and works for the next would load half a checkpoint.
            self.offline = why_offline(error)
            return None
        except errors.EntryNotFoundError:
            return None
        except Exception as error:
            # huggingface_hub also lets its HTTP library's errors through (a proxy that
            # refuses, a lost connection), and which library that is has changed
            # between its versions.
            raise self.refused(name, error) from error
        return self._pin(found, name)

    def refused(self, name: str, error: BaseException) -> CheckpointNotFoundError:
        """The error for a file that could not be fetched, made from the hub's own.

        If it is the system that refuses (the cache cannot be written, the disk is
        full), the error has its number, as every `OSError` has.
        """
        what = f"{name} of {self}"
        here = refused_here(error, what, self._cache)
        if here is not None:
            return here
        reason = why_not_sent(error, self.name, self._revision, self._download_command)
        return CheckpointNotFoundError(f"cannot fetch {what}: {reason}")

    @property
    def revision(self) -> str | None:
        """The commit, once a file was found; until then what the caller asked for."""
        return self._commit or self._revision

    @property
    def address(self) -> dict[str, Any]:
        """The repository, the revision and the token, by the hub library's names."""
        return {"repo_id": self.name, "revision": self.revision, "token": self._token}

    @property
    def _download_command(self) -> str:
        command = f"hf download {self.name}"
        if self._revision is not None:
            command += f" --revision {self._revision}"
        if self._cache_dir is not None:
            command += f" --cache-dir {self._cache_dir}"
        return command

    @property
    def hint(self) -> str:
        """What to do about a file that is not there."""
        if self.offline is not None:
            return (
                f"Only the cache could be searched ({self.offline}). Where there is a "
                f"connection, run: {self._download_command}"
            )
        revision = self._revision or "main"
        return f"See https://huggingface.co/{self.name}/tree/{revision} for its files."


def open_checkpoint(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> CheckpointFiles:
    """Find a checkpoint; no file is opened or fetched until it is asked for.

    The arguments are those of every ``from_pretrained``. A folder goes before a hub
    repository of the same name.

    Raises:
        CheckpointNotFoundError: if ``source`` leads to nothing or to a file, or can be
            neither a folder nor a repository.
        TypeError: if ``source`` is neither a string nor a path.
        ValueError: if ``source`` can be read in two ways, or a folder is given a
            revision.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"a checkpoint is named by a string or a path, got {type(source).__name__}"
        )
    folder = _open_folder(source)
    if folder is not None:
        if revision not in (None, "main"):  # which programs pass for any source
            raise ValueError(
                f"revision={revision!r} was given for {folder}; only hub repositories "
                "have revisions, so leave it out"
            )
        return folder
    from huggingface_hub.errors import HFValidationError

    name = os.fspath(source)
    try:
        return HubCheckpointFiles(
            name,
            revision=revision,
            token=token,
            cache_dir=None if cache_dir is None else Path(cache_dir).expanduser(),
            local_files_only=local_files_only,
        )
    except HFValidationError as error:
        raise CheckpointNotFoundError(
            f"{name!r} is not a folder here, nor can it be a hub repository "
            f"({first_line(error)}). Name a folder, a repository (such as "
            "'distilbert/distilbert-base-uncased') or 'tiny', the bundled checkpoint."
        ) from error


def _open_folder(source: str | os.PathLike[str]) -> CheckpointFiles | None:
    """The folder that a name stands for, or None if it may be a repository's name."""
    if source == "":  # which Path takes for the current folder
        return None
    path = Path(source).expanduser()
    if isinstance(source, str) and source in BUNDLED:
        if is_file(path / "config.json"):
            raise ValueError(
                f"{source!r} is the bundled checkpoint and also a checkpoint folder "
                f"here. Write './{source}' for the folder, or rename the folder to "
                "reach the bundled one."
            )
        return CheckpointFiles(BUNDLED[source], f"the bundled checkpoint {source!r}")
    if is_folder(path):
        return CheckpointFiles(path, f"folder '{path}'")
    if isinstance(source, str) and source.lower() in BUNDLED:
        raise CheckpointNotFoundError(
            f"no checkpoint {source!r}; did you mean {source.lower()!r}?"
        )
    if mode_of(path):
        raise CheckpointNotFoundError(
            f"'{path}' is a file; a checkpoint is named by the folder that holds its "
            f"config.json and model.safetensors, so pass '{path.parent}'"
        )
    if not isinstance(source, str) or _looks_like_a_path(source):
        raise CheckpointNotFoundError(
            f"no folder {os.fspath(source)!r}. Check the path, or name a hub "
            "repository (such as 'distilbert/distilbert-base-uncased') or 'tiny', the "
            "bundled checkpoint."
        )
    return None


def _looks_like_a_path(source: str) -> bool:
    """Whether a name that is no existing folder was still meant as one."""
    return (
        source.startswith((".", "/", "~"))
        or source.endswith("/")
        or "\\" in source
        or source.count("/") > 1
        or (os.name == "nt" and Path(source).is_absolute())
    )
