"""The data in the page is the trace: unpacked here by the layout that it documents."""

from __future__ import annotations

import ast
import base64
import itertools
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import write_checkpoint
from torch import Tensor

import minidistil
from minidistil import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
    compare,
    explain,
)
from minidistil.explainer import Trace, Traces
from minidistil.explainer.source import STEPS, snippet

PACKAGE = Path(minidistil.__file__).parent
HOSTILE = (
    "</script><img src=x onerror=alert(1)> <!-- <script> ]]> & &amp; \"quoted' "
    "{{data}} {{script}} {{style}} {{policy}} \\u003c \0 \x07 \x7f \u2028 \u2029 "
    "\u202eשלום مرحبا 😀👩‍👩‍👧 e\u0301 \ufeff"
)
LONG = "The unaffable reviewer said that it was neither good nor bad. " * 60
HIDDEN = ("word_embeddings", "position_embeddings", "summed", "LayerNorm")


class Parsed(HTMLParser):
    """What a browser makes of a page: its tags, and what is in its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.content: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.content.append("")

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(("/" + tag, {}))
        self.content.append("")

    def handle_data(self, data: str) -> None:
        if self.content:
            self.content[-1] += data

    def inside(self, tag: str) -> list[str]:
        tags = zip(self.tags, self.content, strict=True)
        return [content for (name, _), content in tags if name == tag]


def data_of(page: str) -> Any:
    data, _ = Parsed(page).inside("script")
    return json.loads(data)


@cache
def page_of(trace: Trace) -> str:
    return trace.to_html()


def packed(trace: Trace) -> Any:
    (found,) = data_of(page_of(trace))["traces"]
    return found


def floats(text: str, *shape: int) -> Tensor:
    return torch.from_numpy(numbers(text, "<f4")).reshape(shape)


def numbers(text: str, kind: str) -> Any:
    return np.frombuffer(base64.b64decode(text, validate=True), kind).copy()


def unshaded(vectors: Any, *shape: int) -> Tensor:
    """The numbers that 4-bit shades stand for."""
    both = numbers(vectors["shades"], "u1")
    levels = np.stack([both & 15, both >> 4], axis=-1).ravel()[: np.prod(shape)]
    scale = floats(vectors["scale"], *shape[:-1], 1)
    return (torch.from_numpy(levels.astype("f4")).reshape(shape) - 7) / 7 * scale


def assert_vectors(found: Any, steps: dict[str, Tensor]) -> None:
    assert found["names"] == [*steps]
    expected = torch.stack([x.double().square().sum(-1).sqrt() for x in steps.values()])
    norms = floats(found["norms"], *expected.shape)
    torch.testing.assert_close(norms.double(), expected, rtol=1e-6, atol=0)
    first = floats(found["first"], *expected.shape, 4)
    assert torch.equal(first, torch.stack([x[..., :4] for x in steps.values()]))


@pytest.fixture(scope="module")
def tiny() -> Trace:
    return explain("I hate this unaffable film so much!", "tiny")


@pytest.fixture(scope="module")
def long() -> Trace:
    return explain(LONG, "tiny")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    folder = write_checkpoint(
        tmp_path_factory.mktemp("masked"), "DistilBertForMaskedLM"
    )
    return explain("The [MASK] was good, and the [MASK] was bad.", folder)


def test_text_words_and_look_ups_are_the_traces(tiny):
    (reading,) = packed(tiny)["readings"]
    expected = tiny.readings[0]
    assert (reading["raw"], reading["cleaned"]) == (expected.raw, expected.cleaned)
    assert reading["left_out"] == expected.left_out == 0
    for (text, start, end, attempts), word in zip(
        reading["words"], expected.words, strict=True
    ):
        assert (text, start, end) == (word.text, word.start, word.end)
        assert attempts == [[one.start, one.end, one.found] for one in word.attempts]


def test_tokens_are_the_traces(tiny):
    columns = packed(tiny)["tokens"]
    for name, column in columns.items():
        assert column == [getattr(token, name) for token in tiny.tokens]
    assert {"text", "id", "start", "end", "word", "attend"} <= columns.keys()


def test_lengths_and_first_numbers_of_every_vector_are_exact(tiny):
    found = packed(tiny)
    steps = {name: getattr(tiny.embeddings, name) for name in HIDDEN}
    assert_vectors(found["embeddings"], steps)
    for layer, block in zip(found["layers"], tiny.layer, strict=True):
        assert {"x", "out_lin", "lin1", "output_layer_norm"} <= {*layer["names"]}
        assert_vectors(layer, {name: getattr(block, name) for name in layer["names"]})
    norms = floats(found["norms"], *tiny.norms.shape)
    assert torch.equal(norms, tiny.norms)


@pytest.mark.usefixtures("_no_reasons")
@pytest.mark.parametrize("size", ["K is no power of two", "padded"])
def test_scores_and_weights_follow_from_the_products_to_the_bit(size, tmp_path):
    """By the page's own way: float32(product * float32(1 / √K)), then softmax."""
    texts = ["Not bad", "I hate this so much!"]
    model = "tiny" if size == "padded" else write_checkpoint(tmp_path)
    traces = compare(texts, model, padding=True)
    for found, trace in zip(data_of(traces.to_html())["traces"], traces, strict=True):
        attend = torch.tensor(found["tokens"]["attend"])
        scale = np.float32(found["model"]["sizes"]["K"] ** -0.5)
        for layer, block in zip(found["layers"], trace.layer, strict=True):
            products = floats(layer["products"], *block.products.shape)
            assert torch.equal(products, block.products)
            scores = torch.from_numpy(products.numpy() * scale)
            scores = scores.masked_fill(~attend, -torch.inf)
            assert torch.equal(scores, block.scores)
            weights = scores.double().softmax(dim=-1)
            torch.testing.assert_close(
                weights, block.weights.double(), rtol=1e-6, atol=1e-9
            )


def test_queries_keys_values_and_the_mix_are_exact_at_first_and_shaded_whole(tiny):
    for layer, block in zip(packed(tiny)["layers"], tiny.layer, strict=True):
        for name in ("q", "k", "v", "mixed"):
            x = getattr(block, name)
            first = floats(layer[name]["first"], *x.shape[:-1], 4)
            assert torch.equal(first, x[..., :4])
            scale = x.abs().amax(-1, keepdim=True)
            assert torch.equal(floats(layer[name]["scale"], *scale.shape), scale)
            # A shade is 1/7 of the scale wide, and half of it to either side.
            off = (unshaded(layer[name], *x.shape) - x).abs()
            assert (off <= scale / 14 * 1.0001).all()


def test_an_odd_number_of_shades_is_padded(tmp_path):
    """One layer's T * H * K is odd here: 3 tokens, 1 head of 5."""
    model = write_checkpoint(tmp_path, dim=5, n_heads=1, hidden_dim=7, n_layers=1)
    trace = explain("a", model)
    (layer,) = packed(trace)["layers"]
    q = trace.layer[0].q
    assert q.numel() == 15
    off = (unshaded(layer["q"], *q.shape) - q).abs()
    assert (off <= q.abs().amax(-1, keepdim=True) / 13).all()


def test_of_a_long_text_the_strongest_keys_and_the_sum_of_all_are_there(long):
    for layer, block in zip(packed(long)["layers"], long.layer, strict=True):
        assert not {"products", "q", "k", "v", "mixed"} & layer.keys()
        strongest = layer["strongest"]
        heads, tokens, _ = block.scores.shape
        keys = numbers(strongest["keys"], "<u2").astype("i8")
        keys = torch.from_numpy(keys).reshape(heads, tokens, -1)
        products = floats(strongest["products"], *keys.shape)
        assert torch.equal(products, block.products.gather(-1, keys))
        best, _ = block.scores.sort(dim=-1, descending=True)
        kept = block.scores.gather(-1, keys)
        assert torch.equal(kept, best[..., : keys.shape[-1]])
        total = floats(strongest["total"], heads, tokens, 1).double()
        weights = (kept - kept[..., :1]).double().exp() / total
        expected = block.weights.gather(-1, keys).double()
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-9)


def test_a_classifiers_head_is_the_traces(tiny):
    found, head = packed(tiny), tiny.head
    assert floats(found["head"]["logits"], 2).equal(head.logits)
    assert floats(found["head"]["probabilities"], 2).equal(head.probabilities)
    assert found["head"]["labels"] == ["NEGATIVE", "POSITIVE"]
    assert (found["target"], found["label"]) == (tiny.target, tiny.label)
    assert found["head"]["function"] == "softmax"
    assert found["head"]["above"] == sum(x > 0 for x in head.relu.tolist())
    steps = {name: getattr(head, name) for name in ("cls", "pre_classifier", "relu")}
    assert_vectors(found["head"], {name: x[None] for name, x in steps.items()})


def test_a_masked_models_most_probable_words_are_the_traces(masked):
    found, head = packed(masked), masked.head
    places = [i for i, token in enumerate(masked.tokens) if token.text == "[MASK]"]
    assert found["head"]["masks"] == places
    assert found["head"]["names"][0] == "output_layer_norm"
    order = head.logits.argsort(dim=-1, descending=True)[:, :10]
    name_of = masked.subject.tokenizer.convert_ids_to_tokens
    assert found["head"]["words"] == [name_of(row) for row in order.tolist()]
    logits = floats(found["head"]["logits"], 2, 10)
    assert logits.equal(head.logits.gather(-1, order))
    probabilities = floats(found["head"]["probabilities"], 2, 10)
    assert probabilities.equal(head.probabilities.gather(-1, order))
    total = floats(found["head"]["total"], 2, 1)
    own = (logits - logits[:, :1]).exp() / total
    torch.testing.assert_close(own, probabilities, rtol=1e-5, atol=0)


def test_the_reasons_are_the_traces(tiny):
    found = packed(tiny)
    (lens,) = found["lens"]
    expected = tiny.lens()
    assert floats(lens["logits"], *expected.logits.shape).equal(expected.logits)
    probabilities = floats(lens["probabilities"], *expected.probabilities.shape)
    assert probabilities.equal(expected.probabilities)
    attribution = tiny.attribute()
    assert found["attribution"]["words"] == [[*words] for words in attribution.words]
    tokens = floats(found["attribution"]["tokens"], len(tiny.tokens))
    assert tokens.equal(attribution.tokens)
    for name in ("specials", "logit", "baseline", "steps", "error", "reached"):
        assert found["attribution"][name] == getattr(attribution, name)
    ablations = tiny.ablations()
    for name in ("heads", "layers", "tokens"):
        tensor = getattr(ablations, name)
        assert floats(found["ablations"][name], *tensor.shape).equal(tensor)
    assert found["omitted"] == []


def test_a_masked_models_lens_has_the_words_of_every_layer(masked):
    lenses = packed(masked)["lens"]
    assert len(lenses) == 2
    for mask, lens in enumerate(lenses):
        expected = masked.lens(mask=mask).logits
        order = expected.argsort(dim=-1, descending=True)[:, :5]
        name_of = masked.subject.tokenizer.convert_ids_to_tokens
        assert lens["words"] == [name_of(row) for row in order.tolist()]
        assert floats(lens["logits"], *order.shape).equal(expected.gather(-1, order))


def test_what_takes_too_long_is_left_out_and_said(long):
    found = packed(long)
    assert found["attribution"] is found["ablations"] is None
    way_out = "--patient, or patient=True in Python, computes them"
    assert found["omitted"] == [
        f"{what} of {len(long.tokens)} tokens take too long to wait for; {way_out}"
        for what in ("Attributions", "Ablations")
    ]


def test_what_many_texts_leave_no_time_for_is_said_to_be_for_them(tiny, monkeypatch):
    monkeypatch.setattr("minidistil.explainer.budget.ABLATION_WORK", 6e9)
    monkeypatch.setattr("minidistil.explainer.budget.ATTRIBUTION_WORK", 6e9)
    (alone,) = data_of(tiny.to_html())["traces"]
    assert alone["omitted"] == []
    for found in data_of(Traces([tiny] * 3).to_html())["traces"]:
        causes = [said.split(" take too long")[0] for said in found["omitted"]]
        assert causes == ["Attributions of 3 texts", "Ablations of 3 texts"]


@pytest.mark.usefixtures("_no_reasons")
def test_the_patient_are_told_why_however_long_it_takes(tiny, tmp_path):
    (found,) = data_of(tiny.to_html())["traces"]
    assert len(found["omitted"]) == 2
    page = tiny.to_html(patient=True)
    (found,) = data_of(page)["traces"]
    assert found["omitted"] == []
    assert found["attribution"]
    assert found["ablations"]
    saved = tiny.save(tmp_path / "page.html", patient=True)
    assert saved.read_text("utf-8") == page


def test_fewer_tokens_than_the_strongest_keys_are_all_there(monkeypatch):
    trace = explain("Not bad", "tiny")
    monkeypatch.setattr("minidistil.explainer.packing.WHOLE", 0)
    monkeypatch.setattr("minidistil.explainer.budget.MOST_TOKENS", 0)
    (found,) = data_of(trace.to_html())["traces"]
    strongest = found["layers"][0]["strongest"]
    keys = numbers(strongest["keys"], "<u2").reshape(8, 4, 4)
    assert (np.sort(keys) == np.arange(4)).all()
    products = np.take_along_axis(trace.layer[0].products.numpy(), keys, axis=-1)
    assert (floats(strongest["products"], 8, 4, 4).numpy() == products).all()


def test_the_page_does_not_tell_where_the_model_was(tmp_path):
    folder = tmp_path / "secret" / "model"
    trace = explain("a film", write_checkpoint(folder))
    page = trace.to_html()
    assert data_of(page)["traces"][0]["model"]["name"] == "model"
    assert "secret" not in page


def test_the_link_stays_and_its_file_is_replaced(tiny, tmp_path):
    file, link = tmp_path / "file.html", tmp_path / "link.html"
    file.write_text("earlier")
    link.symlink_to(file)
    tiny.save(link)
    assert link.is_symlink()
    assert "minidistil" in file.read_text("utf-8")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_gets_the_page_and_stays_a_pipe(tiny, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = Thread(target=lambda: found.append(pipe.read_text("utf-8")), daemon=True)
    reader.start()
    tiny.save(pipe)
    reader.join(60)
    assert found == [tiny.to_html()]
    assert pipe.is_fifo()


def test_without_an_answer_there_are_no_reasons(tmp_path):
    model = write_checkpoint(tmp_path, "DistilBertForQuestionAnswering")
    found = packed(explain("Who?", model, text_pair="He."))
    assert found["head"] is found["lens"] is found["attribution"] is None
    assert "qa_outputs" in found["not_shown"]
    assert [reading["raw"] for reading in found["readings"]] == ["Who?", "He."]


@pytest.fixture
def _no_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds, and a few kilobytes."""
    monkeypatch.setattr("minidistil.explainer.budget.MOST_TOKENS", 0)


@pytest.mark.usefixtures("_no_reasons")
def test_hostile_text_comes_back_as_it_was_and_is_no_markup(tiny):
    page = explain(HOSTILE, "tiny").to_html()
    (trace,) = data_of(page)["traces"]
    assert trace["readings"][0]["raw"] == HOSTILE
    harmless = Parsed(page_of(tiny)).tags[2:]  # but for the policy's hashes
    assert Parsed(page).tags[2:] == harmless
    data, _ = Parsed(page).inside("script")
    assert data.isascii()
    assert not set(data) & set("<>&\0\x07\x7f")


def test_the_policy_allows_the_one_script_and_the_one_style_alone(tiny):
    page = Parsed(page_of(tiny))
    (policy,) = (
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and "http-equiv" in attributes
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    (style,), (_, script) = page.inside("style"), page.inside("script")
    for rule, content in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_nothing_is_asked_of_a_network(tiny):
    page = Parsed(page_of(tiny))
    for (_, attributes), name in itertools.product(page.tags, ("src", "href")):
        assert re.match(r"data:|#", attributes.get(name) or "#")
    for asset in PACKAGE.glob("*/assets/*"):
        text = asset.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//\w+\.|@import|url\(|fetch\(|innerHTML", text)


def test_the_same_trace_gives_the_same_page(tiny):
    assert tiny.to_html() == page_of(tiny)


@pytest.mark.usefixtures("_no_reasons")
def test_the_page_is_saved_as_it_is(tiny, tmp_path):
    path = tiny.save(tmp_path / "new folder" / "page.html")
    assert path.read_text("utf-8") == tiny.to_html()
    assert [*path.parent.iterdir()] == [path]


def test_no_trace_is_an_error():
    with pytest.raises(ValueError, match="no trace"):
        Traces().to_html()


def base_size() -> dict[str, Any]:
    """A model of base size with random weights: what a page weighs is the same."""
    model = DistilBertForSequenceClassification(DistilBertConfig()).eval()
    return {"model": model, "tokenizer": DistilBertTokenizer.from_pretrained("tiny")}


@pytest.mark.usefixtures("_no_reasons")
def test_at_base_size_a_sentence_of_32_tokens_is_below_one_and_a_half_megabytes():
    trace = explain("so " * 30, **base_size())
    assert len(trace.tokens) == 32
    assert len(trace.to_html().encode()) < 1_450_000


@pytest.mark.full
def test_at_base_size_a_text_of_512_tokens_is_below_five_megabytes():
    trace = explain(LONG, **base_size())
    assert len(trace.tokens) == 512
    assert len(trace.to_html().encode()) < 5_000_000


def used_by_the_page() -> Iterator[str]:
    script = (PACKAGE / "explainer" / "assets" / "page.js").read_text("utf-8")
    yield from re.findall(r'\bcode\("(\w+)"\)', script)


def test_every_step_of_the_page_has_its_lines_and_no_lines_are_unused():
    assert {*used_by_the_page()} == STEPS.keys()


@pytest.mark.parametrize("step", STEPS)
def test_the_lines_of_a_step_stand_in_the_source(step, tiny):
    found = data_of(page_of(tiny))["source"][step]
    file = (PACKAGE / found["file"]).read_text("utf-8").split("\n")
    assert found["lines"]
    margin = min(
        len(file[number - 1]) - len(file[number - 1].lstrip())
        for number, code in found["lines"]
        if code
    )
    for number, code in found["lines"]:
        assert file[number - 1][margin:] == code
    assert "def " not in "".join(code for _, code in found["lines"])


@pytest.mark.parametrize("step", STEPS)
def test_the_lines_of_a_step_are_whole_statements(step):
    function, names = STEPS[step]
    code = "\n".join(code for _, code in snippet(function, names).lines)
    tree = ast.parse(f"def step():\n{''.join(f'  {x}' for x in code.splitlines(True))}")
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {*names} <= found


def test_lines_that_are_gone_are_an_error():
    function, _ = STEPS["embeddings"]
    with pytest.raises(LookupError, match=r"Embeddings\.forward has no token_type_emb"):
        snippet(function, ("LayerNorm", "token_type_embeddings"))
