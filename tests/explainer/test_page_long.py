"""Long texts and large models: the page opens at once and is small."""

from __future__ import annotations

from pathlib import Path

from browser import opened
from pages import MINUS, Pages, assert_reads, choose, drawn, numbers_in, rows
from playwright.sync_api import Browser, Page

# From the beginning of the navigation until the page is ready and has been painted.
WATCH = """new MutationObserver((_, watch) => {
  const root = document.documentElement;
  if (!root || !("ready" in root.dataset)) return;
  watch.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.opened = performance.now(); }));
}).observe(document, { subtree: true, attributes: true })"""


def seconds_to_open(running: Browser, path: Path) -> float:
    """The least of a few, so that a busy moment of the machine does not count."""
    times = []
    for _ in range(3):
        context = running.new_context(offline=True)
        try:
            context.add_init_script(WATCH)
            page = context.new_page()
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]", state="attached")
            while (opened_at := page.evaluate("window.opened")) is None:
                page.wait_for_timeout(10)
            times.append(opened_at / 1000)
        finally:
            context.close()
        if times[-1] < 2:
            break
    return min(times)


def test_a_long_text_opens_in_two_seconds(chromium: Browser, pages: Pages) -> None:
    shown = pages["long"]
    assert len(shown.trace.tokens) == 512
    assert seconds_to_open(chromium, shown.path) < 2


def check_left_out(page: Page, left_out: int) -> None:
    """What a long text's page leaves out is said, beside what it does not fit."""
    said = page.inner_text("#notices")
    for words in (
        "This text has 512 tokens",
        "strongest keys",
        "numbers of q, k, v and mixed are left out",
        "Attributions",
        "Ablations",
        "--patient, or patient=True in Python",
    ):
        assert words in said, words
    room = page.inner_text("#text .left-out")
    assert f"The last {left_out} tokens of the text do not fit" in room


def test_a_long_text_says_what_it_left_out(chromium: Browser, pages: Pages) -> None:
    (reading,) = pages["long"].trace.readings
    with drawn(chromium, pages["long"].path) as page:
        check_left_out(page, reading.left_out)
        assert page.locator("#attribution > *, #ablations > *").count() == 0


def check_strongest(page: Page, block, head: int, query: int) -> None:
    """The strongest keys have the trace's numbers, and the rest the rest."""
    scores, weights = block.scores[head, query], block.weights[head, query]
    *found, others = rows(page, "#scores tbody tr")
    best = weights.topk(len(found))
    for row, weight, key in zip(found, *best, strict=True):
        _, product, score, power, written = row
        assert_reads(product, block.products[head, query, key])
        assert_reads(score, scores[key])
        assert_reads(power, (scores[key] - scores.max()).exp(), within=1e-6)
        assert_reads(written, weight, within=1e-6)
    assert others[0] == f"{len(weights) - len(found)} others"
    assert_reads(others[-1], 1 - best.values.double().sum(), within=1e-5)


def test_the_strongest_keys_of_a_long_text_have_the_numbers_of_the_trace(
    chromium: Browser, pages: Pages
) -> None:
    trace = pages["long"].trace
    with drawn(chromium, pages["long"].path) as page:
        for layer, head, query in ((0, 0, 1), (3, 5, 300), (5, 7, 511)):
            choose(page, layer=layer, head=head, query=query)
            check_strongest(page, trace.layer[layer], head, query)


def test_a_click_on_a_row_of_the_large_matrix_chooses_its_token(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["long"].path) as page:
        box = page.locator("canvas#matrix").bounding_box()
        at = {"x": box["width"] / 3, "y": box["height"] * 200.5 / 512}
        page.locator("canvas#matrix").click(position=at)
        number = page.get_attribute("#tokens [aria-checked=true]", "data-query")
        assert abs(int(number or 0) - 200) <= 1


def test_a_base_model_makes_a_small_page(pages: Pages) -> None:
    assert len(pages["base"].trace.tokens) == 32
    assert pages["base"].path.stat().st_size < 1_500_000


def test_the_page_of_a_base_model_opens_in_two_seconds(
    chromium: Browser, pages: Pages
) -> None:
    assert seconds_to_open(chromium, pages["base"].path) < 2
    with opened(chromium, pages["base"].path) as page:
        assert page.locator("#heads [role=radio]").count() == 12
        assert page.locator("#layers [role=radio]").count() == 6
        logits = page.locator("#labels [data-logit]").all_text_contents()
        for text, logit in zip(logits, pages["base"].trace.head.logits, strict=True):
            assert_reads(text, logit)
            assert numbers_in(text.lstrip(MINUS))
