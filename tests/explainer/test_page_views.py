"""Every part of every page opens, and choosing a token changes what is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import Pages, choose, drawn, rows, texts
from playwright.sync_api import Browser, Page, expect

from minidistil import explain
from minidistil.explainer.source import snippets

ALL = [
    "tiny",
    "padded",
    "five labels",
    "regression",
    "several labels",
    "two masks",
    "question",
    "names",
    "hostile",
    "hostile words",
    "long",
]
# Clicks all there is, of a long list a part, and says how much that was.
EVERYTHING = """() => {
  let clicks = 0;
  const each = (selector, act) => {
    const count = document.querySelectorAll(selector).length;
    const stride = Math.ceil(count / 10);
    for (let i = 0; i < count; i += stride) {
      const node = document.querySelectorAll(selector)[i];
      if (node) { act(node); clicks++; }
    }
  };
  const click = node => node.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  const groups = ["trace", "mask", "layer", "head", "query"];
  for (const group of groups) each(`[role=radio][data-${group}]`, click);
  for (const rows of ["#token-table", "#scores", "svg.lines", "#matrix"]) {
    each(rows + " [data-query], " + rows + " [data-key], " + rows + " [data-cell], " +
      rows + " [data-to]", click);
  }
  each("canvas.big", click);
  each("button.more", click);
  each("details", node => { node.open = true; });
  each("[data-term]", click);  // the dialog only changes its contents
  document.querySelector("dialog").close();
  for (const id of ["open-glossary", "theme", "theme", "skip"]) {
    click(document.getElementById(id));
  }
  each("#path a", click);
  return clicks;
}"""


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ALL)
def test_everything_opens_without_a_word_on_the_console(
    chromium: Browser, pages: Pages, name: str
) -> None:
    with drawn(chromium, pages[name].path) as page:
        assert page.evaluate(EVERYTHING) > 50
        assert page.locator("main section").count() == 3


def check_click(page: Page) -> None:
    """Wherever a token is clicked, its own scores are shown."""
    before = rows(page, "#scores tbody tr")
    page.locator('#tokens [data-query="3"]').click()
    by_picker = rows(page, "#scores tbody tr")
    assert by_picker != before
    for selector in ("#token-table tr", "svg.lines .left"):
        page.locator('#tokens [data-query="1"]').click()
        page.locator(f'{selector}[data-query="3"]').first.click()
        assert rows(page, "#scores tbody tr") == by_picker
    expect(page.locator('#tokens [data-query="3"]')).to_be_checked()


def test_a_click_on_a_token_changes_the_scores(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        check_click(page)


def test_a_click_on_a_head_or_layer_changes_the_scores(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        for group, number in (("layers", 4), ("heads", 5)):
            before = rows(page, "#scores tbody tr")
            page.locator(f"#{group} [role=radio]").nth(number).click()
            assert rows(page, "#scores tbody tr") != before
            expect(page.locator(f"#{group} :checked, #{group} [aria-checked=true]"))
        assert texts(page, "#summary")[0].startswith("Layer 4, head 5: “i” attends")


def test_a_click_on_a_cell_shows_its_product(chromium: Browser, pages: Pages) -> None:
    trace = pages["tiny"].trace
    with drawn(chromium, pages["tiny"].path) as page:
        page.locator('#matrix [data-cell="5-2"]').click()
        assert texts(page, "#product h4 .token") == ["much", "hate"]
        product = f"{trace.layer[0].products[0, 5, 2]:.4f}".replace("-", "\u2212")
        assert texts(page, "#product b") == [f"= {product}"]


def test_a_term_is_explained_in_a_dialog(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        page.locator('[data-term="BlockTrace.scores"]').first.click()
        dialog = page.get_by_role("dialog", name="scores")
        expect(dialog).to_contain_text("√K")
        dialog.get_by_role("button", name="All terms").click()
        expect(dialog).to_be_hidden()
        expect(page.locator("#h-glossary")).to_be_in_viewport()


def test_each_step_shows_the_lines_that_are_in_the_source(
    chromium: Browser, pages: Pages
) -> None:
    steps = snippets()
    shown = set()
    for name in ("padded", "two masks"):
        with drawn(chromium, pages[name].path) as page:
            for step in page.eval_on_selector_all(
                "[data-code]", "all => all.map(x => x.dataset.code)"
            ):
                code = texts(page, f'[data-code="{step}"] pre')[0]
                lines = [f"{n:3}  {text}" for n, text in steps[step].lines]
                assert code.replace("⋮\n", "").rstrip("\n").split("\n") == lines
                shown.add(step)
    assert shown == steps.keys()


def test_the_address_brings_the_view_back(chromium: Browser, pages: Pages) -> None:
    path = pages["padded"].path
    with drawn(chromium, path) as page:
        choose(page, trace=1, layer=3, head=6, query=5)
        page.locator('#matrix [data-cell="7-2"]').click()
        page.locator("#theme").click()
        seen = [texts(page, id) for id in ("#sentence", "#summary", "#product")]
        address = page.url
        page.goto("about:blank")
        page.goto(address)
        page.wait_for_selector("html[data-ready]", state="attached")
        again = [texts(page, id) for id in ("#sentence", "#summary", "#product")]
        assert again == seen
        assert page.get_attribute("html", "data-theme") == "dark"


def test_going_back_to_an_address_shows_its_view(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        page.evaluate("location.hash = '#layer=2&head=1&query=4'")
        expect(page.locator("#summary")).to_contain_text(
            "Layer 2, head 1: “so” attends"
        )


BAD_ADDRESSES = [
    "layer=999&head=999&query=999&key=999&mask=9&trace=9",
    "layer=-1&head=1e3&query=abc&key=&trace=NaN&theme=<b>",
    "%E0%A4%A&layer=%00&&&===&layer=1&layer=2",
    "step-model",
    '"><img src=x onerror=window.ran=1>',
    "__proto__=1&constructor=2&layer[]=3",
    "9" * 5000,
]


@pytest.mark.sample(3)
@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_a_bad_address_does_no_harm(
    chromium: Browser, pages: Pages, address: str
) -> None:
    path = pages["tiny"].path
    with drawn(chromium, path) as page:
        page.goto("about:blank")
        page.goto(f"{path.as_uri()}#{address}")
        page.wait_for_selector("html[data-ready]", state="attached")
        assert len(rows(page, "#scores tbody tr")) == len(pages["tiny"].trace.tokens)
        assert re.match(r"Layer \d, head \d: ", texts(page, "#summary")[0])
        for group in ("layers", "heads", "tokens"):
            assert page.locator(f"#{group} [aria-checked=true]").count() == 1
        assert page.evaluate("window.ran") is None


COLUMNS = {
    "tiny": (
        ["label", "logit", "exp of logit − max", "probability ÷ sum"],
        ["after", "logit of NEGATIVE", "probability of NEGATIVE", "prediction"],
    ),
    "two masks": (
        ["word", "logit", "exp of logit − max", "probability ÷ sum"],
        ["after", "the most probable words, each with its probability"],
    ),
    "several labels": (
        ["label", "logit", "probability 1 / (1 + exp(−logit))"],
        ["after", "logit of {0}", "probability of {0}", "most probable"],
    ),
    "regression": (["label", "logit"], ["after", "logit of {0}"]),
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_say_what_their_numbers_are(
    chromium: Browser, pages: Pages, name: str
) -> None:
    labels, lens = COLUMNS[name]
    trace = pages[name].trace
    with drawn(chromium, pages[name].path) as page:
        assert texts(page, "#labels thead th") == labels
        expected = [column.format(trace.label) for column in lens]
        assert texts(page, "#lens-table thead th") == expected
        size = trace.layer[0].q.shape[-1]
        assert texts(page, "#scores thead th") == [
            "key",
            "product q · k",
            f"score ÷ √{size}",
            "exp of score − max",
            "weight ÷ sum",
            "mixed weight × v",
        ]


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("#what-is-length", "Euclidean norm. [0], [1], …: the first of its 256"),
        ("#what-is-a-strip", "a vector, 32 numbers in 15 shades"),
        ("#what-is-drawn", "below .002 are not drawn, of tokens other"),
        ("#what-is-drawn", "the chosen one below .05."),
        ("#norms .shape", "(T, L + 1) = (8, 7)"),
        ("#ablations", "mixed values become 0, a layer is skipped"),
        ("#ablations", "a token is hidden by the mask"),
    ],
)
def test_what_is_seen_is_explained(
    chromium: Browser, pages: Pages, place: str, words: str
) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        assert words in texts(page, place)[0]


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("text", "heading", "notice"),
    [
        ("", "(empty text)", "The text is empty: "),
        (" \n", "(empty text)", "The text is empty: "),
        ("\0", "\N{SYMBOL FOR NULL}", "There is no word in the text: "),
    ],
    ids=["nothing", "spaces", "nul"],
)
def test_a_text_without_words_is_said_to_be_one(
    chromium: Browser, tmp_path: Path, text: str, heading: str, notice: str
) -> None:
    path = explain(text, "tiny").save(tmp_path / "page.html")
    with drawn(chromium, path) as page:
        assert texts(page, "#sentence") == [heading]
        said = f"{notice}the answer is for [CLS] [SEP] only."
        assert texts(page, "#notices li") == [said]


def test_the_regression_shows_a_number_and_no_probability(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["regression"].path) as page:
        heads = texts(page, "#labels thead th")
        assert heads == ["label", "logit"]
        assert "regression" in page.inner_text("#head").lower()
        # No label has won.
        assert texts(page, "#label") == ["value"]
        assert page.locator("#labels .winner").count() == 0


def test_several_labels_are_not_said_to_add_up(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["several labels"].path) as page:
        assert "sigmoid" in page.inner_text("#head").lower()
        assert page.locator("#labels tfoot").count() == 0
        likely = (pages["several labels"].trace.head.probabilities >= 0.5).nonzero()
        marked = page.eval_on_selector_all(
            "#labels .winner", "all => all.map(x => Number(x.dataset.label))"
        )
        assert marked == likely.flatten().tolist()


def check_not_shown(page: Page, words: str) -> None:
    """Where no answer is explained, the page says so and shows none."""
    for place in ("#notices", "#not-shown"):
        assert words in page.inner_text(place)
    for part in ("labels", "lens-table", "completeness", "ablated-heads"):
        assert page.locator(f"#{part}").count() == 0
    assert page.locator("#scores tbody tr").count() > 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("question", "start and as the end of the answer"),
        ("names", "labels each token"),
    ],
)
def test_what_is_not_shown_is_said(
    chromium: Browser, pages: Pages, name: str, words: str
) -> None:
    with drawn(chromium, pages[name].path) as page:
        check_not_shown(page, words)


def test_both_texts_of_a_pair_are_shown(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["question"].path) as page:
        assert texts(page, "#text .raw") == ["Who smiled?", "The waiter smiled at me."]
        assert texts(page, "#sentence bdi") == texts(page, "#text .raw")


def test_the_reasons_name_the_mask_that_they_are_of(
    chromium: Browser, pages: Pages
) -> None:
    first, second = pages["two masks"].trace.head.masks
    with drawn(chromium, pages["two masks"].path) as page:
        for part, method in (("attribution", "attribute"), ("ablations", "ablations")):
            assert f"[MASK] at {first}" in texts(page, f"#{part} h3")[0]
            assert page.locator(f"#{part} .notice code").count() == 0
            choose(page, mask=1)
            assert f"[MASK] at {first}" in texts(page, f"#{part} h3")[0]
            said = page.inner_text(f"#{part} .notice:has(code)")
            assert f"[MASK] at {second}" in said
            assert f"trace.{method}(mask=1)" in said
            choose(page, mask=0)


def test_the_reasons_of_one_mask_name_none(
    chromium: Browser, pages: Pages, tmp_path: Path
) -> None:
    subject = pages["two masks"].trace.subject
    trace = explain("It is [MASK].", subject.model, tokenizer=subject.tokenizer)
    with drawn(chromium, trace.save(tmp_path / "page.html")) as page:
        assert "[MASK] at" not in texts(page, "#attribution h3")[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\N{GRINNING FACE}", "No piece fits here, so the whole word becomes [UNK]."),
        ("a" * 101, "too long to be looked up: 101 characters"),
    ],
    ids=["dead end", "long"],
)
def test_why_a_word_is_unknown_is_said(
    chromium: Browser, tmp_path: Path, text: str, said: str
) -> None:
    trace = explain(text, "tiny")
    assert [token.text for token in trace.tokens] == ["[CLS]", "[UNK]", "[SEP]"]
    with drawn(chromium, trace.save(tmp_path / "page.html")) as page:
        assert said in (page.text_content(".words") or "")


def test_how_much_is_cut_of_each_text_of_a_pair_is_said(
    chromium: Browser, pages: Pages, tmp_path: Path
) -> None:
    subject = pages["question"].trace.subject
    pair = {"text_pair": "good " * 600, "tokenizer": subject.tokenizer}
    trace = explain("bad " * 600, subject.model, **pair)
    first, second = (reading.left_out for reading in trace.readings)
    assert first
    assert second
    with drawn(chromium, trace.save(tmp_path / "page.html")) as page:
        said = page.inner_text("#notices")
        assert f"the last {first} tokens of text 1" in said
        assert f"the last {second} tokens of text 2" in said
