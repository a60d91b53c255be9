"""Text is data: it is shown as itself, wherever it stands, and none of it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_checks import check_nothing_ran, check_width, seen
from pages import HOSTILE, MARKUP, TOKENS, Pages, data_of, drawn, texts
from playwright.sync_api import Browser, Page

from minidistil import explain

# What isolates a text within a line where there can be no element.
ISOLATED = "\u2068\u2069"
NAMES = {i: f"{text} {HOSTILE}" for i, text in enumerate(MARKUP)}


def check_texts(page: Page) -> None:
    """The text, the model's name and the labels' names are what they are."""
    assert texts(page, "#text .raw") == [seen(HOSTILE)]
    assert texts(page, "#model-name") == [seen(HOSTILE)]
    assert texts(page, "#labels tbody th") == [seen(name) for name in NAMES.values()]
    start = page.text_content("#sentence") or ""
    assert start.endswith("…")
    assert seen(HOSTILE).startswith(start.removesuffix("…"))
    assert len(start) > 100
    label = page.text_content("#label")
    assert label in [seen(name) for name in NAMES.values()]


def test_hostile_text_and_names_show_as_themselves(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["hostile"].path) as page:
        check_texts(page)
        check_nothing_ran(page)


def test_the_title_is_the_beginning_of_the_text(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["hostile"].path) as page:
        text, _, name = page.title().rpartition(" · ")
        assert name == "minidistil"
        assert len(text) > 20
        assert text[0] + text[-1] == ISOLATED
        assert seen(HOSTILE).startswith(text[1:-1])


def check_words(page: Page) -> None:
    """All the guessed words are hostile, and each is what it is."""
    guessed = texts(page, "#labels tbody th")
    assert len({*guessed}) == 10
    assert {*guessed} < {seen(token) for token in TOKENS}
    assert page.text_content("#label") == guessed[0]


def test_hostile_words_of_a_vocabulary_show_as_themselves(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["hostile words"].path) as page:
        check_words(page)
        check_nothing_ran(page)


def test_the_data_is_the_text_to_the_last_character(pages: Pages) -> None:
    (trace,) = data_of(pages["hostile"])["traces"]
    assert trace["readings"][0]["raw"] == HOSTILE
    assert trace["model"]["name"] == HOSTILE
    assert trace["head"]["labels"] == [*NAMES.values()]


def test_the_attribution_shows_every_character_of_the_text(
    chromium: Browser, tmp_path: Path
) -> None:
    text = f"  {MARKUP[0]} \0 \u202eevil\u202c 😀 e\u0301 &amp; the  end. "
    path = explain(text, "tiny").save(tmp_path / "page.html")
    with drawn(chromium, path) as page:
        shown = page.evaluate(
            "() => Array.from(document.querySelectorAll('#attribution .attributed'), "
            "x => { const copy = x.cloneNode(true); "
            "for (const extra of copy.querySelectorAll('small, .unseen')) "
            "extra.remove(); return copy.textContent; })"
        )
        assert shown == [seen(text)]
        check_nothing_ran(page)


def test_what_writes_from_right_to_left_turns_nothing_else_round(
    chromium: Browser, pages: Pages
) -> None:
    """Wherever the text stands within a line, that line is isolated from it."""
    turning = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"
    with drawn(chromium, pages["hostile"].path) as page:
        bare = page.evaluate(
            """turning => {
              const all = NodeFilter.SHOW_TEXT;
              const walker = document.createTreeWalker(document.body, all);
              const found = [];
              while (walker.nextNode()) {
                const parent = walker.currentNode.parentElement;
                if (parent.closest("script, style, svg")) continue;
                const apart = /\u2068[^\u2066-\u2069]*\u2069/g;
                const text = [...walker.currentNode.data.replace(apart, "")];
                if (!text.some(x => turning.includes(x))) continue;
                const isolated = parent.closest("bdi, [dir=auto], #live");
                if (!isolated) found.push(parent.outerHTML.slice(0, 200));
              }
              return found;
            }""",
            turning,
        )
        assert bare == []


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("   ", "   "),
        ("\n\n\t", "\n\n\t"),
        ("\0", "\N{SYMBOL FOR NULL}"),
        ("\u0301", "\u0301"),
        ("a" * 20_000, "a" * 20_000),
        ("😀" * 60, "😀" * 60),
    ],
    ids=["nothing", "spaces", "lines", "nul", "mark", "one long word", "emoji"],
)
def test_a_text_of_a_strange_kind_makes_a_page(
    chromium: Browser, tmp_path: Path, text: str, shown: str
) -> None:
    path = explain(text, "tiny").save(tmp_path / "page.html")
    look = {"viewport": {"width": 360, "height": 740}}
    with drawn(chromium, path, **look) as page:
        assert texts(page, "#text .raw") == [shown]
        assert "\ufffd" not in page.title()
        assert page.title().encode("utf-8")
        check_width(page)
