"""Answers to questions: which one a model gives, and how good it is, as SQuAD has it.

Rajpurkar et al. 2016 (arXiv:1606.05250) and 2018 (arXiv:1806.03822), and the evaluation
published with the second data set, where a question may have no answer: then the empty
text is right, and nothing else. The choice of an answer is BERT's (Devlin et al. 2018,
arXiv:1810.04805, 4.2 and 4.3): the span with the highest sum of two logits, unless that
of [CLS] is higher.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.training import metrics
from minidistil.training.measures import Measure, Mistake, State

LONGEST = 30  # tokens of an answer, in BERT's own evaluation

ARTICLES = re.compile(r"\b(?:a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(answer: str) -> list[str]:
    """What counts of an answer: its words, in lower case.

    Without ASCII punctuation, and without the articles a, an, the.
    """
    return ARTICLES.sub(" ", answer.lower().translate(NO_PUNCTUATION)).split()


def exact_match(answer: str, golds: Iterable[str]) -> float:
    """1 if the words of an answer are those of one of the right answers, else 0."""
    return float(words_of(answer) in right_answers(golds))


def answer_f1(answer: str, golds: Iterable[str]) -> float:
    """F1 of the words of an answer, against the right answer that is most like it."""
    found = words_of(answer)
    return max(_f1(found, right) for right in right_answers(golds))


def right_answers(golds: Iterable[str]) -> list[list[str]]:
    """The words of the right answers; without any, the right one has no words."""
    return [words for words in map(words_of, golds) if words] or [[]]


def _f1(found: list[str], right: list[str]) -> float:
    if not found or not right:
        return float(found == right)
    same = (Counter(found) & Counter(right)).total()
    return 2 * same / (len(found) + len(right))


def best_spans(
    logits: Tensor, inside: Tensor, longest: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best answer of each window.

    Args:
        logits: Of the first and the last token of the answer, (B, T, 2).
        inside: Which tokens may be in an answer: those of the context, (B, T).
        longest: The tokens that an answer may have.

    Returns:
        The sum of its two logits, float64, or -inf where there is none; its first and
        its last token; each (B,). Of equal ones it is the first, and the shortest.
    """
    allowed = logits.double().masked_fill(~inside[..., None], -math.inf)
    start, end = allowed.nan_to_num(nan=-math.inf).unbind(dim=-1)  # (B, T)
    width = min(longest, logits.shape[1])
    # In row i stand the ends that a span from token i can have: i, i + 1, …
    ends = F.pad(end, (0, width - 1), value=-math.inf).unfold(1, width, 1)
    scores = (start[..., None] + ends).flatten(1)  # (B, T * width)
    place = scores.argmax(dim=1, keepdim=True)
    first = place.div(width, rounding_mode="floor")
    best = scores.gather(1, place)
    return best[:, 0], first[:, 0], (first + place % width)[:, 0]


class Found(NamedTuple):
    """The best answer of the windows that were seen of a question.

    Attributes:
        score: The sum of its logits.
        window: The window that it is in; of as good ones the first.
        first: Its first token, as a number in the context.
        last: Its last token.
        null: The sum of the logits of "no answer", in the window that denies it most.
        loss: Of the window that is worst.
    """

    score: float
    window: int
    first: int
    last: int
    null: float
    loss: float

    def or_better(self, other: Found) -> Found:
        """What is known of both together."""
        best = max(self, other, key=lambda each: (each.score, -each.window))
        return best._replace(
            null=min(self.null, other.null), loss=max(self.loss, other.loss)
        )


class Questions(NamedTuple):
    """Questions, and the windows that their contexts are read in.

    Attributes:
        contexts: The context of each question.
        golds: The right answers of each; none where there is no answer.
        characters: Of each, where in the context its tokens stand, from and to,
            (tokens of the context, 2).
        owners: The question of each window, (windows,).
        lengths: The tokens of each window, with [CLS] and [SEP], (windows,).
        before: Those before the part of the context, (windows,); [SEP] follows it.
        firsts: The first token of this part, as a number in the context, (windows,).
        spans: The first and the last token of the right answer, as places in the
            window, (windows, 2); 0, which is [CLS], where it has none.
    """

    contexts: Sequence[str]
    golds: Sequence[Sequence[str]]
    characters: Sequence[Tensor]
    owners: Tensor
    lengths: Tensor
    before: Tensor
    firsts: Tensor
    spans: Tensor


class QuestionMeasure(Measure):
    """Of questions; its rows are windows, what it counts are questions.

    Metrics: F1 of the answers' words, and exact match.
    """

    metrics = ("f1", "exact_match", "loss")

    def __init__(
        self,
        questions: Questions,
        *,
        longest: int = LONGEST,
        threshold: float = 0.0,
        impossible: bool | None = None,
    ) -> None:
        """Begin with nothing.

        Args:
            questions: What is asked, and what is right.
            longest: The tokens that an answer may have.
            threshold: How much higher the logits of "no answer" have to be than those
                of the best answer.
            impossible: Whether "no answer" may be given; by default if it is ever
                right.
        """
        super().__init__(len(questions.owners))
        self.questions, self.longest, self.threshold = questions, longest, threshold
        self.impossible = not all(questions.golds) if impossible is None else impossible
        self.found: dict[int, Found] = {}

    def merge(self, state: State) -> None:
        """Add the windows of another measure of the same questions; see `Measure`."""
        super().merge(state)
        for question, *found in state["found"]:
            self._take(question, Found(*found))

    def state(self) -> State:
        """All that was added, for `merge`."""
        found = [[question, *each] for question, each in self.found.items()]
        return super().state() | {"found": found}

    def answer(self, question: int) -> str:
        """The answer to a question of which a window was seen; "" is that none is."""
        found = self.found[question]
        none = self.impossible and found.null - found.score > self.threshold
        if none or found.score == -math.inf:
            return ""
        characters = self.questions.characters[question]
        start, end = int(characters[found.first, 0]), int(characters[found.last, 1])
        return self.questions.contexts[question][start:end]

    def _add(self, rows: Tensor, logits: Tensor) -> None:
        asked = self.questions
        place, lengths = torch.arange(logits.shape[1]), asked.lengths[rows, None]
        before, firsts = asked.before[rows], asked.firsts[rows]
        inside = (place >= before[:, None]) & (place < lengths - 1)  # (B, T)
        scores, first, last = best_spans(logits, inside, self.longest)
        losses = _losses(logits, place < lengths, asked.spans[rows])
        self.loss.add(losses)
        columns = (
            asked.owners[rows],
            scores,
            rows,
            firsts + first - before,
            firsts + last - before,
            logits[:, 0].double().sum(dim=1).nan_to_num(nan=math.inf),
            losses.nan_to_num(nan=math.inf),
        )
        for question, *found in zip(*(each.tolist() for each in columns), strict=True):
            self._take(question, Found(*found))

    def _take(self, question: int, found: Found) -> None:
        before = self.found.get(question)
        self.found[question] = found if before is None else before.or_better(found)

    def _scores(self) -> dict[int, tuple[float, float]]:
        """F1 and exact match of each question."""
        scores = {}
        for question in sorted(self.found):
            answer, golds = self.answer(question), self.questions.golds[question]
            scores[question] = answer_f1(answer, golds), exact_match(answer, golds)
        return scores

    def _figures(self) -> dict[str, float]:
        return _means([*self._scores().values()])

    def details(self) -> dict[str, Any]:
        """What a person wants to know beside, for JSON.

        Questions with an answer, ``answerable``, and without, ``impossible``, each with
        F1 and exact match. The worst mistakes are answers without a right word.
        """
        scores = self._scores()
        self.worst = []
        self._note(self._mistake(each) for each, (f1, _) in scores.items() if f1 == 0)
        parts: dict[str, Any] = {"questions": len(scores)}
        for name, has_answer in (("answerable", True), ("impossible", False)):
            of = [
                scores[each]
                for each in scores
                if bool(self.questions.golds[each]) == has_answer
            ]
            parts[name] = {"questions": len(of), **metrics.as_json(_means(of))}
        return super().details() | parts

    def _mistake(self, question: int) -> Mistake:
        golds, found = self.questions.golds[question], self.found[question]
        right = golds[0] if golds else ""
        return Mistake(found.window, found.loss, right, self.answer(question))


def _losses(logits: Tensor, is_token: Tensor, spans: Tensor) -> Tensor:
    """The mean of the losses of both ends, in each window, (B,); no end is padding."""
    scores = logits.float().masked_fill(~is_token[..., None], -math.inf)
    losses = F.cross_entropy(
        scores.transpose(1, 2).flatten(0, 1), spans.long().flatten(), reduction="none"
    )
    return losses.view(-1, 2).mean(dim=1)


def _means(scores: Sequence[tuple[float, float]]) -> dict[str, float]:
    means = [math.fsum(each) / len(scores) for each in zip(*scores, strict=True)] or [
        math.nan,
        math.nan,
    ]
    return dict(zip(("f1", "exact_match"), means, strict=True))
