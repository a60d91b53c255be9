"""Published outputs of real checkpoints, and what it takes to equal one.

Each line of ``goldens.jsonl`` is a fact: what a checkpoint answered somewhere, with its
source and the tolerance that the number of printed digits allows. Left out are answers
that are means or maxima over several windows of a long text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.heads import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
)
from minidistil.model import DistilBertModel
from minidistil.tokenizer import DistilBertTokenizer

FILE = Path(__file__).parent / "goldens.jsonl"
LONGEST_ANSWER = 15  # tokens; what the published answers were found with

Golden = dict[str, Any]

# The model that each sort of golden is of.
KINDS: dict[str, type[PreTrainedModel]] = {
    "hidden": DistilBertModel,
    "seqcls": DistilBertForSequenceClassification,
    "fillmask": DistilBertForMaskedLM,
    "fillmask_ids": DistilBertForMaskedLM,
    "mlm": DistilBertForMaskedLM,
    "tokcls": DistilBertForTokenClassification,
    "qa": DistilBertForQuestionAnswering,
    "qa_logits": DistilBertForQuestionAnswering,
    "mc": DistilBertForMultipleChoice,
}


class DiffersError(AssertionError):
    """An answer is not the one that was published."""


class UndecidedError(Exception):
    """An answer cannot be given in this way, or not exactly enough to tell."""


class Answering(NamedTuple):
    """A checkpoint that answers.

    Attributes:
        answer: Takes ``input_ids`` and perhaps ``attention_mask``; returns hidden
            states or logits (for question answering (B, T, 2): starts and ends), as
            float32 on the CPU. It raises `UndecidedError` for what it cannot read.
        tokenizer: Makes the tokenizer.
        labels: The names of the classes.
        slack: How far numbers may be off, beside what the printed digits allow; 0
            unless it computes in less than float32.
    """

    answer: Callable[[Mapping[str, Tensor]], Tensor]
    tokenizer: Callable[[], DistilBertTokenizer]
    labels: Mapping[int, str]
    slack: float = 0.0


def goldens() -> list[Golden]:
    """All published outputs."""
    return [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


def goldens_of(repo: str) -> list[Golden]:
    """Those of one checkpoint, which may be named without its owner."""
    return [
        each
        for each in goldens()
        if repo in (each["checkpoint"], each["checkpoint"].partition("/")[2])
    ]


def title(golden: Golden) -> str:
    """A few words that tell one golden from another."""
    given = golden["input"]
    what = given.get("texts") or given.get("question") or given.get("input_ids") or ""
    return f"{golden['task']} {what!s:.60}"


def check(golden: Golden, who: Answering) -> None:
    """Compare an answer with the published one.

    Raises:
        DiffersError: if it is another.
        UndecidedError: if that cannot be told.
    """
    _CHECKS[golden["task"]](golden, who)


def _inputs(golden: Golden, who: Answering) -> dict[str, Tensor]:
    given = golden["input"]
    if "texts" not in given:
        names = ("input_ids", "attention_mask")
        return {name: torch.tensor(given[name]) for name in names if name in given}
    texts = [tuple(x) if isinstance(x, list) else x for x in given["texts"]]
    inputs = who.tokenizer()(texts, padding=True, return_tensors="pt")
    if "input_ids" in given:
        _same("ids", inputs["input_ids"].tolist(), given["input_ids"])
    if given.get("no_attention_mask"):
        del inputs["attention_mask"]
    return dict(inputs)


def _same(what: str, got: object, published: object) -> None:
    if got != published:
        raise DiffersError(f"{what}: {got}, published: {published}")


def _close(got: Tensor, published: Any, tolerance: float) -> None:
    expected = torch.tensor(published)
    _same("shape", tuple(got.shape), tuple(expected.shape))
    error = (got - expected).abs().max().item()
    if not error <= tolerance:  # nor if it is NaN
        raise DiffersError(f"off by {error:.2e}: {got.tolist()}, published {published}")


def _part(values: Tensor, expression: str) -> Tensor:
    """What an expression such as ``logits[:,1:4,0]`` means; a comment may follow it."""
    found = re.search(r"\[([-\d:,]+)\]", expression)
    if found is None:
        raise ValueError(f"no place such as [:,1:4] in {expression!r}")
    place = tuple(
        slice(*(int(end) if end else None for end in each.split(":")))
        if ":" in each
        else int(each)
        for each in found[1].split(",")
    )
    return values[place]


def _check_slice(golden: Golden, who: Answering) -> None:
    values, expected = who.answer(_inputs(golden, who)), golden["expected"]
    _same("shape", list(values.shape), expected.get("shape", list(values.shape)))
    part = _part(values, expected["slice"])
    _close(part, expected["values"], golden["tol"] + who.slack)


def _check_classes(golden: Golden, who: Answering) -> None:
    expected = golden["expected"]
    tolerance = (golden["tol"] or 0.0) + who.slack
    logits = who.answer(_inputs(golden, who))
    scores = logits.softmax(dim=-1)
    if "logits" in expected:
        _close(logits, expected["logits"], tolerance)
    if "probs" in expected:
        _close(scores, expected["probs"], tolerance)
    certain = min(expected.get("scores", [1.0])) > 0.5 + who.slack
    if "labels" in expected and (certain or not who.slack):
        labels = [who.labels[int(i)] for i in logits.argmax(dim=-1)]
        _same("labels", labels, expected["labels"])
        if "scores" in expected:
            _close(scores.max(dim=-1).values, expected["scores"], tolerance)
    elif "labels" in expected:
        raise UndecidedError("the two labels are too close")


def _check_words(golden: Golden, who: Answering) -> None:
    tokenizer, inputs = who.tokenizer(), _inputs(golden, who)
    (place,) = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()
    scores = who.answer(inputs)[0, place.item()].softmax(dim=-1)
    tokens, ids, published = zip(*golden["expected"]["top"], strict=True)
    if golden["tol"] is not None:
        _close(scores[list(ids)], list(published), golden["tol"] + who.slack)
    if who.slack:
        raise UndecidedError("the words are too close to be put in order")
    best = scores.topk(len(tokens)).indices.tolist()
    _same("words", tokenizer.convert_ids_to_tokens(best), list(tokens))


def _check_guessed_words(golden: Golden, who: Answering) -> None:
    tokenizer, inputs = who.tokenizer(), _inputs(golden, who)
    places = golden["input"]["set_mask_at"]
    for row, place in places:
        inputs["input_ids"][row, place] = tokenizer.mask_token_id
    best = who.answer(inputs).argmax(dim=-1)
    tokens = [tokenizer.convert_ids_to_tokens(int(best[i, j])) for i, j in places]
    _same("words", tokens, golden["expected"]["argmax_tokens"])


def _check_span_logits(golden: Golden, who: Answering) -> None:
    logits = who.answer(_inputs(golden, who))
    for name, published in golden["expected"].items():
        side = logits[..., 0 if name.startswith("start") else 1]
        _close(_part(side, name), published, golden["tol"] + who.slack)


def _check_logits(golden: Golden, who: Answering) -> None:
    logits = who.answer(_inputs(golden, who))
    _close(logits, golden["expected"]["logits"], golden["tol"] + who.slack)


def _check_tokens(golden: Golden, who: Answering) -> None:
    ids = _inputs(golden, who)["input_ids"].tolist()
    _same("ids", ids, golden["expected"]["input_ids"])


def _check_span(golden: Golden, who: Answering) -> None:
    expected = golden["expected"]
    if who.slack and expected["score"] < 0.5 + who.slack:
        raise UndecidedError("another answer is too close")
    question, context = golden["input"]["question"], golden["input"]["context"]
    encoding = who.tokenizer()(
        [question], [context], return_tensors="pt", return_offsets_mapping=True
    )
    spans = encoding.pop("offset_mapping")[0].tolist()
    logits = who.answer({"input_ids": encoding["input_ids"]})[0]
    is_context = torch.tensor([i == 1 for i in encoding.sequence_ids()])
    first, last, score = best_span(logits[:, 0], logits[:, 1], is_context)
    # An answer is of whole words.
    words = encoding.word_ids()
    of_context = [i for i, mine in enumerate(is_context.tolist()) if mine]
    start = min(spans[i][0] for i in of_context if words[i] == words[first])
    end = max(spans[i][1] for i in of_context if words[i] == words[last])
    published = (expected["answer"], expected["start"], expected["end"])
    _same("answer", (context[start:end], start, end), published)
    _close(torch.tensor(score), expected["score"], golden["tol"] + who.slack)


def best_span(
    start_logits: Tensor, end_logits: Tensor, is_context: Tensor
) -> tuple[int, int, float]:
    """Return the first and the last token of the best answer, and its score.

    As in version 4 of transformers: of the tokens, those of the context and [CLS] (no
    answer) share the probability, and then [CLS] is not an answer.
    """
    allowed = is_context.clone()
    allowed[0] = True
    start, end = (
        logits.masked_fill(~allowed, -1e4).softmax(dim=0) * is_context
        for logits in (start_logits, end_logits)
    )
    scores = (start[:, None] * end).triu().tril(LONGEST_ANSWER - 1)  # (T, T)
    first, last = divmod(int(scores.argmax()), len(scores))
    return first, last, float(scores[first, last])


def _check_dataset(golden: Golden, who: Answering) -> None:
    raise UndecidedError(f"needs {golden['input']['dataset']}: scripts/evaluate.py")


_CHECKS: dict[str, Callable[[Golden, Answering], None]] = {
    "hidden": _check_slice,
    "seqcls": _check_classes,
    "fillmask": _check_words,
    "fillmask_ids": _check_guessed_words,
    "mlm": _check_slice,
    "tokcls": _check_slice,
    "qa": _check_span,
    "qa_logits": _check_span_logits,
    "mc": _check_logits,
    "tokens": _check_tokens,
    "dataset": _check_dataset,
}
