"""Debian's Chromium with no network, driven by Playwright.

A page that is opened here fails its test if it asks for anything over the network, or
says anything on its console.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    Route,
    sync_playwright,
)

# Without these it looks for updates and for its maker's hosts.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
)


MISSING = "no Chromium: on Debian, apt-get install chromium"


def chromium() -> str | None:
    """The path of the browser, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser, for as long as the block lasts."""
    path = chromium()
    assert path is not None, MISSING
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=[*QUIET])
        try:
            yield running
        finally:
            running.close()


class Contexts:
    """Profiles of a browser, by how a page is looked at, each with a page left open.

    The next page runs in the same process as that one, which takes a third of the
    time. Only the newest are kept: each takes memory.
    """

    def __init__(self, newest: int = 3) -> None:
        self._newest = newest
        self._open: dict[tuple[Browser, str], BrowserContext] = {}

    def __call__(self, running: Browser, look: dict[str, object]) -> BrowserContext:
        key = (running, json.dumps(look, sort_keys=True))
        found = self._open.pop(key, None)
        if found is None:
            found = running.new_context(offline=True, **look)  # type: ignore[arg-type]
            found.new_page().goto(Path(__file__).as_uri())
        self._open[key] = found
        while len(self._open) > self._newest:
            oldest, *_ = self._open
            self._open.pop(oldest).close()
        return found


contexts = Contexts()


@contextmanager
def opened(running: Browser, path: Path, **look: object) -> Iterator[Page]:
    """A page from the disk; ``look`` is a width, a theme, …

    Raises:
        AssertionError: if it asked for something, or said something, or failed.
    """
    asked: list[str] = []
    said: list[str] = []

    def refuse(route: Route, request: Request) -> None:
        if request.url.split(":")[0] in ("file", "data", "blob", "about"):
            route.continue_()
        else:
            asked.append(request.url)
            route.abort()

    context = contexts(running, look)
    context.route("**/*", refuse)
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    try:
        page.goto(path.as_uri())
        yield page
        assert not asked, f"the page asked for {asked}"
        assert not said, f"the page said {said}"
    finally:
        page.close()
        context.unroute("**/*", refuse)
