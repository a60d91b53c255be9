"""One file that asks for nothing, from the disk and inside another page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import opened
from pages import Pages
from playwright.sync_api import Browser, expect

import minidistil

KINDS = ["tiny", "padded", "two masks", "question", "hostile", "long"]


@pytest.mark.parametrize("name", KINDS)
def test_the_policy_lets_the_browser_ask_for_nothing(pages: Pages, name: str) -> None:
    html = pages[name].path.read_text("utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("img-src") == "data:"
    assert rules.keys() == {"style-src", "script-src"}
    for rule in rules.values():
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", rule)


def test_the_code_of_no_page_names_an_address_to_ask() -> None:
    assets = [*Path(minidistil.__file__).parent.glob("*/assets/*.*")]
    assert {"frame.html", "base.js", "page.js"} <= {asset.name for asset in assets}
    for asset in assets:
        code = asset.read_text("utf-8")
        names = {"http://www.w3.org/2000/svg"}  # of a kind of element, not a place
        assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w[\w./]*", code)) <= names
        for call in ("fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "@import"):
            assert call not in code
        for unsafe in ("innerHTML", "outerHTML", "insertAdjacent", "eval(", "write("):
            assert unsafe not in code, f"{asset.name}: {unsafe}"


def test_the_same_traces_make_the_same_page(pages: Pages) -> None:
    trace = pages["five labels"].trace
    assert trace.to_html() == pages["five labels"].path.read_text("utf-8")


def framed(folder: Path, inside: str, policy: str = "") -> Path:
    """A page such as a notebook, with a page of ours in it."""
    path = folder / "notebook.html"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    path.write_text(
        f"<!doctype html><html lang=en><head><meta charset=utf-8>"
        f"<title>Notebook</title>"
        f"{head if policy else ''}<link rel=icon href=data:></head>"
        f"<body><style>button {{ display: none }}</style>{inside}</body></html>",
        "utf-8",
    )
    return path


def test_a_notebook_shows_the_page_in_a_frame(
    chromium: Browser, pages: Pages, tmp_path: Path
) -> None:
    path = framed(tmp_path, pages["padded"].trace._repr_html_())
    with opened(chromium, path) as page:
        frame = page.frame_locator("iframe")
        frame.locator("html[data-ready]").wait_for(state="attached")
        expect(frame.locator("#sentence")).to_have_text("Not bad at all")
        frame.locator('#tokens [data-query="3"]').click()
        expect(frame.locator("#summary")).to_contain_text("head 0: “at” attends")
        frame.locator("#theme").click()
        expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
        frame.locator('[data-term="BlockTrace.q"]').first.click()
        expect(frame.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        frame.locator("#open-glossary").click()
        expect(frame.locator("#h-glossary")).to_be_in_viewport()
        # The notebook's own address and styles are left alone.
        assert page.url == path.as_uri()
        assert page.title() == "Notebook"


def test_hostile_text_stays_in_the_frame(
    chromium: Browser, pages: Pages, tmp_path: Path
) -> None:
    path = framed(tmp_path, pages["hostile"].trace._repr_html_())
    with opened(chromium, path) as page:
        frame = page.frame_locator("iframe")
        frame.locator("html[data-ready]").wait_for(state="attached")
        assert page.locator("body > *").count() == 2
        assert [each.evaluate("window.ran") for each in page.frames] == [None, None]


def test_the_frame_has_a_name_for_screen_readers(pages: Pages) -> None:
    assert ' title="minidistil' in pages["tiny"].trace._repr_html_()[-200:]


def test_a_page_that_asks_for_something_fails_its_test(
    chromium: Browser, tmp_path: Path
) -> None:
    path = framed(tmp_path, '<img src="http://offline.test/x.png" alt="">')
    with pytest.raises(AssertionError, match=r"offline\.test"), opened(chromium, path):
        pass


def test_a_page_that_says_something_fails_its_test(
    chromium: Browser, tmp_path: Path
) -> None:
    path = framed(tmp_path, "<script>nothing.there</script>")
    with pytest.raises(AssertionError, match="nothing"), opened(chromium, path):
        pass
