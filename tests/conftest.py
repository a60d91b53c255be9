"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch
import transformers4

if TYPE_CHECKING:
    from pages import Pages
    from playwright.sync_api import Browser


@pytest.fixture(autouse=True)
def the_same_random_numbers_in_every_run() -> None:
    torch.manual_seed(0)


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
def old() -> Iterator[transformers4.Transformers4]:
    """Transformers 4.57, for what version 5 no longer has."""
    process = transformers4.start()
    yield process
    process.close()
