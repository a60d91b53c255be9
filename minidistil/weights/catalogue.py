"""The official checkpoints: what they are for, how large, and whether they are here."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from minidistil.checkpoint.tensors import SINGLE_FILE
from minidistil.messages import first_line
from minidistil.progress import steps

AS_OF = "2026-11-22"  # when the list below was drawn up, from published pages
_TIMEOUT = 10  # seconds


@dataclass(frozen=True)
class Official:
    """A checkpoint that the authors of DistilBERT published.

    Attributes:
        repo: Its name on the hub.
        task: What it was trained for, in the hub's words.
        language: Which texts it knows, in the hub's words.
        bytes: The size of ``model.safetensors``, or of a part of it: see `bytes_of`.
        bytes_of: What `bytes` counts: ``"file"``, the whole, as published; or
            ``"numbers"``, the parameters alone at 4 bytes each, where the file's size
            is not known. The file has a header of 13 kB besides.
        licence: In the hub's words. In the dated list, as the repository's page on the
            hub had it: by the model card's text for sst-2 and uncased-distilled-squad,
            by its ``license:`` or the tag made of it for the others.
        cached: Whether its weights are in the cache, at any revision.
    """

    repo: str
    task: str
    language: str
    bytes: int
    bytes_of: Literal["file", "numbers"]
    licence: str
    cached: bool = False


def _base(
    name: str, task: str, language: str, size: int, of: Literal["file", "numbers"]
) -> Official:
    repo = f"distilbert/distilbert-base-{name}"
    return Official(repo, task, language, size, of, licence="apache-2.0")


_SST_2, _QA = "uncased-finetuned-sst-2-english", "question-answering"
OFFICIAL = (
    _base("uncased", "fill-mask", "en", 267_954_768, "file"),
    _base(_SST_2, "text-classification", "en", 267_832_558, "file"),
    _base("cased", "fill-mask", "en", 263_248_144, "numbers"),
    _base("cased-distilled-squad", _QA, "en", 260_769_800, "numbers"),
    _base("uncased-distilled-squad", _QA, "en", 265_457_672, "numbers"),
    _base("german-cased", "fill-mask", "de", 269_726_200, "numbers"),
    _base("multilingual-cased", "fill-mask", "multilingual", 541_783_020, "numbers"),
)


@dataclass(frozen=True)
class Listing:
    """The official checkpoints, and who says so.

    Attributes:
        checkpoints: In the order of `OFFICIAL`.
        offline: Why the hub was not asked, or "" if this is its own answer.
    """

    checkpoints: list[Official]
    offline: str


def official_checkpoints(
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Listing:
    """List the official checkpoints: as the hub has them, or else the dated list.

    Args:
        cache_dir: The hub cache to use in place of the usual one.
        token: The hub token to use in place of the one that is stored.
        local_files_only: Do not ask the hub.
    """
    offline = "not asked" if local_files_only else ""
    found = list(OFFICIAL)
    if not offline:
        try:
            found = [
                _as_the_hub_has_it(each, token)
                for each in steps(OFFICIAL, "asking the hub")
            ]
        except Exception as error:
            # The hub library lets its HTTP library's errors through, of any class.
            offline = first_line(error)
    return Listing(
        [replace(each, cached=_is_cached(each.repo, cache_dir)) for each in found],
        offline,
    )


def hub_files(
    repo_id: str, *, revision: str | None = None, token: str | bool | None = None
) -> dict[str, str]:
    """The SHA-256 of each large file of a repository, by name, as the hub has it.

    Raises:
        Exception: as the hub library does, if the hub cannot be asked or refuses.
    """
    info = _info(repo_id, revision, token)
    return {
        file.rfilename: file.lfs.sha256
        for file in info.siblings or ()
        if file.lfs is not None
    }


def _info(repo: str, revision: str | None, token: str | bool | None) -> Any:
    from huggingface_hub import HfApi

    return HfApi().model_info(
        repo, revision=revision, token=token, files_metadata=True, timeout=_TIMEOUT
    )


def _as_the_hub_has_it(known: Official, token: str | bool | None) -> Official:
    info = _info(known.repo, None, token)
    sizes = {file.rfilename: file.size for file in info.siblings or ()}
    size = sizes.get(SINGLE_FILE)
    card = info.card_data
    return replace(
        known,
        task=info.pipeline_tag or known.task,
        bytes=size or known.bytes,
        bytes_of="file" if size else known.bytes_of,
        licence=(card and card.license) or known.licence,
    )


def _is_cached(repo: str, cache_dir: str | os.PathLike[str] | None) -> bool:
    """Whether the cache has the weights at any revision, by the layout it has."""
    from huggingface_hub import constants

    cache = Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
    snapshots = cache / f"models--{repo.replace('/', '--')}" / "snapshots"
    with suppress(OSError):  # of a cache that cannot be read
        return any(path.exists() for path in snapshots.glob(f"*/{SINGLE_FILE}"))
    return False
