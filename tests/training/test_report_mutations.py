"""The tests of a report's page can fail: each broken copy is caught by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from page_checks import PHONE, check_width
from pages import broken, drawn
from playwright.sync_api import Browser, Page
from reports import Report, Reports
from test_report_look import check_cursor, check_curves_are_reached
from test_report_page import (
    check_answers,
    check_curves,
    check_evaluations,
    check_lines,
    check_odd,
    check_recipe,
    check_sides,
    check_texts,
)


class Break(NamedTuple):
    """One way to break a page: replace a text that occurs once in it."""

    kind: str
    old: str
    new: str
    check: Callable[[Page, Report], None]
    look: Mapping[str, Any] = MappingProxyType({})


BREAKS = {
    "the line is upside down": Break(
        "distilled",
        "1000 - 1000 * y(each)",
        "1000 * y(each)",
        check_lines,
    ),
    "numbers of the line before": Break(
        "distilled",
        "what.textContent = figure(values[i]);",
        "what.textContent = figure(values[Math.max(0, i - 1)]);",
        check_curves,
    ),
    "another one is the best": Break(
        "distilled",
        'i === bestAt ? " best" : null',
        'i === 0 ? " best" : null',
        check_evaluations,
    ),
    "rows and columns change places": Break(
        "distilled",
        "whole(n));\n      })))))];",
        "whole(counts[j][i]));\n      })))))];",
        check_answers,
    ),
    "shares of all and not of a row": Break(
        "distilled",
        "const all = sum(each), part",
        "const all = sum(counts.flat()), part",
        check_answers,
    ),
    "teacher and student change places": Break(
        "distilled",
        "[form(a), form(b), ratio(a, b)]",
        "[form(b), form(a), ratio(a, b)]",
        check_sides,
    ),
    "nothing is marked": Break(
        "distilled",
        'other ? "other" : null]),',
        "null]),",
        check_recipe,
    ),
    "a seed is a number": Break(
        "distilled",
        'text === null ? unset() : other ? el("b", {}, bdi(text))',
        'text === null ? unset() : other ? el("b", {}, bdi(`${+text}`))',
        check_recipe,
    ),
    "what is not finite goes unseen": Break(
        "diverged",
        "[...odd.values()].map(",
        "[].map(",
        check_odd,
    ),
    "what is missing is zero": Break(
        "diverged",
        "x === null || x === undefined ? null : Number(x)",
        "Number(x)",
        check_odd,
    ),
    "curves have cursors of their own": Break(
        "distilled",
        "for (const update of data.curves) update();",
        "data.curves[0]();",
        lambda page, _: check_cursor(page),
    ),
    "arrows do nothing": Break(
        "distilled",
        "move(data, data.at + moves[event.key]);",
        "",
        check_curves,
    ),
    "a mistake is markup": Break(
        "hostile",
        'el("p", { class: "data", dir: "auto" }, shown(whole));',
        'Object.assign(el("p", { class: "data" }), { innerHTML: whole });',
        lambda page, _: check_texts(page),
    ),
    "names are wider than a phone": Break(
        "hostile",
        ":is(.notice, .what, #facts dt) { overflow-wrap: anywhere; }",
        "",
        lambda page, _: check_width(page),
        PHONE,
    ),
    "curves cannot be reached": Break(
        "distilled",
        'class: "plot", role: "slider", tabindex: 0,',
        'class: "plot", role: "slider", tabindex: -1,',
        lambda page, _: check_curves_are_reached(page),
    ),
}


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_page_is_caught(
    chromium: Browser, reports: Reports, name: str
) -> None:
    kind, old, new, check, look = BREAKS[name]
    copy = broken(reports[kind], old, new)
    with (
        pytest.raises(AssertionError),
        drawn(chromium, copy.path, **look) as page,
    ):
        check(page, copy)
