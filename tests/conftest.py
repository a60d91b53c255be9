"""What all tests share: two suites, a clean environment, and what is slow to make.

`pytest` runs the default suite, and `pytest --full` every test. What only the full run
needs is marked: `@pytest.mark.full` for a test, `@pytest.mark.sample(8)` for one with
many cases, of which the default suite takes 8.
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import transformers4
from sampling import sample

if TYPE_CHECKING:
    from pages import Pages
    from playwright.sync_api import Browser
    from reports import Reports

# Read once, when torch and huggingface_hub are imported: nothing above imports them.
# One thread: several tests run at once, and the matrices of most are small.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# In the clone, not in whatever folder the tests are started from.
_cache = Path(__file__).parents[1] / ".hypothesis"
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(_cache))
for _name in ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(_name, None)

LEFT_OUT = pytest.StashKey[int]()
SLOW = {"old"}  # fixtures that only the full run makes
MOST_WORKERS = 4  # each takes one to two gigabytes


# Two suites


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="run every test, not the default suite alone (it takes several times as "
        "long)",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what is for the full run, unless tests are asked for by their names."""
    skip_without_chromium(items)
    if config.getoption("full") or any("::" in argument for argument in config.args):
        return
    left_out = {
        item
        for item in items
        if item.get_closest_marker("full") or not SLOW.isdisjoint(item.fixturenames)
    }
    cases = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sample") and item not in left_out:
            cases[item.nodeid.partition("[")[0]].append(item)
    for group in cases.values():
        (count,) = group[0].get_closest_marker("sample").args
        left_out |= {*group}.difference(sample(group, count))
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]
    config.stash[LEFT_OUT] = len(left_out)


def skip_without_chromium(items: list[pytest.Item]) -> None:
    """Skip the tests of the page where no browser is; in CI they fail."""
    of_the_page = [item for item in items if "chromium" in item.fixturenames]
    if not of_the_page or os.environ.get("CI"):
        return
    from browser import MISSING, chromium

    if chromium() is None:
        for item in of_the_page:
            item.add_marker(pytest.mark.skip(MISSING))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Take over from a worker how many tests it left out."""
    if "left_out" in getattr(node, "workeroutput", {}):
        node.config.stash[LEFT_OUT] = node.workeroutput["left_out"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over to the process that reports how many tests were left out."""
    if hasattr(session.config, "workeroutput"):
        left_out = session.config.stash.get(LEFT_OUT, 0)
        session.config.workeroutput["left_out"] = left_out


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{left_out} tests were left out; to run them as well: pytest --full"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Report what is missing once for each file, not for each line of it."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        path, _, reason = report.longrepr
        report.longrepr = (path, None, reason)
    return report


# Several processes


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use a worker for each core, but none for single files: a start takes seconds."""
    paths = [Path(argument.partition("::")[0]) for argument in config.args]
    if all(path.suffix == ".py" for path in paths):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    return min(cores, MOST_WORKERS)


# A clean environment


@pytest.fixture(autouse=True)
def the_same_random_numbers_in_every_run() -> None:
    import torch  # not above: the process that only hands tests to workers needs none

    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def an_ordinary_terminal() -> Iterator[None]:
    """Messages are broken and coloured in the same way wherever the tests are run."""
    # Its own, not the test's: what a test patches is undone before its fixtures end.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("LINES", "24")
        for name in ("FORCE_COLOR", "NO_COLOR", "PYTHONIOENCODING", "PYTHONWARNINGS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def an_interrupt_is_heard() -> Iterator[None]:
    """Do not pass on to children that SIGINT is ignored, as a shell's `&` has it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# What is slow to make


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Give the folder of a checkpoint, written once for all tests that want the same.

    The arguments are those of `write_checkpoint`, or with ``trained`` of
    `write_trained`. A test that changes files changes a copy.
    """
    made: dict[str, Path] = {}

    def folder_of(*kind: str, trained: bool = False, **options: Any) -> Path:
        from checkpoints import write_checkpoint
        from real_weights import write_trained

        key = repr((kind, trained, sorted(options.items())))
        if key not in made:
            write = write_trained if trained else write_checkpoint
            made[key] = write(tmp_path_factory.mktemp("checkpoint"), *kind, **options)
        return made[key]

    return folder_of


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a folder once for all workers, such as by a program that runs for long.

    The arguments are a name that no other test takes, and what fills the folder.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # which all workers have

    def made_once(name: str, make: Callable[[Path], object]) -> Path:
        from filelock import FileLock

        folder = base / name
        done = folder / "made"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                folder.mkdir(exist_ok=True)
                make(folder)
                done.touch()
        return folder

    return made_once


@pytest.fixture(scope="session")
def full_run(request: pytest.FixtureRequest) -> bool:
    """Whether every test is run, and so also as many cases in one test as there are."""
    return bool(request.config.getoption("full"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of the page: to start one takes a second."""
    from browser import browser

    with browser() as running:
        yield running


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """The pages that tests look at, each made once."""
    from pages import Pages

    return Pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """The reports of trainings that tests look at, each made once."""
    from reports import Reports

    return Reports(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="session")
def old() -> Iterator[transformers4.Transformers4]:
    """Transformers 4.57, for what version 5 no longer has."""
    process = transformers4.start()
    yield process
    process.close()
