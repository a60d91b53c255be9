"""Dark, light, on paper, without motion: the page can be read in each."""

from __future__ import annotations

import pytest
from page_checks import GROUNDS, MOVING, check_dark, check_text_stands_out, settled
from pages import Pages, drawn
from playwright.sync_api import Browser, Page, expect

KINDS = ["tiny", "padded", "two masks", "long"]


def check_contrast(page: Page) -> None:
    page.evaluate(
        "() => { for (const each of document.querySelectorAll('details')) "
        "each.open = true }"
    )
    expect(page.locator(".attempts:not(:has(ol))")).to_have_count(0)
    check_text_stands_out(page, least=300)


@pytest.mark.sample(2)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS)
def test_text_stands_out(
    chromium: Browser, pages: Pages, name: str, theme: str
) -> None:
    with drawn(chromium, pages[name].path, color_scheme=theme) as page:
        check_contrast(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_in_a_dialog(
    chromium: Browser, pages: Pages, theme: str
) -> None:
    with drawn(chromium, pages["tiny"].path, color_scheme=theme) as page:
        page.locator('[data-term="BlockTrace.scores"]').first.click()
        check_contrast(page)


def test_nothing_is_white_in_the_dark(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path, color_scheme="dark") as page:
        check_dark(page)


@pytest.mark.parametrize(("first", "second"), [("light", "dark"), ("dark", "light")])
def test_the_button_changes_the_theme(
    chromium: Browser, pages: Pages, first: str, second: str
) -> None:
    path = pages["tiny"].path
    with drawn(chromium, path, color_scheme=second) as page:
        expected = settled(page, COLOURS)
    with drawn(chromium, path, color_scheme=first) as page:
        before = settled(page, COLOURS)
        assert before != expected
        for colours in (expected, before):
            page.locator("#theme").click()
            assert settled(page, COLOURS) == colours


# What is painted, pictures included.
COLOURS = """() => Array.from(document.querySelectorAll(
  "body, h1, #matrix td, #heads [role=radio], .tint"), node => {
  const style = getComputedStyle(node);
  return [style.color, style.backgroundColor, style.backgroundImage];
}).concat(Array.from(document.querySelectorAll("canvas"), x => x.toDataURL()))"""


def test_the_page_follows_the_system_while_it_is_open(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["tiny"].path, color_scheme="light") as page:
        light = settled(page, COLOURS)
        page.emulate_media(color_scheme="dark")
        expect(page.locator("#theme")).to_have_text("Light")
        assert settled(page, COLOURS) != light
        check_dark(page)


def check_paper(page: Page) -> None:
    """On paper all is opened and light, and afterwards as it was."""
    page.evaluate(
        "() => addEventListener('beforeprint', () => { window.printed = {"
        "closed: document.querySelectorAll('details:not([open])').length,"
        "empty: document.querySelectorAll('.attempts:not(:has(ol))').length } })"
    )
    closed = page.locator("details:not([open])").count()
    assert closed > 5
    assert len(page.pdf()) > 50_000
    assert page.evaluate("window.printed") == {"closed": 0, "empty": 0}
    assert page.locator("details:not([open])").count() == closed
    page.emulate_media(media="print")
    assert settled(page, GROUNDS)["page"] == 1
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    check_contrast(page)
    cut = page.evaluate(
        "() => Array.from(document.querySelectorAll('.tall, .raw, .taken'), "
        "x => x.scrollHeight - x.clientHeight).filter(x => x > 2)"
    )
    assert cut == []


@pytest.mark.sample(1)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["tiny", "five labels"])
def test_on_paper_all_is_there(
    chromium: Browser, pages: Pages, name: str, theme: str
) -> None:
    with drawn(chromium, pages[name].path, color_scheme=theme) as page:
        check_paper(page)


def check_stillness(page: Page) -> None:
    """No transition and no animation; a jump is a jump."""
    assert page.evaluate(MOVING) == 0
    page.locator("#open-glossary").click()
    expect(page.locator("#h-glossary")).to_be_in_viewport(timeout=100)


def test_nothing_moves_for_who_wants_no_motion(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path, reduced_motion="reduce") as page:
        check_stillness(page)
