"""Published results of real checkpoints, and whether a model gives them too.

Each line of ``goldens.jsonl`` is a fact: what a checkpoint gave somewhere, with its
source and the tolerance that the number of printed digits allows. Left out are results
that are means or maxima over several windows of a long text. A line has

- ``kind``: the class of the model; null if only the tokenizer is asked;
- ``input``: ``texts``, or ``input_ids`` and perhaps ``attention_mask``, or a
  ``question`` and its ``context``;
- ``expected``: ``input_ids``, the ``shape`` of the output, ``output`` and ``probs``
  (its softmax), or a part of them, such as ``output[:,1:4,0]``; ``labels``, ``words``
  for the masks, or the ``answer``, with their ``scores``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minidistil.pipelines.question_answering import best_spans
from minidistil.tokenizer import DistilBertTokenizer

FILE = Path(__file__).parent / "goldens.jsonl"
LONGEST_ANSWER = 15  # tokens; what the published answers were found with

Golden = dict[str, Any]
Run = Callable[[Mapping[str, Tensor]], Tensor]


class DiffersError(AssertionError):
    """A result is not the one that was published."""


class UndecidedError(Exception):
    """A result cannot be had in this way, or not exactly enough to judge it."""


class Subject(NamedTuple):
    """What is asked for its results.

    Attributes:
        run: Takes ``input_ids`` and perhaps ``attention_mask``; returns hidden states
            or logits (for question answering (B, T, 2): starts and ends), as float32
            on the CPU. It raises `UndecidedError` for what it cannot read. None
            if the tokenizer alone is asked.
        tokenizer: Makes the tokenizer.
        labels: The names of the classes.
        slack: How far numbers may be off, beside what the printed digits allow; 0
            unless it computes in less than float32.
    """

    run: Run | None
    tokenizer: Callable[[], DistilBertTokenizer]
    labels: Mapping[int, str]
    slack: float = 0.0


def goldens() -> list[Golden]:
    """All published results."""
    return [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


def goldens_of(repo: str) -> list[Golden]:
    """Those of one checkpoint, which may be named without its owner."""
    return [
        each
        for each in goldens()
        if repo in (each["checkpoint"], each["checkpoint"].partition("/")[2])
    ]


def title(golden: Golden) -> str:
    """A few words that identify a golden."""
    given = golden["input"]
    of = given.get("texts") or given.get("question") or given.get("input_ids") or ""
    return f"{', '.join(golden['expected'])} of {of!s:.60}"


def check(golden: Golden, subject: Subject) -> None:
    """Compare results with the published ones.

    Raises:
        DiffersError: if they are others.
        UndecidedError: if that cannot be judged.
    """
    given, expected = golden["input"], golden["expected"]
    if "dataset" in given:
        raise UndecidedError(f"needs {given['dataset']}: minidistil evaluate")
    inputs = _inputs(given, subject)
    if "input_ids" in expected:
        _check_same("input_ids", inputs["input_ids"].tolist(), expected["input_ids"])
    if subject.run is None:
        return
    tolerance = golden["tol"] + subject.slack
    output = subject.run(inputs)
    for key, published in expected.items():
        name, _, place = key.partition("[")
        if name == "shape":
            _check_same(name, [*output.shape], published)
        elif name in ("output", "probs"):
            values = output if name == "output" else output.softmax(dim=-1)
            _check_close(values[_place(place)], published, tolerance)
        elif name in ("labels", "words", "answer"):
            choice, scores = _choose(name, golden, inputs, output, subject)
            if "scores" in expected:
                _check_close(scores, expected["scores"], tolerance)
            if subject.slack and not _is_certain(name, expected, subject.slack):
                raise UndecidedError(f"the {name} are too close to others")
            _check_same(name, choice, published)


def _inputs(given: Mapping[str, Any], subject: Subject) -> dict[str, Tensor]:
    if "input_ids" in given:
        return {name: torch.tensor(each) for name, each in given.items()}
    if "question" in given:
        texts = [(given["question"], given["context"])]
    else:
        texts = [tuple(x) if isinstance(x, list) else x for x in given["texts"]]
    return dict(subject.tokenizer()(texts, padding=True, return_tensors="pt"))


def _choose(
    what: str,
    golden: Golden,
    inputs: Mapping[str, Tensor],
    output: Tensor,
    subject: Subject,
) -> tuple[Any, Tensor]:
    """What is chosen from an output, and its scores."""
    if what == "labels":
        scores, classes = output.softmax(dim=-1).max(dim=-1)
        return [subject.labels[i] for i in classes.tolist()], scores
    tokenizer = subject.tokenizer()
    if what == "words":
        # For each mask as many as were published, the best first.
        count = len(golden["expected"]["words"][0])
        masks = inputs["input_ids"] == tokenizer.mask_token_id
        scores, ids = output[masks].softmax(dim=-1).topk(count)
        return [*map(tokenizer.convert_ids_to_tokens, ids.tolist())], scores
    # The best answer, and the characters of the context from and to.
    question, context = golden["input"]["question"], golden["input"]["context"]
    encoding = tokenizer([question], [context], return_offsets_mapping=True)
    tokens = [i for i, which in enumerate(encoding.sequence_ids()) if which == 1]
    first, last, score = best_span(output[0], tokens)
    # An answer is of whole words.
    words, spans = encoding.word_ids(), encoding["offset_mapping"][0]
    begin = min(spans[i][0] for i in tokens if words[i] == words[first])
    stop = max(spans[i][1] for i in tokens if words[i] == words[last])
    return [context[begin:stop], begin, stop], torch.tensor(score)


def best_span(logits: Tensor, of_context: list[int]) -> tuple[int, int, float]:
    """Return the first and the last token of the best answer, and its score.

    As in version 4 of transformers: the tokens of the context and [CLS] (no answer)
    share the probability, and then [CLS] is not an answer.

    Args:
        logits: (T, 2) Of each token, as the first and as the last.
        of_context: The places of the context's tokens.
    """
    start, end = logits[[0, *of_context]].softmax(dim=0)[1:].unbind(dim=1)
    (best,) = best_spans(start, end, LONGEST_ANSWER, 1)
    return of_context[best.first], of_context[best.last], best.score


def _is_certain(name: str, expected: Golden, slack: float) -> bool:
    """Whether no error of that size leads to another choice, by what was published."""
    if "scores" in expected:
        return float(torch.tensor(expected["scores"]).min()) > 0.5 + slack
    return name != "words" or len(expected["words"][0]) == 1  # else their order counts


def _place(text: str) -> tuple[Any, ...]:
    """What follows a bracket, such as ``:,1:4,0]``, as an index; "" is all."""
    parts = text.rstrip("]").split(",")
    return tuple(
        slice(*(int(end) if end else None for end in part.split(":")))
        if ":" in part
        else int(part)
        for part in parts
        if part
    )


def _check_same(name: str, found: object, published: object) -> None:
    if found != published:
        raise DiffersError(f"{name}: {found}, published: {published}")


def _check_close(found: Tensor, published: Any, tolerance: float) -> None:
    expected = torch.tensor(published)
    _check_same("shape", [*found.shape], [*expected.shape])
    error = (found - expected).abs().max().item()
    if not error <= tolerance:  # nor if it is NaN
        raise DiffersError(
            f"off by {error:.2e}: {found.tolist()}, published: {published}"
        )
