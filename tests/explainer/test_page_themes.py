"""Dark, light, on paper, without motion: the page can be read in each."""

from __future__ import annotations

from typing import Any

import pytest
from pages import Pages, drawn
from playwright.sync_api import Browser, Page, expect

KINDS = ["tiny", "padded", "two masks", "long"]

# WCAG 2.2, 1.4.3: the contrast of each text with each colour that is painted right
# behind it, stops of gradients included, from the colours that the browser computed.
CONTRASTS = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = text => {
    if (!known.has(text)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = text;
      context.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
      known.set(text, [r, g, b, a / 255]);
    }
    return known.get(text);
  };
  const over = (top, under) =>
    [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const luminance = colour => {
    const [r, g, b] = colour.map(x => x / 255)
      .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const COLOUR = /(?:rgba?|color)\\([^()]*\\)|transparent/g;
  const behind = node => {           // every colour that may be behind a node
    if (!node) return [rgba("Canvas")];
    const style = getComputedStyle(node);
    const own = rgba(style.backgroundColor);
    const stops = style.backgroundImage.match(COLOUR) || [];
    const under = own[3] === 1 ? [own]
      : behind(node.parentElement).map(x => over(own, x));
    return stops.length
      ? under.flatMap(x => stops.map(stop => over(rgba(stop), x)))
      : under;
  };
  const unseen = node => node.closest(".unseen, script, style, noscript");
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || unseen(node)) continue;
    if (!node.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(node);
    const size = parseFloat(style.fontSize);
    if (!size) continue;
    let grounds = behind(node), ink = style.color;
    if (node instanceof SVGElement) {
      ink = style.fill;
      const box = node.parentElement.querySelector("rect");
      const fill = box ? rgba(getComputedStyle(box).fill) : [0, 0, 0, 0];
      grounds = behind(node.ownerSVGElement).map(x => over(fill, x));
    }
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const worst = Math.min(...grounds.map(x => ratio(over(rgba(ink), x), x)));
    found.push({ text: walker.currentNode.data.trim().slice(0, 40), worst,
      enough: worst >= (large ? 3 : 4.5), where: node.outerHTML.slice(0, 160) });
  }
  return found;
}"""

# The brightest that is painted behind anything, and the ground of the page itself.
GROUNDS = """() => {
  const bright = text => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d");
    context.fillStyle = text;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return a < 128 ? null : (r + g + b) / 765;
  };
  const of = node => bright(getComputedStyle(node).backgroundColor);
  return {
    page: of(document.body),
    all: Array.from(document.body.querySelectorAll("*"), of).filter(x => x !== null),
  };
}"""


def settled(page: Page, script: str) -> Any:
    """What a script finds once no colour is on its way to another.

    Colours change over a moment, also those of a page that was just drawn, and the
    last ones are there a frame after their transition has ended.
    """
    page.evaluate(
        """async () => {
          const frame = () => new Promise(requestAnimationFrame);
          for (let still = 0; still < 2; still++) {
            const moving = document.getAnimations().map(x => x.finished);
            if (moving.length) still = 0;
            await Promise.allSettled(moving);
            await frame();
          }
        }"""
    )
    return page.evaluate(script)


def check_contrast(page: Page) -> None:
    page.evaluate(
        "() => { for (const each of document.querySelectorAll('details')) "
        "each.open = true }"
    )
    expect(page.locator(".attempts:not(:has(ol))")).to_have_count(0)
    found: list[dict[str, Any]] = settled(page, CONTRASTS)
    assert len(found) > 300
    poor = [text for text in found if not text["enough"]]
    assert not poor, f"{len(poor)} of {len(found)}: {poor[:5]}"


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


def check_dark(page: Page) -> None:
    """Nothing is left white on a dark page."""
    grounds = settled(page, GROUNDS)
    assert grounds["page"] < 0.2
    # The lightest is the accent, behind what is chosen.
    assert max(grounds["all"]) < 0.85


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


MOVING = """() => Array.from(document.querySelectorAll("*")).filter(node => {
  const style = getComputedStyle(node);
  const moves = style.transitionDuration.split(", ").some(x => parseFloat(x) > 0);
  return moves || style.animationName !== "none" || style.scrollBehavior === "smooth";
}).length"""


def check_stillness(page: Page) -> None:
    """No transition and no animation; a jump is a jump."""
    assert page.evaluate(MOVING) == 0
    page.locator("#open-glossary").click()
    expect(page.locator("#h-glossary")).to_be_in_viewport(timeout=100)


def test_nothing_moves_for_who_wants_no_motion(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path, reduced_motion="reduce") as page:
        check_stillness(page)
