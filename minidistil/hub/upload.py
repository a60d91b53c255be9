"""Send files to a hub repository: all in one commit, asked again where that helps."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from minidistil.messages import MinidistilError, first_line, quote, shorten

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds, before the hub is asked again
# HTTP: timed out, too many requests, and what a server says when it is in trouble.
_TEMPORARY = (408, 429, 500, 502, 503, 504)

Answer = TypeVar("Answer")


class PublishError(MinidistilError, OSError):
    """The hub did not take a checkpoint, or may not be asked to."""


class PushToHub:
    """What can be saved to a folder can be sent to the hub."""

    # The names of the files that loading would read of an earlier one.
    _own_files: ClassVar[re.Pattern[str]]

    # Takes a folder, and writes the files that are to be sent.
    save_pretrained: Callable[..., Any]

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        tags: list[str] | None = None,
        use_temp_dir: bool | None = None,
        **saving: Any,
    ) -> CommitInfo:
        """Send what `save_pretrained` writes to a hub repository, in one commit.

        No card is written: `minidistil.weights.publish` verifies a checkpoint, with its
        tokenizer, and makes one.

        Args:
            repo_id: Where to, such as ``"someone/a-model"``; it is made if need be.
            commit_message: What the commit says.
            commit_description: What else it says.
            private: Whether only its owners may see the repository. None leaves it to
                the hub, or as it is.
            token: In place of the one that ``hf auth login`` stored.
            revision: The branch; made, from ``main``, if need be. None is ``main``.
            create_pr: Open a pull request with the commit.
            tags: They stand on a card, so that they are refused here.
            use_temp_dir: Accepted and ignored: it is always one.
            saving: For `save_pretrained`.

        Returns:
            The hub library's ``CommitInfo``, with ``commit_url`` and ``oid``.

        Raises:
            PublishError: if there is no token, the hub refuses or cannot be reached, or
                a repository that should be private is not.
            TypeError, ValueError: for an argument that does not exist or fit.
        """
        if tags:
            raise TypeError(
                f"tags={quote(tags)} stand on a model card, which push_to_hub does not "
                "write: save to a folder and use minidistil.weights.publish(folder, "
                "repo), or edit the card on the hub"
            )
        check_place(repo_id, revision)
        hub = Repository(repo_id, revision, token)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, **saving)
            return self._send(
                hub,
                list(Path(folder).iterdir()),
                private=private,
                message=commit_message,
                description=commit_description,
                create_pr=create_pr,
            )

    def _send(
        self,
        hub: Repository,
        files: Iterable[Path],
        *,
        message: str | None,
        private: bool | None = None,
        description: str | None = None,
        create_pr: bool = False,
    ) -> CommitInfo:
        """Send saved files, and remove those of an earlier save."""
        contents: dict[str, Path | bytes] = {path.name: path for path in files}
        hub.make(private)
        stale = {name for name in hub.files() if self._own_files.fullmatch(name)}
        return hub.commit(
            contents,
            sorted(stale - contents.keys()),
            message or f"Upload {type(self).__name__}",
            description=description,
            create_pr=create_pr,
        )


def check_place(repo: str, revision: str | None) -> None:
    """Raise ValueError for what can be no repository, or no branch."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ValueError(
            f"{quote(repo)} cannot be a hub repository ({shorten(error)}); name one "
            "such as someone/a-model"
        ) from None
    if revision is not None and not revision.strip():
        raise ValueError(
            f"revision is {revision!r}, expected a branch; leave it out for main"
        )


class Repository:
    """A hub repository; it is asked again if the connection or the server fails.

    The hub library itself asks again for uploads, but not to make a repository, a
    branch or a commit.
    """

    def __init__(self, name: str, branch: str | None, token: str | bool | None) -> None:
        from huggingface_hub import HfApi, get_token

        if token is None or token is True:
            token = get_token()
        if not token:
            raise PublishError(
                "there is no token for the hub: run `hf auth login`, set HF_TOKEN, or "
                "pass token=. It must have the right to write. Nothing was sent."
            )
        self._name, self._branch = name, branch
        self._api: HfApi = HfApi(token=token)

    def make(self, private: bool | None) -> None:
        """Make the repository and the branch, if need be."""
        api, name, branch = self._api, self._name, self._branch
        made = self._ask(lambda: api.create_repo(name, private=private, exist_ok=True))
        # Without an owner, it is of whom the token is of.
        self._name = name = made.repo_id
        if private and not self._ask(lambda: api.model_info(name)).private:
            # One that exists stays as open as it is.
            raise PublishError(
                f"{name!r} exists and is public, and private=True was asked for; "
                f"nothing was sent. Make it private at https://huggingface.co/{name}/"
                "settings, or choose another name"
            )
        if branch and not self._ask(lambda: api.revision_exists(name, branch)):
            self._ask(lambda: api.create_branch(name, branch=branch, exist_ok=True))

    def files(self, commit: str | None = None) -> set[str]:
        """The names of the files there are, on the branch or after a commit."""
        revision = commit or self._branch
        return set(
            self._ask(lambda: self._api.list_repo_files(self._name, revision=revision))
        )

    def read(self, name: str) -> bytes:
        """The content of one of its files."""
        with tempfile.TemporaryDirectory() as folder:
            path = self._ask(
                lambda: self._api.hf_hub_download(
                    self._name, name, revision=self._branch, local_dir=folder
                )
            )
            return Path(path).read_bytes()

    def commit(
        self,
        contents: Mapping[str, Path | bytes],
        removed: list[str],
        message: str,
        *,
        description: str | None = None,
        create_pr: bool = False,
    ) -> CommitInfo:
        """Send and remove files at once."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        def commit() -> CommitInfo:
            # Made anew each time: an operation remembers that it was tried.
            added = [CommitOperationAdd(name, each) for name, each in contents.items()]
            return self._api.create_commit(
                self._name,
                [*added, *map(CommitOperationDelete, removed)],
                commit_message=message,
                commit_description=description,
                revision=self._branch,
                create_pr=create_pr,
            )

        sent = self._ask(commit)
        if missing := sorted(contents.keys() - self.files(sent.oid)):
            raise PublishError(
                f"the hub took the commit {sent.commit_url} without "
                f"{', '.join(missing)}: does the repository's .gitignore name them?"
            )
        return sent

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        for wait in (*_WAITS, None):
            try:
                return question()
            except Exception as error:
                # Of any class: see `minidistil.hub`.
                if wait is None or not _is_temporary(error):
                    raise self._refused(error) from error
            time.sleep(wait)
        raise AssertionError  # the last attempt returns or raises

    def _refused(self, error: Exception) -> PublishError:
        status = _status(error)
        if status in (401, 403):
            cure = (
                "the token may not write there: check the name and the token's rights "
                "(`hf auth whoami`)"
            )
        elif _is_temporary(error):
            cure = f"asked {len(_WAITS) + 1} times; check the connection and try again"
        else:
            cure = "the hub says why"
        reason = f"HTTP {status}: " if status is not None else ""
        reason += first_line(error)
        return PublishError(f"cannot publish to {self._name!r} ({reason}): {cure}")


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_temporary(error: Exception) -> bool:
    """Whether it is worth asking again: the way there failed, or the server is busy."""
    status = _status(error)
    if status is not None:
        return status in _TEMPORARY
    return isinstance(error, OSError) or type(error).__module__.startswith(
        ("httpx", "httpcore", "requests", "urllib3")
    )
