"""Finding a checkpoint's files: in the package, in a folder, in the hub cache."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from hub_stand_in import point_the_hub_library_at, serving
from huggingface_hub import errors

import minidistil
from minidistil.hub import CheckpointNotFoundError, open_checkpoint

REPO = "someone/a-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEWER = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "checkpoint"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "vocab.txt").write_text("[PAD]")
    return path


def snapshot(cache: Path, commit: str = COMMIT) -> Path:
    return cache / "models--someone--a-model" / "snapshots" / commit


def fill(cache: Path, *names: str, commit: str = COMMIT, ref: str | None = "main"):
    """Lay files out as huggingface_hub does: blobs, links to them, and a ref."""
    repo = cache / "models--someone--a-model"
    snapshot(cache, commit).mkdir(parents=True, exist_ok=True)
    (repo / "blobs").mkdir(exist_ok=True)
    for name in names:
        blob = repo / "blobs" / f"{commit[:4]}-{name}"
        blob.write_text(f"{name} of {commit}")
        (snapshot(cache, commit) / name).symlink_to(blob)
    if ref is not None:
        (repo / "refs").mkdir(exist_ok=True)
        (repo / "refs" / ref).write_text(commit)
    return cache


def mark_absent(cache: Path, name: str):
    folder = cache / "models--someone--a-model" / ".no_exist" / COMMIT
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch, cache):
    """A hub whose answer to each request a test decides; it notes what was asked."""
    hub = SimpleNamespace(asked=[], answer=None)

    def download(repo, name, **options):
        hub.asked.append((name, options["revision"]))
        if hub.answer is None:
            raise AssertionError(f"the hub was asked for {name}")
        answer = hub.answer(name)
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return hub


def http_error(kind, status, message="refused"):
    response = SimpleNamespace(headers={}, request=None, status_code=status)
    return kind(message, response=response)


def not_on_hub(name):
    return http_error(errors.RemoteEntryNotFoundError, 404, f"no {name}")


def unreachable(cause):
    error = errors.LocalEntryNotFoundError("cannot be located")
    error.__cause__ = cause
    return error


# Folders


def test_a_file_of_a_folder_is_found(folder):
    files = open_checkpoint(str(folder))
    assert files.find("config.json") == folder / "config.json"
    assert files.require("vocab.txt") == folder / "vocab.txt"
    assert files.has("vocab.txt")


def test_a_file_that_a_folder_does_not_have_is_none(folder):
    assert open_checkpoint(folder).find("tokenizer.json") is None
    assert not open_checkpoint(folder).has("tokenizer.json")


def test_a_folder_inside_the_checkpoint_is_not_a_file(folder):
    (folder / "model.safetensors").mkdir()
    assert open_checkpoint(folder).find("model.safetensors") is None


def test_the_first_file_that_exists_is_taken(folder):
    files = open_checkpoint(folder)
    found = files.first("tokenizer.json", "vocab.txt", "config.json")
    assert found == folder / "vocab.txt"
    assert files.first("a", "b") is None


def test_a_required_file_that_is_missing_says_what_there_is(folder):
    with pytest.raises(CheckpointNotFoundError) as error:
        open_checkpoint(folder).require("model.safetensors")
    assert f"folder '{folder}' has no file 'model.safetensors'" in str(error.value)
    assert "It holds: config.json, vocab.txt." in str(error.value)


def test_a_long_listing_is_cut(folder):
    for i in range(20):
        (folder / f"file{i:02}").touch()
    with pytest.raises(CheckpointNotFoundError, match=r"file08, …\. A checkpoint"):
        open_checkpoint(folder).require("model.safetensors")


def test_an_error_about_a_missing_file_is_a_file_not_found_error(folder):
    with pytest.raises(FileNotFoundError):
        open_checkpoint(folder).require("model.safetensors")


def test_a_home_folder_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    found = open_checkpoint("~/checkpoint").find("config.json")
    assert found == folder / "config.json"


def test_a_folder_goes_before_a_repository_of_the_same_name(hub):
    Path(REPO).mkdir(parents=True)
    (Path(REPO) / "config.json").touch()
    assert open_checkpoint(REPO).find("config.json") == Path(REPO) / "config.json"


# The bundled checkpoint


def test_the_bundled_checkpoint_is_found_by_name():
    files = open_checkpoint("tiny")
    assert str(files) == "the bundled checkpoint 'tiny'"
    vocabulary = files.require("vocab.txt").read_text(encoding="utf-8").split("\n")
    assert vocabulary[0] == "[PAD]"


def test_a_folder_called_tiny_is_reached_as_a_path():
    Path("tiny").mkdir()
    (Path("tiny") / "config.json").touch()
    for source in ("./tiny", Path("tiny")):
        assert open_checkpoint(source).find("config.json") == Path("tiny/config.json")


def test_a_checkpoint_folder_called_tiny_makes_the_name_ambiguous():
    Path("tiny").mkdir()
    (Path("tiny") / "config.json").touch()
    with pytest.raises(ValueError, match=r"Write './tiny' for the folder"):
        open_checkpoint("tiny")


def test_another_folder_called_tiny_does_not_hide_the_bundled_checkpoint():
    Path("tiny").mkdir()
    assert str(open_checkpoint("tiny")) == "the bundled checkpoint 'tiny'"


# Mistakes


@pytest.mark.parametrize(
    "source", ["./nowhere", "/nowhere", "~/nowhere", "a/b/c", "a/", r"C:\a", "../a"]
)
def test_a_path_to_nothing_is_not_taken_for_a_repository(source, hub):
    with pytest.raises(CheckpointNotFoundError) as error:
        open_checkpoint(source)
    assert f"no folder {source!r}. Check the path" in str(error.value)


def test_a_path_object_is_never_a_repository(hub):
    with pytest.raises(CheckpointNotFoundError, match="no folder 'someone/a-model'"):
        open_checkpoint(Path(REPO))


def test_a_file_in_place_of_its_folder_is_told(folder):
    with pytest.raises(CheckpointNotFoundError) as error:
        open_checkpoint(folder / "config.json")
    assert "is a file" in str(error.value)
    assert f"so pass '{folder}'" in str(error.value)


@pytest.mark.parametrize("source", ["", "two words", "-dash", "name.git", "a--b"])
def test_a_name_that_no_repository_can_have_is_told(source):
    with pytest.raises(CheckpointNotFoundError, match="nor can it be a hub repository"):
        open_checkpoint(source)


@pytest.mark.parametrize("source", [None, 3, b"tiny", ["tiny"]])
def test_a_name_that_is_no_string_is_told(source):
    with pytest.raises(TypeError, match="named by a string or a path, got"):
        open_checkpoint(source)


@pytest.mark.parametrize("source", ["tiny", "folder"])
def test_only_repositories_have_revisions(source, folder):
    source = folder if source == "folder" else source
    with pytest.raises(ValueError, match="revision='v1' was given for"):
        open_checkpoint(source, revision="v1")


# The hub's cache


def test_what_is_cached_is_used_without_asking_the_hub(cache, hub):
    files = open_checkpoint(REPO, cache_dir=fill(cache, "config.json"))
    assert files.find("config.json").read_text() == f"config.json of {COMMIT}"
    assert files.require("config.json") == snapshot(cache) / "config.json"
    assert files.has("config.json")
    assert hub.asked == []


def test_a_file_in_a_folder_is_of_the_same_commit(cache, hub):
    fill(cache, "config.json")
    pooling = snapshot(cache) / "1_Pooling" / "config.json"
    pooling.parent.mkdir()
    pooling.write_text("{}")
    files = open_checkpoint(REPO, cache_dir=cache)
    assert files.find("1_Pooling/config.json") == pooling
    assert files.find("config.json") == snapshot(cache) / "config.json"


def test_what_is_known_to_be_absent_is_not_asked_for_again(cache, hub):
    mark_absent(fill(cache, "config.json"), "tokenizer.json")
    assert open_checkpoint(REPO, cache_dir=cache).find("tokenizer.json") is None
    assert hub.asked == []


def test_a_home_folder_in_the_cache_folder_is_expanded(cache, hub, monkeypatch):
    fill(cache, "config.json")
    monkeypatch.setenv("HOME", str(cache.parent))
    assert open_checkpoint(REPO, cache_dir="~/cache").find("config.json")


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_a_cached_tag_or_commit_is_used_without_asking_the_hub(cache, hub, revision):
    fill(cache, "config.json", ref="v1")
    files = open_checkpoint(REPO, cache_dir=cache, revision=revision)
    assert files.find("config.json").read_text() == f"config.json of {COMMIT}"
    assert str(files) == f"hub repository {REPO!r} at revision {revision!r}"


def test_the_first_that_is_cached_goes_before_an_earlier_name(cache, hub):
    files = open_checkpoint(REPO, cache_dir=fill(cache, "vocab.txt"))
    assert files.first("tokenizer.json", "vocab.txt").name == "vocab.txt"
    assert hub.asked == []


def test_if_none_is_cached_the_hub_is_asked_in_order(cache, hub):
    fill(cache, "config.json")
    hub.answer = not_on_hub
    files = open_checkpoint(REPO, cache_dir=cache)
    assert files.first("tokenizer.json", "vocab.txt") is None
    assert [name for name, _ in hub.asked] == ["tokenizer.json", "vocab.txt"]


def test_a_file_that_is_not_cached_comes_from_the_commit_of_those_that_are(cache, hub):
    fill(cache, "config.json")
    hub.answer = lambda name: snapshot(cache) / name
    files = open_checkpoint(REPO, cache_dir=cache)
    assert files.find("vocab.txt") == snapshot(cache) / "vocab.txt"
    assert hub.asked == [("vocab.txt", COMMIT)]


def test_the_first_file_fetched_fixes_the_commit(cache, hub):
    def newer_each_time(name):
        commit = COMMIT if name == "a.json" else NEWER
        return snapshot(fill(cache, name, commit=commit), commit) / name

    hub.answer = newer_each_time
    files = open_checkpoint(REPO, cache_dir=cache, revision="v2")
    files.find("a.json")
    files.find("b.json")
    assert [revision for _, revision in hub.asked] == ["v2", COMMIT]


def test_a_cached_file_of_another_commit_is_not_used(cache, hub):
    fill(cache, "config.json")
    files = open_checkpoint(REPO, cache_dir=cache)
    fill(cache, "vocab.txt", commit=NEWER)  # main has moved on
    hub.answer = not_on_hub
    assert files.find("vocab.txt") is None
    assert hub.asked == [("vocab.txt", COMMIT)]


def test_the_token_and_the_cache_are_handed_to_the_hub(cache, monkeypatch):
    given = {}
    monkeypatch.setattr(
        huggingface_hub,
        "hf_hub_download",
        lambda repo, name, **options: given.update(options) or f"/{COMMIT}/{name}",
    )
    open_checkpoint(REPO, cache_dir=cache, token="secret").find("config.json")
    assert given["token"] == "secret"
    assert given["cache_dir"] == cache


def test_whether_the_hub_has_a_file_is_asked_without_fetching_it(
    cache, hub, monkeypatch
):
    monkeypatch.setattr(
        huggingface_hub, "file_exists", lambda repo, name, **_: name == "there"
    )
    files = open_checkpoint(REPO, cache_dir=cache)
    assert files.has("there")
    assert not files.has("elsewhere")


def test_without_an_answer_no_file_is_known_to_exist(cache, monkeypatch):
    def fail(*_, **__):
        raise http_error(errors.HfHubHTTPError, 500)

    monkeypatch.setattr(huggingface_hub, "file_exists", fail)
    assert not open_checkpoint(REPO, cache_dir=cache).has("config.json")


# Without network: these go through huggingface_hub itself, with sockets blocked


def test_a_cached_checkpoint_needs_no_network(cache):
    files = open_checkpoint(REPO, cache_dir=fill(cache, "config.json", "vocab.txt"))
    assert files.require("config.json")
    assert files.first("tokenizer.json", "vocab.txt")


def test_a_capital_in_the_bundled_name_is_pointed_out(hub):
    with pytest.raises(CheckpointNotFoundError, match="did you mean 'tiny'"):
        open_checkpoint("Tiny")
    assert hub.asked == []


def test_local_files_only_never_asks_the_hub(cache, hub):
    fill(cache, "config.json")
    files = open_checkpoint(REPO, cache_dir=cache, local_files_only=True)
    assert files.find("vocab.txt") is None
    assert hub.asked == []


def test_local_files_only_reports_how_to_fetch_what_is_not_cached(cache):
    files = open_checkpoint(REPO, cache_dir=cache, revision="v1", local_files_only=True)
    with pytest.raises(CheckpointNotFoundError) as error:
        files.find("config.json")
    named = f"hub repository {REPO!r} at revision 'v1' is not in the cache"
    assert str(error.value).startswith(named)
    assert "(local_files_only=True)" in str(error.value)
    command = f"run: hf download {REPO} --revision v1 --cache-dir {cache}"
    assert str(error.value).endswith(command)


def test_offline_mode_is_respected_and_reported(cache, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointNotFoundError, match="offline mode, HF_HUB_OFFLINE=1"):
        open_checkpoint(REPO, cache_dir=cache).require("config.json")


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_without_network_an_optional_file_may_be_absent(cache, monkeypatch, how):
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_HUB_OFFLINE", how == "environment"
    )
    fill(cache, "vocab.txt")
    files = open_checkpoint(REPO, cache_dir=cache, local_files_only=how == "argument")
    assert files.find("tokenizer_config.json") is None
    assert not files.has("tokenizer_config.json")


def test_without_network_a_required_file_may_not_be_absent(cache):
    fill(cache, "vocab.txt")
    files = open_checkpoint(REPO, cache_dir=cache, local_files_only=True)
    with pytest.raises(CheckpointNotFoundError) as error:
        files.require("config.json")
    assert "has no file 'config.json'. Only the cache could be searched" in str(
        error.value
    )
    assert f"hf download {REPO} --cache-dir" in str(error.value)


def test_a_connection_that_fails_is_reported_with_its_reason(cache, hub):
    hub.answer = lambda name: unreachable(OSError("Name or service not known"))
    with pytest.raises(CheckpointNotFoundError) as error:
        open_checkpoint(REPO, cache_dir=cache).find("config.json")
    assert "the hub cannot be reached: Name or service not known" in str(error.value)
    assert f"run: hf download {REPO}" in str(error.value)


def test_after_a_connection_failed_the_rest_must_be_cached(cache, hub):
    fill(cache, "config.json")
    hub.answer = lambda name: unreachable(OSError("timed out"))
    files = open_checkpoint(REPO, cache_dir=cache)
    assert files.find("tokenizer_config.json") is None
    hub.answer = lambda name: snapshot(cache) / name
    assert files.find("vocab.txt") is None
    assert len(hub.asked) == 1


# Refusals


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            http_error(errors.GatedRepoError, 403),
            "'someone/a-model' is gated. Ask for access at "
            "https://huggingface.co/someone/a-model, then run `hf auth login`",
        ),
        (
            http_error(errors.RepositoryNotFoundError, 401),
            "the hub has no repository 'someone/a-model', or it is private, and there "
            "is no such folder here. Check the spelling",
        ),
        (
            http_error(errors.RevisionNotFoundError, 404),
            "'someone/a-model' has no revision 'v9'. A revision is a branch, a tag or",
        ),
        (
            http_error(errors.HfHubHTTPError, 401),
            "the hub refuses access (HTTP 401). The token in use is missing, expired",
        ),
        (
            unreachable(http_error(errors.HfHubHTTPError, 403)),
            "the hub refuses access (HTTP 403). The token in use is missing, expired",
        ),
        (
            http_error(errors.HfHubHTTPError, 500, "Server Error\nRequest ID: x"),
            "Server Error. Check the connection and try again, or run: hf download "
            "someone/a-model --revision v9",
        ),
        (
            RuntimeError(""),
            "RuntimeError. Check the connection and try again",
        ),
    ],
)
def test_a_refusal_of_the_hub_is_one_clear_error(cache, hub, answer, message):
    hub.answer = lambda name: answer
    files = open_checkpoint(REPO, cache_dir=cache, revision="v9")
    with pytest.raises(CheckpointNotFoundError) as error:
        files.find("config.json")
    assert "config.json of hub repository 'someone/a-model'" in str(error.value)
    assert message in str(error.value)


def test_a_required_file_that_the_hub_does_not_have_says_where_to_look(cache, hub):
    hub.answer = not_on_hub
    with pytest.raises(CheckpointNotFoundError) as error:
        open_checkpoint(REPO, cache_dir=cache).require("config.json")
    assert "has no file 'config.json'. See https://huggingface.co/" in str(error.value)


def test_a_folder_needs_neither_torch_nor_the_hub_library(folder):
    program = (
        "import sys; from minidistil.hub import open_checkpoint; "
        f"open_checkpoint({str(folder)!r}).require('config.json'); "
        "assert not {'torch', 'huggingface_hub'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# The cache


def os_error(number, place=None):
    where = () if place is None else (str(place),)
    return OSError(number, os.strerror(number), *where)


@pytest.mark.parametrize(
    ("number", "place"),
    [
        (errno.EACCES, "cache"),
        (errno.EACCES, "."),  # in which the cache's folder cannot be made
        (errno.EROFS, "cache/.locks/models--a--b/x.lock"),
        (errno.ENOSPC, None),  # which write() says without a name
        (errno.EDQUOT, None),
        (errno.EIO, None),
        (errno.ENOTDIR, "cache/models--a--b"),
    ],
)
def test_a_cache_that_cannot_be_written_is_not_called_a_lost_connection(
    cache, hub, number, place
):
    where = None if place is None else cache.parent / place
    hub.answer = lambda name: os_error(number, where)
    with pytest.raises(OSError, match="HF_HOME") as error:
        open_checkpoint(REPO, cache_dir=cache).require("config.json")
    assert error.value.errno == number
    assert os.strerror(number) in str(error.value)
    assert Path(error.value.filename) == (where or cache)
    assert "connection" not in str(error.value)


@pytest.mark.parametrize(
    "problem",
    [
        os_error(errno.ECONNREFUSED),
        os_error(errno.ENETUNREACH),
        os_error(errno.ENOENT, "/etc/certificates.pem"),
    ],
    ids=str,
)
def test_a_refused_connection_is_not_called_a_full_disk(cache, hub, problem):
    hub.answer = lambda name: problem
    with pytest.raises(CheckpointNotFoundError, match="Check the connection") as error:
        open_checkpoint(REPO, cache_dir=cache).require("config.json")
    assert "HF_HOME" not in str(error.value)


def test_a_cache_in_place_of_a_file_is_told_by_the_hub_library_itself(
    tmp_path, monkeypatch, socket_enabled
):
    files = Path(minidistil.__file__).parent / "bundled" / "tiny-sst2"
    (tmp_path / "file").write_text("")
    with serving() as server:
        cache = tmp_path / "file" / "hub"  # for root, rights would not do
        point_the_hub_library_at(server, monkeypatch, cache)
        server.repos[REPO] = files
        with pytest.raises(OSError, match="HF_HOME") as error:
            open_checkpoint(REPO).require("config.json")
    assert error.value.errno == errno.ENOTDIR


@pytest.mark.parametrize("stream", [None, object()], ids=["none", "odd"])
def test_files_are_fetched_where_there_is_no_standard_error(
    tmp_path, monkeypatch, socket_enabled, stream
):
    files = Path(minidistil.__file__).parent / "bundled" / "tiny-sst2"
    with serving() as server:
        point_the_hub_library_at(server, monkeypatch, tmp_path / "cache")
        server.repos[REPO] = files
        monkeypatch.setattr(sys, "stderr", stream)
        found = open_checkpoint(REPO).require("config.json")
    assert found.read_bytes() == (files / "config.json").read_bytes()


def test_a_cache_that_may_not_be_searched_is_not_called_empty(cache, hub, monkeypatch):
    real = Path.stat

    def refuse(self, **how):
        if cache in self.parents:
            raise os_error(errno.EACCES, self)
        return real(self, **how)

    monkeypatch.setattr(Path, "stat", refuse)
    files = open_checkpoint(REPO, cache_dir=cache, local_files_only=True)
    with pytest.raises(PermissionError, match="rights"):
        files.require("config.json")
