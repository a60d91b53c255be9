"""Where things are: on a phone's width and on a wide screen."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest
from checkpoints import write_checkpoint
from page_checks import CUT, PHONE, WIDE, check_overlaps, check_targets, check_width
from pages import Pages, choose, drawn
from playwright.sync_api import Browser, Page, expect

from minidistil import explain

KINDS = [
    "tiny",
    "padded",
    "five labels",
    "two masks",
    "question",
    "hostile",
    "hostile words",
    "long",
]


# How many lines each name of an answer takes.
LINES = """() => Array.from(document.querySelectorAll("#labels tbody bdi"), name =>
  [name.textContent, Math.round(name.getBoundingClientRect().height /
    parseFloat(getComputedStyle(name).lineHeight))])"""


def open_all(page: Page) -> None:
    page.evaluate(
        "() => { for (const each of document.querySelectorAll('details')) "
        "each.open = true }"
    )
    expect(page.locator(".attempts:not(:has(ol))")).to_have_count(0)


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", KINDS)
def test_the_page_fits_a_phone(chromium: Browser, pages: Pages, name: str) -> None:
    with drawn(chromium, pages[name].path, **PHONE) as page:
        check_width(page)
        check_overlaps(page)
        open_all(page)
        check_width(page)
        check_overlaps(page)


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", KINDS)
def test_the_page_fits_a_wide_screen(
    chromium: Browser, pages: Pages, name: str
) -> None:
    with drawn(chromium, pages[name].path, **WIDE) as page:
        check_width(page)
        open_all(page)
        check_width(page)
        check_overlaps(page)


@pytest.mark.sample(2)
@pytest.mark.parametrize("width", [320, 500, 768, 1024, 1200, 1920])
def test_the_page_fits_widths_in_between(
    chromium: Browser, pages: Pages, width: int
) -> None:
    look = {"viewport": {"width": width, "height": 900}}
    with drawn(chromium, pages["padded"].path, **look) as page:
        check_width(page)
        check_overlaps(page)


@pytest.mark.sample(3)
@pytest.mark.parametrize("width", [1257, 1280, 1366, 1440, 1920])
@pytest.mark.parametrize(
    "name",
    ["tiny", "two masks", "five labels", pytest.param("base", marks=pytest.mark.full)],
)
def test_no_table_is_cut_where_the_steps_stand_side_by_side(
    chromium: Browser, pages: Pages, name: str, width: int
) -> None:
    look = {"viewport": {"width": width, "height": 900}}
    with drawn(chromium, pages[name].path, **look) as page:
        open_all(page)
        sides = [step.bounding_box()["y"] for step in page.locator("main > *").all()]
        assert len({*sides}) == 1
        # A row for each of 32 tokens, and a column, are more than there is room for.
        assert {*page.evaluate(CUT)} <= ({"matrix"} if name == "base" else set())


def check_phone_tables(page: Page) -> None:
    """On a phone one scrolls to a matrix and to the numbers of a mix alone."""
    assert {*page.evaluate(CUT)} <= {"matrix", "mix", "ablated-heads"}


@pytest.mark.parametrize("name", ["tiny", "two masks", "five labels", "several labels"])
def test_the_answer_is_not_cut_on_a_phone(
    chromium: Browser, pages: Pages, name: str
) -> None:
    with drawn(chromium, pages[name].path, **PHONE) as page:
        check_phone_tables(page)


# Fonts differ in how wide a letter and a digit are: sans serif, serif, monospaced.
FONTS = {
    "DejaVu": ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono"),
    "Liberation": ("Liberation Sans", "Liberation Serif", "Liberation Mono"),
    "Noto": ("Noto Sans", "Noto Serif", "Noto Sans Mono"),
    # The browser's own choice, for a machine that has none of them.
    "unknown": ("No Such Sans", "No Such Serif", "No Such Mono"),
}
# Whatever the machine has, and wider than the fonts above.
WIDER = {
    "spaced": "*, *::after { letter-spacing: 0.06em }",
    "enlarged": "*, *::after { font-size-adjust: 0.6 }",
    "monospaced": ":root { --sans: var(--mono); --serif: var(--mono) }",
}


def style_of(font: str) -> str:
    """The rule that sets the page in a font; skips the test where it is missing."""
    if font in WIDER:
        return WIDER[font]
    sans, serif, mono = FONTS[font]
    listed = subprocess.run(
        ["fc-list", ":", "family"], capture_output=True, text=True, check=True
    )
    families = {name for line in listed.stdout.splitlines() for name in line.split(",")}
    if font != "unknown" and not families.issuperset(FONTS[font]):
        pytest.skip(f"the fonts {font} are not installed")
    return f':root {{ --sans: "{sans}"; --serif: "{serif}"; --mono: "{mono}" }}'


@pytest.mark.sample(4)
@pytest.mark.parametrize("font", [*FONTS, *WIDER])
@pytest.mark.parametrize(
    "name", ["tiny", "padded", "two masks", "five labels", "hostile words", "hostile"]
)
def test_a_phone_with_any_font_shows_tables_whole(
    chromium: Browser, pages: Pages, name: str, font: str
) -> None:
    # The page's own policy would refuse another style.
    with drawn(chromium, pages[name].path, **PHONE, bypass_csp=True) as page:
        page.add_style_tag(content=style_of(font))
        open_all(page)
        check_width(page)
        check_overlaps(page)
        check_phone_tables(page)


@pytest.mark.parametrize("look", [PHONE, WIDE], ids=["phone", "wide"])
def test_a_name_is_on_one_line_unless_it_is_long(
    chromium: Browser, tmp_path: Path, look: dict[str, Any]
) -> None:
    names = ["[unused422]", "NEGATIVE", "word " * 9, "long" * 30]
    folder = write_checkpoint(tmp_path, id2label=dict(enumerate(names)))
    path = explain("A film.", folder).save(tmp_path / "page.html")
    with drawn(chromium, path, **look) as page:
        lines = dict(page.evaluate(LINES))
        assert [lines[name] for name in names[:2]] == [1, 1]
        assert all(lines[name] > 2 for name in names[2:])
        assert "labels" not in page.evaluate(CUT)


def test_the_lines_of_code_that_are_few_stand_open_on_a_wide_screen(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["tiny"].path, **PHONE) as page:
        assert page.locator(".code[open]").count() == 0
    with drawn(chromium, pages["tiny"].path, **WIDE) as page:
        open_ones = page.locator(".code[open]")
        steps = open_ones.evaluate_all("all => all.map(x => x.dataset.code)")
        assert steps == ["embeddings", "attention", "classifier", "softmax"]
        for lines in open_ones.locator("pre").all():
            assert lines.evaluate("x => x.scrollWidth <= x.clientWidth")


def test_lines_of_code_stay_as_they_were_left(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path, **WIDE) as page:
        for step in ("embeddings", "ffn"):
            page.locator(f'[data-code="{step}"] summary').click()
        choose(page, query=3)
        expect(page.locator('[data-code="embeddings"] pre')).to_be_hidden()
        expect(page.locator('[data-code="ffn"] pre')).to_be_visible()


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["tiny", "padded", "two masks"])
def test_a_thumb_can_hit_every_control(
    chromium: Browser, pages: Pages, name: str
) -> None:
    with drawn(chromium, pages[name].path, **PHONE, has_touch=True) as page:
        check_targets(page)


def test_a_tap_on_a_token_changes_the_scores(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path, **PHONE, has_touch=True) as page:
        page.locator('#tokens [data-query="4"]').tap()
        expect(page.locator("#summary")).to_contain_text(": “so” attends most to")


def test_the_three_steps_stand_from_left_to_right(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["tiny"].path, **WIDE) as page:
        boxes = [step.bounding_box() for step in page.locator("main > section").all()]
        for left, right in itertools.pairwise(boxes):
            assert left["x"] + left["width"] <= right["x"] + 1
            assert left["y"] == right["y"]


def test_on_a_phone_the_three_steps_stand_below_each_other(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["tiny"].path, **PHONE) as page:
        boxes = [step.bounding_box() for step in page.locator("main > section").all()]
        for upper, lower in itertools.pairwise(boxes):
            assert upper["y"] + upper["height"] <= lower["y"] + 1


def test_a_chosen_token_comes_into_sight(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["long"].path, **PHONE) as page:
        choose(page, query=300)
        page.locator("#tokens").scroll_into_view_if_needed()
        expect(page.locator('#tokens [data-query="300"]')).to_be_in_viewport()
