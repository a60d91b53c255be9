"""The tests of the page can fail: each broken copy of a page is caught by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from page_checks import (
    PHONE,
    check_dark,
    check_focus_is_seen,
    check_headings,
    check_landmarks,
    check_nothing_ran,
    check_overlaps,
    check_targets,
    check_walk,
    check_width,
)
from pages import Pages, Shown, broken, drawn
from playwright.sync_api import Browser, Page
from test_page_comparison import check_padding
from test_page_keyboard import check_arrows
from test_page_layout import check_phone_tables
from test_page_numbers import (
    check_ablations,
    check_attribution,
    check_classifier,
    check_lens,
    check_masks,
    check_matrix,
    check_norms,
    check_pieces,
    check_rest,
    check_scores,
    check_strips,
)
from test_page_reader import check_names, check_said
from test_page_text import check_texts
from test_page_themes import check_contrast, check_paper, check_stillness
from test_page_views import check_click, check_not_shown

Check = Callable[[Page, Shown], None]


def numbers(check: Callable[[Page, Any], None]) -> Check:
    """A check of a page beside its trace."""
    return lambda page, shown: check(page, shown.trace)


def alone(check: Callable[..., None], *arguments: Any) -> Check:
    """A check of a page by itself."""
    return lambda page, _: check(page, *arguments)


@dataclass(frozen=True)
class Mutation:
    """One way to break a page: replace a text that occurs once in it."""

    name: str
    old: str
    new: str
    check: Check
    page: str = "tiny"
    look: dict[str, Any] = field(default_factory=dict)


DARK = {"color_scheme": "dark"}
MUTATIONS = [
    Mutation(
        "scores are not scaled",
        "Math.fround(product * scale)",
        "Math.fround(product)",
        numbers(check_scores),
    ),
    Mutation(
        "a minus is dropped",
        'return (x < 0 && Number(text) !== 0 ? MINUS : "") + text;',
        "return text;",
        numbers(check_rest),
    ),
    Mutation(
        "numbers are cut, not rounded",
        "const text = Math.abs(x).toFixed(digits);",
        "const text = (Math.floor(Math.abs(x) * 10 ** digits) / 10 ** digits)"
        ".toFixed(digits);",
        numbers(check_classifier),
    ),
    Mutation(
        "the head is that of another layer",
        "const packed = t.layers[layer];",
        "const packed = t.layers[0];",
        numbers(check_scores),
    ),
    Mutation(
        "queries and keys change places",
        'const row = found.row(query);\n    return el("tr"',
        'const row = found.row(T - 1 - query);\n    return el("tr"',
        numbers(check_matrix),
    ),
    Mutation(
        "lengths of another layer",
        "const x = norms[l * T + i];",
        "const x = norms[(L - l) * T + i];",
        numbers(check_norms),
    ),
    Mutation(
        "ids of the wrong tokens",
        'el("td", { class: "n" }, id[i]),',
        'el("td", { class: "n" }, id[0]),',
        numbers(check_pieces),
    ),
    Mutation(
        "each value is as vivid as it can be",
        "share(weight * scale(packed.v, key))",
        "1",
        numbers(check_strips),
    ),
    Mutation(
        "the mix is on a scale of its own",
        "share(scale(packed.mixed, state.query))",
        "share(most / 2)",
        numbers(check_strips),
    ),
    Mutation(
        "the top stays with the first mask",
        'part("path", ["trace", "mask"]',
        'part("path", ["trace"]',
        numbers(check_masks),
        page="two masks",
    ),
    Mutation(
        "layers are coloured on another scale than heads",
        "look(inTokens[i])",
        "look(inTokens[i] / 2)",
        numbers(check_ablations),
    ),
    Mutation(
        "the lens of another label",
        "number(logits[l * N + t.target])",
        "number(logits[l * N])",
        numbers(check_lens),
        page="five labels",
    ),
    Mutation(
        "the baseline is the text itself",
        "number(found.baseline)",
        "number(found.logit)",
        numbers(check_attribution),
        page="five labels",
    ),
    Mutation(
        "heads and layers change places",
        "inHeads[l * H + h]",
        "inHeads[h * L + l]",
        numbers(check_ablations),
        page="tiny",
    ),
    Mutation(
        "a click does nothing",
        "if (!changed.length) return;",
        "return;",
        alone(check_click),
    ),
    Mutation(
        "padding is not masked",
        ": -Infinity;",
        ": 0;",
        lambda page, shown: check_padding(
            page,
            sum(token.attend for token in shown.trace.tokens),
            len(shown.trace.tokens),
        ),
        page="padded",
    ),
    Mutation(
        "nothing says what is not shown",
        "if (t.not_shown) said.push",
        "if (false) said.push",
        alone(check_not_shown, "qa_outputs"),
        page="question",
    ),
    Mutation(
        "a group has as many stops as buttons",
        "node.tabIndex = on ? 0 : -1;",
        "node.tabIndex = on ? 1 : -1;",
        alone(check_walk),
    ),
    Mutation(
        "arrows do nothing",
        "choose({ [name]: to });",
        "",
        alone(check_arrows, "layers", {"ArrowRight": 1}),
    ),
    Mutation(
        "the focus is not seen",
        ":focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }",
        ":focus-visible { outline: none; }",
        alone(check_focus_is_seen),
    ),
    Mutation(
        "nothing is said",
        'if (speak) at("live")',
        'if (false) at("live")',
        alone(check_said),
    ),
    Mutation(
        "a heading skips a level",
        'return [el("h3", {}, title), el("p", { class: "what" }',
        'return [el("h5", {}, title), el("p", { class: "what" }',
        alone(check_headings),
    ),
    Mutation(
        "a button has no name",
        '<button type="button" id="open-glossary">Glossary</button>',
        '<button type="button" id="open-glossary"></button>',
        alone(check_names),
    ),
    Mutation(
        "there is no main part",
        '<main id="main" tabindex="-1">',
        '<main id="main" tabindex="-1" role="group">',
        alone(check_landmarks, ()),
    ),
    Mutation(
        "the title is markup",
        'const bdi = (text) => el("bdi", {}, shown(text));',
        'const bdi = (text) => { const x = el("bdi", {}); x.innerHTML = text; '
        "return x; };",
        alone(check_texts),
        page="hostile",
    ),
    Mutation(
        "the text is markup",
        'part("about"',
        'at("about").insertAdjacentHTML("beforebegin", trace().model.name);\n'
        'part("about"',
        alone(check_nothing_ran),
        page="hostile",
    ),
    Mutation(
        "a table is wider than a phone",
        ".scroll { overflow-x: auto;",
        ".scroll { overflow-x: visible;",
        alone(check_width),
        page="padded",
        look=PHONE,
    ),
    Mutation(
        "the answer is cut on a phone",
        "#labels { font-size: 0.75rem; }",
        "#labels { font-size: 2.4rem; }",
        alone(check_phone_tables),
        look=PHONE,
    ),
    Mutation(
        "lines lie over each other",
        "font: 0.875rem/1.5 var(--sans);",
        "font: 0.875rem/0.5 var(--sans);",
        alone(check_overlaps),
        look=PHONE,
    ),
    Mutation(
        "buttons are for mice",
        ".segments button { min-width: 2rem; }",
        ".segments { gap: 0 !important } "
        ".segments button { font-size: 6px; padding: 0 !important; }",
        alone(check_targets),
        look=PHONE,
    ),
    Mutation(
        "quiet is too quiet",
        "--ink: #20242a; --quiet: #5a626c;",
        "--ink: #20242a; --quiet: #9aa2ac;",
        alone(check_contrast),
    ),
    Mutation(
        "a table stays white in the dark",
        "table { border-collapse: collapse;",
        "table { background: #fff; border-collapse: collapse;",
        alone(check_dark),
        look=DARK,
    ),
    Mutation(
        "paper is dark",
        'addEventListener("beforeprint"',
        'addEventListener("beforeprinting"',
        alone(check_paper),
    ),
    Mutation(
        "everything moves",
        "@media (prefers-reduced-motion: no-preference) {",
        "@media all {",
        alone(check_stillness),
        look={"reduced_motion": "reduce"},
    ),
]


@pytest.mark.sample(9)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_page_is_caught(
    chromium: Browser, pages: Pages, mutation: Mutation
) -> None:
    copy = broken(pages[mutation.page], mutation.old, mutation.new)
    with (
        pytest.raises(AssertionError),
        drawn(chromium, copy.path, **mutation.look) as page,
    ):
        mutation.check(page, copy)
