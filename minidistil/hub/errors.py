"""Why a file could not be fetched: the hub, the connection, or the disk here."""

from __future__ import annotations

import errno
import inspect
import os
from pathlib import Path
from typing import Any

from minidistil.files import errno_of
from minidistil.messages import MinidistilError, first_line

NOT_ALLOWED = (401, 403)  # HTTP: unauthorized, forbidden
# What a disk refuses, and no network.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ENOLCK)


class CheckpointNotFoundError(MinidistilError, FileNotFoundError):
    """A checkpoint, or a file it must have, cannot be found or fetched."""


def why_not_sent(
    error: BaseException, repo: str, revision: str | None, command: str
) -> str:
    """Say why the hub did not send a file, and what to do about it.

    Args:
        error: The hub library's.
        repo: The repository.
        revision: What the caller asked for.
        command: What fetches the repository, as a line for the shell.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return (
            f"{repo!r} is gated. Ask for access at "
            f"https://huggingface.co/{repo}, then run `hf auth login` or "
            "pass token=."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the hub has no repository {repo!r}, or it is private, and "
            "there is no such folder here. Check the spelling; for a private "
            "repository run `hf auth login` or pass token=."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"{repo!r} has no revision {revision!r}. A revision is a "
            "branch, a tag or a full commit hash, as listed at "
            f"https://huggingface.co/{repo}/commits/main."
        )
    if status(error) in NOT_ALLOWED:
        return (
            f"the hub refuses access (HTTP {status(error)}). The token in use is "
            "missing, expired or without the right to read this repository: run "
            "`hf auth login` or pass token=."
        )
    return f"{first_line(error)}. Check the connection and try again, or run: {command}"


def refused_here(
    error: BaseException, what: str, cache: Path
) -> CheckpointNotFoundError | None:
    """The error if this system refused to keep a file, not the hub to send it.

    It has the system's number (``errno``) and names the place (``filename``).
    """
    number = errno_of(error)
    at = getattr(error, "filename", None)
    place = Path(os.fsdecode(at)) if at is not None else cache
    # The system also refuses connections, and names no file then.
    in_the_cache = at is not None and _one_in_the_other(place, cache.parent)
    if number is None or not (in_the_cache or number in _DISK):
        return None
    return CheckpointNotFoundError(
        number,
        f"cannot keep {what}: {os.strerror(number)}; set HF_HOME to a folder that can "
        "be written and has room, or pass cache_dir=",
        str(place),
    )


def _one_in_the_other(one: Path, other: Path) -> bool:
    one, other = one.absolute(), other.absolute()
    return one == other or one in other.parents or other in one.parents


def without_a_bar() -> dict[str, Any]:
    """How to fetch where there is no standard error, which the hub library's bar needs.

    Its versions that cannot be asked for another bar fail there.
    """
    import huggingface_hub
    from tqdm.auto import tqdm

    class NoBar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options | {"disable": True})

    known = inspect.signature(huggingface_hub.hf_hub_download).parameters
    return {"tqdm_class": NoBar} if "tqdm_class" in known else {}


def why_offline(error: BaseException) -> str:
    """Say why only the cache could be searched."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    cause = error.__cause__ or error
    if isinstance(cause, OfflineModeIsEnabled):
        return "offline mode, HF_HUB_OFFLINE=1"
    return f"the hub cannot be reached: {first_line(cause)}"


def status(error: BaseException | None) -> int | None:
    """The HTTP status that an error of the hub carries."""
    return getattr(getattr(error, "response", None), "status_code", None)
