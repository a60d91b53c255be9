"""The numbers on the page are the trace's, rounded as they say."""

from __future__ import annotations

import itertools
import math
import re

import pytest
import torch
from pages import (
    Pages,
    Shown,
    assert_reads,
    choose,
    drawn,
    numbers_in,
    rows,
    texts,
)
from playwright.sync_api import Browser, Locator, Page, expect
from torch import Tensor

from minidistil.explainer import Trace

# What the page computes itself, in 64 bits, from the trace's numbers in 32.
SOFTMAX = 1e-6


def looks(trace: Trace) -> list[tuple[int, int, int]]:
    """Layers, heads and queries: each layer and each head at least once."""
    layers, heads = len(trace.layer), len(trace.layer[0].q)
    tokens = len(trace.tokens)
    turns = range(max(layers, heads))
    return [(i % layers, i % heads, (3 * i + 1) % tokens) for i in turns]


def check_pieces(page: Page, trace: Trace) -> None:
    """The tokens, their ids, and the characters that they stand for."""
    found = rows(page, "#token-table tbody tr")
    assert len(found) == len(trace.tokens)
    for i, (token, row) in enumerate(zip(trace.tokens, found, strict=True)):
        span = f"{token.start}–{token.end}"
        if token.start is None:
            span = "–" if token.attend else "padding"
        assert row == [str(i), token.text, str(token.id), span]


def check_words(page: Page, trace: Trace) -> None:
    """The words, and every look-up that made their pieces."""
    page.evaluate(
        "() => { for (const each of document.querySelectorAll('.attempts')) "
        "each.open = true }"
    )
    words = [word for reading in trace.readings for word in reading.words]
    assert texts(page, ".words .word") == [word.text for word in words]
    looked_up = [
        word.attempts
        for word in words
        if len(word.attempts) > 1 or (word.attempts and not word.attempts[0].found)
    ]
    expect(page.locator(".attempts ol")).to_have_count(len(looked_up))
    found = page.evaluate(
        "() => Array.from(document.querySelectorAll('.attempts ol'), list => "
        "Array.from(list.children, each => "
        "[each.querySelector('.token').textContent, each.className == 'hit']))"
    )
    assert found == [
        [[attempt.text, attempt.found] for attempt in attempts]
        for attempts in looked_up
    ]


def check_vectors(
    page: Page, selector: str, steps: dict[str, object], place: int
) -> None:
    """Lengths and first numbers of one token's vectors, one row for each step."""
    found = rows(page, f"{selector} tr[data-step]")
    assert [row[0] for row in found] == [*steps]
    for name, length, *first in found:
        vector = steps[name][place].double()
        assert_reads(length, vector.norm(), within=1e-4)
        assert len(first) == 4
        for text, number in zip(first, vector, strict=False):
            assert_reads(text, number)


def check_embeddings(page: Page, trace: Trace) -> None:
    for query in (0, 1, len(trace.tokens) // 2, len(trace.tokens) - 1):
        choose(page, query=query)
        check_vectors(page, "#embeddings", vars(trace.embeddings), query)


def check_rest(page: Page, trace: Trace) -> None:
    """What became of a token's vector in a layer, besides the heads' own steps."""
    of_heads = {"q", "k", "v", "products", "scores", "weights", "mixed"}
    for layer, _, query in looks(trace):
        choose(page, layer=layer, query=query)
        steps = vars(trace.layer[layer])
        own = {name: x for name, x in steps.items() if name not in of_heads}
        check_vectors(page, "#rest", own, query)


def check_scores(page: Page, trace: Trace) -> None:
    """From q · k to the weights, for every head of every layer."""
    for layer, head, query in looks(trace):
        choose(page, layer=layer, head=head, query=query)
        check_row_of_scores(page, trace, layer, head, query)


def check_row_of_scores(
    page: Page, trace: Trace, layer: int, head: int, query: int
) -> None:
    block, tokens = trace.layer[layer], trace.tokens
    of_row = [getattr(block, x)[head, query] for x in ("products", "scores", "weights")]
    products, scores, weights = of_row
    powers = (scores.double() - scores.max()).exp()
    found = rows(page, "#scores tbody tr[data-key]")
    assert len(found) == len(tokens)
    for key, (name, product, score, power, weight, *_) in enumerate(found):
        assert name == tokens[key].text
        assert_reads(product, products[key])
        assert_reads(score, scores[key])
        assert_reads(power, powers[key], within=SOFTMAX)
        assert_reads(weight, weights[key], within=SOFTMAX)
    assert_reads(page.inner_text("#total"), powers.sum(), within=1e-5)
    said = page.text_content("#summary") or ""
    assert said.startswith(
        f"Layer {layer}, head {head}: “{tokens[query].text}” attends"
    )
    best = weights.sort(descending=True, stable=True)
    names = [re.escape(tokens[key].text) for key in best.indices[:3]]
    sentence = ", ".join(rf"“{name}” ([\d.]+)" for name in names)
    written = re.search(rf"attends most to {sentence}\.$", said)
    assert written, said
    for text, weight in zip(written.groups(), best.values, strict=False):
        assert_reads(text, weight, within=SOFTMAX)


# The colours of the strips of `weight × v` and of their sum, and of what they mean.
STRIPS = """() => {
  const style = getComputedStyle(document.documentElement);
  const ends = ["--zero", "--plus", "--minus"].map(name => {
    const hex = style.getPropertyValue(name).trim();
    return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
  });
  const strips = Array.from(document.querySelectorAll("#scores .strip"), strip => {
    if (getComputedStyle(strip).opacity !== "1") throw new Error("a strip is faded");
    const { data } = strip.getContext("2d").getImageData(0, 0, strip.width, 1);
    const colour = i => [...data.slice(4 * i, 4 * i + 3)];
    return Array.from({ length: strip.width }, (_, i) => colour(i));
  });
  return [ends, strips];
}"""


def check_strips(page: Page, trace: Trace) -> None:
    """Each row is its weight times its value, the last is their sum: on one scale."""
    for layer, head, query in looks(trace)[::3]:
        choose(page, layer=layer, head=head, query=query)
        block = trace.layer[layer]
        parts = block.weights[head, query, :, None] * block.v[head]  # (T, K)
        exact = torch.cat([parts, block.mixed[head, query][None]]).double()
        most = exact.abs().max()
        said = page.inner_text("#what-is-a-strip")
        assert_reads(numbers_in(said)[-1], most, within=1e-6)
        (zero, *ends), strips = page.evaluate(STRIPS)
        pixels = torch.tensor(strips).double() - torch.tensor(zero)  # (T + 1, K, 3)
        ways = torch.tensor(ends).double() - torch.tensor(zero)  # (2, 3)
        shares = pixels @ ways.T / ways.square().sum(dim=1)
        off = (pixels[:, :, None] - shares[..., None] * ways).norm(dim=-1)
        found = torch.where(off[..., 0] <= off[..., 1], shares[..., 0], -shares[..., 1])
        # A shade is 1/7 of a vector's largest number; a colour has 256 steps.
        allowed = exact.abs().amax(dim=1, keepdim=True) / most / 14 + 0.02
        assert ((found - exact / most).abs() <= allowed).all()


def check_product(page: Page, trace: Trace, layer: int, head: int, query: int) -> None:
    """q · k, written out for every key in turn."""
    choose(page, layer=layer, head=head, query=query)
    q = trace.layer[layer].q[head, query].double()
    for key in range(len(trace.tokens)):
        page.evaluate(
            "key => document.querySelector(`#scores tr[data-key='${key}']`).click()",
            key,
        )
        k = trace.layer[layer].k[head, key].double()
        *parts, rest = texts(page, "#product .addend")
        assert len(parts) == 4
        for i, part in enumerate(parts):
            mine, its = part.removeprefix("+ ").split(" × ")
            assert_reads(mine, q[i])
            assert_reads(its, k[i])
        assert rest.startswith(f"+ {len(q) - 4} more products")
        (others,) = numbers_in(rest)
        assert_reads(others, (q * k)[4:].sum(), within=1e-4)
        whole = texts(page, "#product b")[0].removeprefix("= ")
        assert_reads(whole, trace.layer[layer].products[head, query, key])


def check_mix(page: Page, trace: Trace) -> None:
    """The first numbers of the values, and of what they are mixed to."""
    for layer, head, query in looks(trace)[::4]:
        choose(page, layer=layer, head=head, query=query)
        block = trace.layer[layer]
        for key, row in enumerate(rows(page, "#mix tbody tr")):
            assert row[0] == trace.tokens[key].text
            assert_reads(row[1], block.weights[head, query, key], within=SOFTMAX)
            for text, number in zip(row[2:], block.v[head, key], strict=False):
                assert_reads(text, number)
        ((_, _, *mixed),) = rows(page, "#mix tfoot tr")
        assert len(mixed) == 4
        for text, number in zip(mixed, block.mixed[head, query], strict=False):
            assert_reads(text, number)


def check_matrix(page: Page, trace: Trace) -> None:
    """Every weight of a head, in cells and as lines, and one read out."""
    for layer, head, query in looks(trace)[::4]:
        choose(page, layer=layer, head=head, query=query)
        weights = trace.layer[layer].weights[head].double()
        found = [row[1:] for row in rows(page, "#matrix tbody tr")]
        for place, row in itertools.product(range(len(weights)), repeat=2):
            shown = found[place][row]
            assert_reads(shown, weights[place, row], digits=2, within=SOFTMAX)
        strokes = page.eval_on_selector_all(
            "svg.lines path",
            "all => all.map(x => [x.dataset.from, x.dataset.to, "
            "x.getAttribute('stroke-width')].map(Number))",
        )
        drawn_lines = {(int(start), int(end)): width for start, end, width in strokes}
        for (start, end), width in drawn_lines.items():
            assert width == pytest.approx(
                0.4 + 5 * float(weights[start, end]), abs=0.01
            )
        # Half of an even share, if that is less than one in twenty.
        strong_weights = weights > min(0.05, 0.5 / len(weights)) + 0.001
        strong = {tuple(place) for place in strong_weights.nonzero().tolist()}
        assert strong <= drawn_lines.keys()
        readout = page.text_content("#cell") or ""
        key = int(weights[query].argmax())
        names = [trace.tokens[i].text for i in (query, key)]
        assert readout.startswith(f"{names[0]} attends to {names[1]}: score")
        score, weight = numbers_in(readout)[-2:]
        assert_reads(score, trace.layer[layer].scores[head, query, key])
        assert_reads(weight, weights[query, key], within=SOFTMAX)


def check_norms(page: Page, trace: Trace) -> None:
    for place, row in enumerate(rows(page, "#norm-table tbody tr")):
        assert row[0] == trace.tokens[place].text
        for text, length in zip(row[1:], trace.norms[:, place], strict=True):
            assert_reads(text, length, digits=2)


def check_classifier(page: Page, trace: Trace) -> None:
    """From [CLS] to the label."""
    head = trace.head
    steps = {x: getattr(head, x)[None] for x in ("cls", "pre_classifier", "relu")}
    check_vectors(page, "#head", steps, 0)
    kept, size = int((head.relu > 0).sum()), len(head.relu)
    assert f"ReLU keeps {kept} of {size} numbers" in page.inner_text("#head")
    label = "value" if head.function == "none" else trace.label
    assert page.inner_text("#label") == label
    (probability,) = numbers_in(page.inner_text("#probability"))[:1]
    assert_reads(probability, trace.answer[trace.target])
    logits = texts(page, "#labels [data-logit]")
    probabilities = texts(page, "#labels [data-probability]")
    assert len(logits) == len(head.logits)
    for text, logit in zip(logits, head.logits, strict=True):
        assert_reads(text, logit)
    if head.function == "none":
        assert probabilities == []
        return
    for text, probability in zip(probabilities, head.probabilities, strict=True):
        assert_reads(text, probability)


def check_masks(page: Page, trace: Trace) -> None:
    """From each mask to its most probable words."""
    head, names = trace.head, trace.subject.name_of
    hidden = trace.layer[-1].output_layer_norm[[*head.masks]]
    steps = {"output_layer_norm": hidden} | {
        name: getattr(head, name)
        for name in ("vocab_transform", "activation", "vocab_layer_norm")
    }
    for mask, place in enumerate(head.masks):
        choose(page, mask=mask)
        best = int(head.logits[mask].argmax())
        assert page.inner_text("#label") == names(best)
        said = page.inner_text("#probability").split(maxsplit=1)
        assert_reads(said[0], head.probabilities[mask, best])
        assert said[1] == f"for [MASK] at {place}"
        check_vectors(page, "#head", steps, mask)
        logits, words = head.logits[mask].topk(10)
        powers = (logits - logits[0]).double().exp()
        found = rows(page, "#labels tbody tr")
        assert len(found) == 10
        for i, (word, logit, power, probability) in enumerate(found):
            assert word == names(int(words[i]))
            assert_reads(logit, logits[i])
            assert_reads(power, powers[i], within=SOFTMAX)
            assert_reads(probability, head.probabilities[mask, words[i]])
        all_powers = (head.logits[mask] - logits[0]).double().exp()
        ((_, most, total, share),) = rows(page, "#labels tfoot tr")
        assert_reads(most.removeprefix("max "), logits[0])
        assert_reads(total, all_powers.sum(), within=1e-4)
        assert share == ""
        check_guesses(page, trace, mask)


def check_guesses(page: Page, trace: Trace, mask: int) -> None:
    """The words that the head would say of each layer's vector of a mask."""
    lens = trace.lens(mask=mask)
    found = page.eval_on_selector_all(
        "#lens-table tbody tr",
        "all => all.map(row => Array.from(row.querySelectorAll('.guess'), "
        "x => Array.from(x.children, part => part.textContent)))",
    )
    assert len(found) == len(lens.probabilities)
    for guesses, probabilities in zip(found, lens.probabilities, strict=True):
        best, words = probabilities.topk(5)
        assert [name for name, _ in guesses] == [
            *map(trace.subject.name_of, words.tolist())
        ]
        for (_, written), probability in zip(guesses, best, strict=True):
            assert_reads(written, probability)


def check_lens(page: Page, trace: Trace) -> None:
    lens = trace.lens()
    found = rows(page, "#lens-table tbody tr")
    assert len(found) == len(lens.logits) == len(trace.layer) + 1
    for layer, (_, logit, *said) in enumerate(found):
        assert_reads(logit, lens.logits[layer, trace.target])
        if trace.head.function != "none":
            probability, *said = said
            assert_reads(probability, lens.probabilities[layer, trace.target])
        best = trace.subject.name_of(int(lens.logits[layer].argmax()))
        assert said == ([best] if len(lens.logits[0]) > 1 else [])


def check_attribution(page: Page, trace: Trace) -> None:
    """What each word and token adds to the logit, and how far the sum is off."""
    found = trace.attribute()
    for number, words in enumerate(found.words):
        for place, share in enumerate(words):
            word = page.locator(f'#attribution [data-word="{number}-{place}"]')
            span = trace.readings[number].words[place]
            raw = trace.readings[number].raw[span.start : span.end]
            assert word.locator("bdi").text_content() == raw
            written = word.locator("small").text_content() or ""
            assert_reads(written, share, digits=2, within=1e-5)
    for row, share in zip(
        rows(page, "#attributed-tokens tr"), found.tokens, strict=True
    ):
        assert_reads(row[1], share, within=1e-6)
    whole = math.fsum(found.tokens.tolist())
    shares = sum(sum(words) for words in found.words)
    expected = {
        "words": shares,
        "special tokens (kept, so 0)": found.specials,
        "sum": whole,
        "logit of the text": found.logit,
        "minus that of the baseline": found.baseline,
        "what the sum should be": found.logit - found.baseline,
    }
    written = dict(rows(page, "#completeness > div"))
    assert written.keys() == expected.keys()
    for name, value in expected.items():
        assert_reads(written[name], value, within=1e-5)
    (off,) = (x for x in texts(page, "#attribution p") if x.startswith("The sum is"))
    assert f" after {found.steps} steps" in off
    digits = 4 if found.error < 0.001 else 2
    assert_reads(numbers_in(off)[0], 100 * found.error, digits=digits, within=1e-3)


def check_ablations(page: Page, trace: Trace) -> None:
    """How the logit changes without each head, layer and token."""
    found = trace.ablations()
    of_all = (found.heads.flatten(), found.layers, found.tokens)
    most = torch.cat(of_all).abs().max()
    assert "one scale" in page.inner_text("#ablations")
    for layer, changes in enumerate(found.heads):
        cells = [(f"{layer}-{head}", change) for head, change in enumerate(changes)]
        for place, change in [*cells, (str(layer), found.layers[layer])]:
            cell = page.locator(f'#ablated-heads [data-ablated="{place}"]')
            exact = (cell.get_attribute("title") or "").rpartition(": ")[2]
            assert_reads(exact, change, within=1e-5)
            check_short(cell.text_content() or "", change)
            check_shade(cell, change / most)
    for place, change in enumerate(found.tokens):
        item = page.locator(f'#ablated-tokens [data-ablated-token="{place}"]')
        assert_reads(item.get_attribute("title") or "", change, within=1e-5)
        name, _, short = (item.text_content() or "").rpartition(" ")
        assert name == trace.tokens[place].text
        check_short(short, change)
        check_shade(item, change / most)


def check_shade(node: Locator, share: Tensor) -> None:
    """The shade stands for the root of a share of what is largest of all."""
    shade = node.evaluate("x => x.style.getPropertyValue('--w')")
    assert float(shade) ** 2 == pytest.approx(abs(float(share)), abs=2e-3)


def check_short(text: str, value: float) -> None:
    digits = 2 if "." in text else 0
    assert_reads(text, value, digits=digits, within=1e-5)


CLASSIFIERS = ["tiny", "five labels", "regression", "several labels"]


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", [*CLASSIFIERS, "padded", "two masks", "question"])
def test_the_way_through_the_layers_has_the_numbers_of_the_trace(
    chromium: Browser, pages: Pages, name: str
) -> None:
    shown = pages[name]
    with drawn(chromium, shown.path) as page:
        check_pieces(page, shown.trace)
        check_words(page, shown.trace)
        check_embeddings(page, shown.trace)
        check_scores(page, shown.trace)
        check_strips(page, shown.trace)
        check_product(page, shown.trace, 1, 1, 2)
        check_mix(page, shown.trace)
        check_matrix(page, shown.trace)
        check_rest(page, shown.trace)
        check_norms(page, shown.trace)


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_head_has_the_numbers_of_the_trace(
    chromium: Browser, pages: Pages, name: str
) -> None:
    with drawn(chromium, pages[name].path) as page:
        check_classifier(page, pages[name].trace)
        check_lens(page, pages[name].trace)


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_reasons_have_the_numbers_of_their_functions(
    chromium: Browser, pages: Pages, name: str
) -> None:
    with drawn(chromium, pages[name].path) as page:
        check_attribution(page, pages[name].trace)
        check_ablations(page, pages[name].trace)


def test_each_mask_has_the_numbers_of_the_trace(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["two masks"].path) as page:
        check_masks(page, pages["two masks"].trace)


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["side by side", "padded"])
def test_each_of_several_texts_has_the_numbers_of_its_own_trace(
    chromium: Browser, pages: Pages, name: str
) -> None:
    shown: Shown = pages[name]
    with drawn(chromium, shown.path) as page:
        for i, trace in enumerate(shown.traces):
            choose(page, trace=i)
            check_pieces(page, trace)
            check_scores(page, trace)
            check_classifier(page, trace)
