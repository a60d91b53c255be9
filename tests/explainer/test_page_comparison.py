"""Several texts side by side, and the mask at work where they were padded."""

from __future__ import annotations

from pages import SENTENCES, Pages, choose, drawn, rows, texts
from playwright.sync_api import Browser, Page, expect


def test_each_text_has_a_card_with_its_answer(chromium: Browser, pages: Pages) -> None:
    shown = pages["side by side"]
    with drawn(chromium, shown.path) as page:
        for i, (trace, sentence) in enumerate(
            zip(shown.traces, SENTENCES, strict=True)
        ):
            first, label = (f"\u2068{text}\u2069" for text in (sentence, trace.label))
            name = f"Text {i + 1}: {first}, {label}"
            expect(page.get_by_role("radio", name=name, exact=True)).to_be_visible()
        for trace, said in zip(
            shown.traces, texts(page, "#compare .said"), strict=True
        ):
            probability = float(trace.answer[trace.target])
            assert said.startswith(f"{trace.label} {probability:.4f}")
            assert f"{len(trace.tokens)} tokens" in said


def test_the_cards_stand_side_by_side(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["side by side"].path) as page:
        left, right = (card.bounding_box() for card in page.locator(".cards > *").all())
        assert left["y"] == right["y"]
        assert left["x"] + left["width"] <= right["x"]


def test_choosing_a_text_shows_its_walk(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["side by side"].path) as page:
        for i, sentence in enumerate(SENTENCES):
            page.locator("#compare [role=radio]").nth(i).click()
            assert page.inner_text("#sentence") == sentence
            assert texts(page, "#text .raw") == [sentence]
            assert sentence in page.title()
            expect(page.locator(f'#compare [data-trace="{i}"]')).to_have_attribute(
                "aria-checked", "true"
            )


def test_one_text_alone_has_no_cards(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        assert page.locator("#compare").is_hidden()


def check_padding(page: Page, kept: int, tokens: int) -> None:
    """Padding gets a score of minus infinity and a weight of 0, and is said to."""
    assert f"{tokens - kept} padding tokens" in page.inner_text("#notices")
    for query in (0, 2, tokens - 1):
        choose(page, layer=1, head=3, query=query)
        for name, product, score, power, weight, _ in rows(
            page, "#scores tr[data-key]"
        )[kept:]:
            assert (name, score, power, weight) == (
                "[PAD]",
                "\u2212∞",
                "0.0000",
                "0.0000",
            )
            # What was there before the mask came.
            assert product not in ("0.0000", "\u2212∞")
        hidden = rows(page, "#matrix tbody tr")[query][1 + kept :]
        assert hidden == [".00"] * (tokens - kept)


def test_the_mask_is_seen_at_work_on_padding(chromium: Browser, pages: Pages) -> None:
    shown = pages["padded"]
    short, long = shown.traces
    kept = sum(token.attend for token in short.tokens)
    assert kept < len(short.tokens) == len(long.tokens)
    with drawn(chromium, shown.path) as page:
        check_padding(page, kept, len(short.tokens))
        assert page.locator('[data-code="mask"]').count() == 1
        choose(page, trace=1)
        assert page.inner_text("#notices") == ""


def test_nothing_is_masked_without_padding(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["side by side"].path) as page:
        assert page.locator("#matrix .masked").count() == 0
        assert not [row for row in rows(page, "#scores tr[data-key]") if "∞" in row[2]]


def test_a_view_that_the_other_text_has_not_is_drawn_as_near_as_can_be(
    chromium: Browser, pages: Pages
) -> None:
    first, second = pages["side by side"].traces
    with drawn(chromium, pages["side by side"].path) as page:
        choose(page, trace=1, query=len(second.tokens) - 1)
        choose(page, trace=0)
        last = f'#tokens [data-query="{len(first.tokens) - 1}"]'
        expect(page.locator(last)).to_have_attribute("aria-checked", "true")
