"""Pages to look at, what is written on them, and how to break them."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from browser import opened
from checkpoints import write_checkpoint
from playwright.sync_api import Browser, Page
from safetensors.torch import load_file, save_file

from minidistil import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
    compare,
    explain,
)
from minidistil.explainer import Trace, Traces

# Each sets a flag, or asks for something, if a browser takes any of it for markup.
MARKUP = (
    "</script><script>window.ran=1</script>",
    '<img src="http://offline.test/x" onerror="window.ran=1">',
    "<!-- <script>",
    "]]> {{data}} {{script}} ${window.ran=1}",
    "\"'`><svg/onload=window.ran=1>",
    "&amp; &lt;b&gt; \\u003cb\\u003e \\",
    "javascript:window.ran=1",
)
# What a browser, JSON or a terminal may choke on.
CHARACTERS = (
    "nul \0 bell \a escape \x1b[31m delete \x7f",
    "lines \u2028 and \u2029, bom \ufeff, nothing \u200b",
    "override \u202eevil\u202c isolate \u2067evil\u2069 שלום مرحبا",
    "emoji 😀👩‍👩‍👧🏽 marks \u0301\u0327 e\u0301\u0301\u0301",
)
HOSTILE = " ".join((*MARKUP, *CHARACTERS, "long" * 90))
# A line of a vocabulary holds no spaces.
TOKENS = tuple(text.replace(" ", "") for text in (*MARKUP, *CHARACTERS))

SENTENCES = ("Not bad at all", "I hate this so much, and I will not see it again!")
LONG = "The unaffable reviewer said that it was neither good nor bad. " * 60
# Thirty pieces, and [CLS] and [SEP].
THIRTY_TWO = (
    "This film, with its tiresome people, is neither as funny nor as clever as it "
    "thinks; I wanted to leave, but then I stayed."
)


@dataclass(frozen=True)
class Shown:
    """A page on the disk, and the traces that it shows."""

    path: Path
    traces: Sequence[Trace]

    @property
    def trace(self) -> Trace:
        return self.traces[0]


class Pages:
    """Pages by name, each made when a test first asks for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Shown] = {}

    def __getitem__(self, name: str) -> Shown:
        if name not in self._made:
            folder = self._folder / name
            folder.mkdir()
            made = MAKERS[name](folder)
            traces = made if isinstance(made, Traces) else (made,)
            self._made[name] = Shown(made.save(folder / "page.html"), traces)
        return self._made[name]


def _five(folder: Path) -> Trace:
    names = ["awful", "bad", "so so", "good", "great"]
    write_checkpoint(folder, id2label=dict(enumerate(names)))
    return explain("The unaffable waiter, surprisingly, smiled.", folder)


def _one(folder: Path) -> Trace:
    write_checkpoint(folder, num_labels=1, problem_type="regression")
    return explain("How good is it?", folder)


def _several(folder: Path) -> Trace:
    kind = "multi_label_classification"
    write_checkpoint(folder, num_labels=3, problem_type=kind)
    return explain("It is this and that.", folder)


def _masks(folder: Path) -> Trace:
    write_checkpoint(folder, "DistilBertForMaskedLM")
    return explain("The [MASK] was good, and the [MASK] was bad.", folder)


def _question(folder: Path) -> Trace:
    write_checkpoint(folder, "DistilBertForQuestionAnswering")
    return explain("Who smiled?", folder, text_pair="The waiter smiled at me.")


def _names(folder: Path) -> Trace:
    write_checkpoint(folder, "DistilBertForTokenClassification", num_labels=5)
    return explain("Paris is in France.", folder)


def _hostile(folder: Path) -> Trace:
    names = {i: f"{text} {HOSTILE}" for i, text in enumerate(MARKUP)}
    write_checkpoint(folder, max_position_embeddings=512, id2label=names)
    trace = explain(HOSTILE, folder)
    return replace(trace, subject=replace(trace.subject, name=HOSTILE))


def _hostile_words(folder: Path) -> Trace:
    """A model that guesses the hostile lines of its vocabulary."""
    write_checkpoint(folder, "DistilBertForMaskedLM")
    lines = (folder / "vocab.txt").read_text("utf-8").split("\n")
    first = lines.index("the")
    lines[first : first + len(TOKENS)] = TOKENS
    (folder / "vocab.txt").write_text("\n".join(lines), "utf-8")
    tensors = load_file(folder / "model.safetensors")
    tensors["vocab_projector.bias"][first : first + len(TOKENS)] += 100
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return explain("[MASK] it is.", folder)


def _base(_: Path) -> Trace:
    """Base size; nothing on the page depends on what the numbers are."""
    model = DistilBertForSequenceClassification(DistilBertConfig()).eval()
    tokenizer = DistilBertTokenizer.from_pretrained("tiny")
    return explain(THIRTY_TWO, model, tokenizer=tokenizer)


MAKERS: dict[str, Callable[[Path], Trace | Traces]] = {
    "tiny": lambda _: explain("I hate this so much!", "tiny"),
    "side by side": lambda _: compare(SENTENCES, "tiny"),
    "padded": lambda _: compare(SENTENCES, "tiny", padding=True),
    "five labels": _five,
    "regression": _one,
    "several labels": _several,
    "two masks": _masks,
    "question": _question,
    "names": _names,
    "hostile": _hostile,
    "hostile words": _hostile_words,
    "long": lambda _: explain(LONG, "tiny"),
    "base": _base,
}


@contextmanager
def drawn(running: Browser, path: Path, **look: Any) -> Iterator[Page]:
    """A page from the disk that is ready to be used."""
    with opened(running, path, **look) as page:
        page.set_default_timeout(10_000)
        page.wait_for_selector("html[data-ready]", state="attached")
        yield page


def choose(page: Page, **picks: int) -> None:
    """Choose a trace, layer, head, query or mask without waiting for a mouse."""
    for name, number in picks.items():
        page.evaluate(
            "selector => document.querySelector(selector).click()",
            f'[role=radio][data-{name}="{number}"]',
        )


def rows(page: Page, selector: str) -> list[list[str]]:
    """The text of each cell of some rows."""
    found: list[list[str]] = page.evaluate(
        "selector => Array.from(document.querySelectorAll(selector), row => "
        "Array.from(row.children, cell => cell.textContent))",
        selector,
    )
    return found


def texts(page: Page, selector: str) -> list[str]:
    """The text of each of some elements, hidden or not."""
    return page.locator(selector).all_text_contents()


MINUS = "\N{MINUS SIGN}"
WRITTEN = re.compile(rf"[+{MINUS}]?(?:∞|\d*\.(\d+)|\d+)")


def assert_reads(
    text: str, value: float | torch.Tensor, *, digits: int = 4, within: float = 0
) -> None:
    """What is written is this number, rounded; ``within`` if the page computed it."""
    text, value = text.strip(), float(value)
    form = WRITTEN.fullmatch(text)
    assert form, f"{text!r} is not written as a number"
    plain = text.replace(MINUS, "-")
    if "∞" in text or abs(value) == float("inf"):
        assert plain == str(value).replace("inf", "∞"), f"{text} for {value}"
        return
    assert len(form[1] or "") == digits, f"{text} has not {digits} decimals"
    off = abs(Decimal(plain) - Decimal(value))
    half = Decimal(1).scaleb(-digits) / 2
    assert off <= half + Decimal(within), f"{text} is written for {value}"
    assert plain[0] not in "-+" or Decimal(plain), f"{text} is no number's sign"


def numbers_in(text: str) -> list[str]:
    """The numbers with decimals in a sentence."""
    return re.findall(rf"[+{MINUS}]?\d*\.\d+", text)


def broken(shown: Shown, old: str, new: str) -> Shown:
    """A copy of a page in which a text that occurs once in its code is another.

    The policy lets the copy run as it let the page.
    """
    html = shown.path.read_text("utf-8")
    assert html.count(old) == 1, f"the page has {html.count(old)} times {old!r}"
    changed = html.replace(old, new)
    for tag in ("style", "script"):
        before, after = (_last(tag, text) for text in (html, changed))
        changed = changed.replace(_policy(before), _policy(after))
    path = shown.path.with_name(f"broken-{_digest(old + new).hex()[:12]}.html")
    path.write_text(changed, "utf-8")
    return replace(shown, path=path)


def _last(tag: str, html: str) -> str:
    return re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S)[-1]


def _policy(content: str) -> str:
    return f"'sha256-{b64encode(_digest(content)).decode()}'"


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8")).digest()


def data_of(shown: Shown) -> Any:
    """The data in a page, as a program other than its own reads it."""
    html = shown.path.read_text("utf-8")
    (data,) = re.findall(r'<script type="application/json".*?>(.*?)</script>', html)
    return json.loads(data)
