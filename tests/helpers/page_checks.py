"""What holds of every page, whatever it shows: its layout, themes, keyboard, texts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from playwright.sync_api import Page

# Layout

PHONE = {"viewport": {"width": 360, "height": 740}}

WIDE = {"viewport": {"width": 1440, "height": 900}}

# What sticks out of the window, unless it can be scrolled to.
BEYOND = """() => {
  const found = [];
  const right = document.documentElement.clientWidth;
  for (const node of document.body.querySelectorAll("*")) {
    if (!node.checkVisibility({ visibilityProperty: true })) continue;
    if (node.closest(".unseen, .skip, dialog:not([open])")) continue;
    const box = node.getBoundingClientRect();
    if (!box.width || (box.right <= right + 1 && box.left >= -1)) continue;
    let inside = node.parentElement;
    while (inside && getComputedStyle(inside).overflowX === "visible") {
      inside = inside.parentElement;
    }
    const whole = [null, document.body, document.documentElement];
    if (!whole.includes(inside)) continue;
    found.push([node.outerHTML.slice(0, 120), box.left, box.right]);
  }
  return found;
}"""

# Pieces of text that lie over each other, as far as they can be seen.
OVERLAPS = """() => {
  // What is out of sight is not laid out until it is looked at.
  for (const each of document.querySelectorAll("section *")) {
    if (getComputedStyle(each).contentVisibility === "auto") {
      each.style.contentVisibility = "visible";
    }
  }
  const clip = (box, node) => {
    let { left, top, right, bottom } = box;
    for (let at = node; at && at !== document.body; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const edge = at.getBoundingClientRect();
      left = Math.max(left, edge.left); right = Math.min(right, edge.right);
      top = Math.max(top, edge.top); bottom = Math.min(bottom, edge.bottom);
    }
    return { left, top, right, bottom };
  };
  const pieces = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim()) continue;
    if (node.closest(".unseen, .skip, script")) continue;
    if (!node.checkVisibility({ visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    for (const line of range.getClientRects()) {
      const box = clip(line, node);
      if (box.right - box.left < 2 || box.bottom - box.top < 2) continue;
      pieces.push({ node, box, text: walker.currentNode.data.trim().slice(0, 40) });
    }
  }
  pieces.sort((a, b) => a.box.top - b.box.top);
  const found = [];
  pieces.forEach((one, i) => {
    for (let j = i + 1; j < pieces.length; j++) {
      const other = pieces[j];
      if (other.box.top >= one.box.bottom) break;
      if (one.node === other.node) continue;
      const wide = Math.min(one.box.right, other.box.right) -
        Math.max(one.box.left, other.box.left);
      const high = Math.min(one.box.bottom, other.box.bottom) - other.box.top;
      // The boxes of lines are higher than the letters.
      const least = Math.min(...[one, other].map(x => x.box.bottom - x.box.top));
      if (wide > 2 && high > 0.4 * least) {
        found.push([one.text, other.text, Math.round(wide), Math.round(high)]);
      }
    }
  });
  return found;
}"""

# WCAG 2.2, 2.5.8: 24 by 24 pixels, or a circle of that size around it that touches no
# other target; links within a sentence are free.
SMALL_TARGETS = """() => {
  const targets = Array.from(document.querySelectorAll("button, a[href], summary"))
    .filter(node => node.checkVisibility({ visibilityProperty: true }))
    .filter(node => !node.closest(".skip, p"))
    .map(node => ({ node, box: node.getBoundingClientRect() }));
  const small = ({ box }) => box.width < 23.9 || box.height < 23.9;
  const middle = ({ box }) => [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  const distance = ([x, y], box) => Math.hypot(
    Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
  return targets.filter(small).filter(one => targets.some(other => {
    if (other === one) return false;
    if (distance(middle(one), other.box) < 11.5) return true;
    const [x, y] = middle(one), [u, v] = middle(other);
    return small(other) && Math.hypot(x - u, y - v) < 23.5;
  })).map(({ node, box }) => [node.outerHTML.slice(0, 100), box.width, box.height]);
}"""

# Tables that are wider than their place, by their name or that of their part.
CUT = """() => Array.from(document.querySelectorAll(".scroll"))
  .filter(box => box.scrollWidth > box.clientWidth + 1)
  .map(box => box.querySelector("table").id || box.closest("[id]").id)"""


def check_width(page: Page) -> None:
    """Nothing makes the page wider than the window, nor is anything cut off."""
    wide, window = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= window
    assert page.evaluate(BEYOND) == []


def check_overlaps(page: Page) -> None:
    found: list[Any] = page.evaluate(OVERLAPS)
    assert found == [], f"{len(found)}: {found[:5]}"


def check_targets(page: Page) -> None:
    found: list[Any] = page.evaluate(SMALL_TARGETS)
    assert found == [], f"{len(found)}: {found[:5]}"


# Themes

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


MOVING = """() => Array.from(document.querySelectorAll("*")).filter(node => {
  const style = getComputedStyle(node);
  const moves = style.transitionDuration.split(", ").some(x => parseFloat(x) > 0);
  return moves || style.animationName !== "none" || style.scrollBehavior === "smooth";
}).length"""


def check_text_stands_out(page: Page, least: int) -> None:
    """All texts that are seen, of which there are more than ``least``."""
    found: list[dict[str, Any]] = settled(page, CONTRASTS)
    assert len(found) > least
    poor = [text for text in found if not text["enough"]]
    assert not poor, f"{len(poor)} of {len(found)}: {poor[:5]}"


def check_dark(page: Page) -> None:
    """Nothing is left white on a dark page."""
    grounds = settled(page, GROUNDS)
    assert grounds["page"] < 0.2
    # The lightest is the accent, behind what is chosen.
    assert max(grounds["all"], default=0) < 0.85


# Keyboard

# Everything that Tab should stop at, with its place in the document as its name.
STOPS = """() => {
  const all = Array.from(document.querySelectorAll("*"));
  return all.map((node, i) => [node, i]).filter(([node]) =>
    node.matches("a[href], button, summary, [tabindex]") && node.tabIndex >= 0 &&
    node.checkVisibility({ visibilityProperty: true })
  ).map(([node, i]) => i);
}"""

FOCUSED = """() => {
  const node = document.activeElement;
  if (!node || node === document.body) return null;
  const style = getComputedStyle(node), box = node.getBoundingClientRect();
  const x = box.left + box.width / 2, y = box.top + Math.min(box.height / 2, 10);
  const top = document.elementFromPoint(x, y);
  return {
    place: Array.from(document.querySelectorAll("*")).indexOf(node),
    what: node.outerHTML.slice(0, 120),
    outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    hidden: !(top && (node.contains(top) || top.contains(node))),
  };
}"""

TOO_MANY = 1000


def walk(page: Page, key: str) -> list[dict[str, object]]:
    """What has the focus after each press of a key, until it leaves the page."""
    stops: list[dict[str, object]] = []
    while len(stops) < TOO_MANY:
        page.keyboard.press(key)
        stop = page.evaluate(FOCUSED)
        if stop is None or (stops and stop["place"] == stops[0]["place"]):
            return stops
        stops.append(stop)
    raise AssertionError("Tab goes on for ever")


def check_walk(page: Page) -> None:
    """Tab stops at everything, in the order of the document."""
    expected = page.evaluate(STOPS)
    assert [stop["place"] for stop in walk(page, "Tab")] == expected


def check_focus_is_seen(page: Page) -> None:
    """What has the focus has an outline, and nothing lies over it, both ways."""
    for key in ("Tab", "Shift+Tab"):
        for stop in walk(page, key):
            assert stop["outline"] >= 2, stop["what"]
            assert not stop["hidden"], f"{key}: something lies over {stop['what']}"


# Screen readers

CONTROLS = {"button", "link", "radio", "DisclosureTriangle", "textbox", "checkbox"}

PICTURES = {"image", "img", "graphics-document", "Canvas", "SvgRoot"}

Node = dict[str, Any]


def tree(page: Page) -> list[Node]:
    """The nodes that a screen reader meets, in order."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    return [
        {
            "role": node["role"]["value"],
            "name": node.get("name", {}).get("value", ""),
            **{x["name"]: x["value"].get("value") for x in node.get("properties", [])},
        }
        for node in nodes
        if not node["ignored"]
    ]


def check_headings(page: Page) -> None:
    """One heading of level 1, and no level is left out on the way down."""
    levels = [node["level"] for node in tree(page) if node["role"] == "heading"]
    assert levels.count(1) == 1
    assert levels[0] == 1
    for before, after in itertools.pairwise(levels):
        assert after <= before + 1, levels


def check_all_are_named(page: Page) -> None:
    """Every control and every picture says what it is."""
    for node in tree(page):
        if node["role"] in CONTROLS | PICTURES | {"radiogroup", "region", "dialog"}:
            assert node["name"].strip(), node
        if node.get("focusable") and node["role"] != "RootWebArea":
            assert node["name"].strip() or node["role"] == "main", node


def check_landmarks(page: Page, regions: Sequence[str]) -> None:
    """The parts of the page, each once, and those of one kind told apart."""
    nodes = tree(page)
    for role in ("banner", "main", "navigation", "contentinfo"):
        assert sum(node["role"] == role for node in nodes) == 1, role
    names = [node["name"] for node in nodes if node["role"] == "region"]
    assert len({*names}) == len(names), names
    for region in regions:
        assert any(region in name for name in names), names


# Texts

# Control characters have pictures of their own, but not what breaks a line.
CONTROL_PICTURES = {
    **{n: 0x2400 + n for n in range(32) if chr(n) not in "\t\n\r"},
    0x7F: 0x2421,
}


def seen(text: str) -> str:
    """How the page shows a text."""
    return text.translate(CONTROL_PICTURES)


def check_nothing_ran(page: Page) -> None:
    assert page.evaluate("window.ran") is None
    assert page.locator("img, iframe, object, embed, link[href^=http]").count() == 0
    assert page.locator("script").count() == 2
