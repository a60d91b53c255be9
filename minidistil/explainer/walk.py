"""The walk from text to label in plain text, for a terminal of 80 columns.

Only ASCII is added to what the text and the vocabulary bring. On a line they come last,
where letters that run from right to left cannot carry numbers along.
"""

from __future__ import annotations

import itertools
import math
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from minidistil.explainer.attribution import Attribution
from minidistil.explainer.lens import Lens
from minidistil.explainer.patience import (
    MOST_STEPS,
    attribution_steps,
    can_ablate,
    what_is_long,
)
from minidistil.explainer.reading import Reading, Word
from minidistil.explainer.trace import ClassifierTrace, MaskedLMTrace, Trace
from minidistil.wordpiece import LONGEST_WORD

WIDTH = 80
NAME = 22  # columns for the name of a step
BAR = 16  # columns for the bar to each side
ROWS = 24  # of a longer table the beginning is shown
MOST = 5  # of a ranking
FIRST = 4  # numbers of a vector

# Characters that change the direction of what follows, by their bidirectional class.
TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def walk(
    traces: Trace | Sequence[Trace], *, patient: bool = False, progress: bool = False
) -> Iterator[str]:
    """Tell the way of one text, or of several in turn, line by line.

    Args:
        traces: One or more.
        patient: Compute attributions and ablations however long that takes.
        progress: Show on standard error how far attributions and ablations are.
    """
    shown = [traces] if isinstance(traces, Trace) else traces
    for trace in shown:
        yield from (texts_of(trace), "=" * WIDTH)
        yield from ("1. Text to tokens (wordpiece.py)", "", *_reading(trace), "")
        yield from ("2. Tokens to vectors (model.py)", "", *_layers(trace), "")
        yield from ("3. Vectors to answer (heads.py)", "", *_head(trace), "")
        if trace.head is not None:
            yield from ("Why this answer", "")
            yield from _why(trace, len(shown), patient, progress)
            yield ""


def answer(trace: Trace) -> str:
    """The label and its probability on one line."""
    if trace.answer is None:
        return "no answer"
    return f"{plain(trace.label or '')}  {float(trace.answer.max()):.4f}"


def texts_of(trace: Trace) -> str:
    """The text, or the two of a pair, as far as there is room on one line."""
    texts = " / ".join(reading.raw for reading in trace.readings)
    return _cut(plain(texts), WIDTH) or "(empty text)"


def why_no_answer(trace: Trace) -> str:
    """What the explanation of a model with another head, or with none, ends with."""
    return f"No answer is shown: {trace.not_shown}."


# Text


def plain(text: str) -> str:
    """The text on one line, without codes that steer the terminal or turn the line."""
    return "".join(
        char
        for char in " ".join(text.split())
        if unicodedata.category(char) not in ("Cc", "Zl", "Zp")
        and unicodedata.bidirectional(char) not in TURNS
    )


def _columns(text: str) -> int:
    """How wide a terminal shows a text."""
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(text: str, columns: int) -> str:
    """As much of a text as there is room for."""
    if _columns(text) <= columns:
        return text
    ends = itertools.accumulate(map(_width, text))
    return text[: sum(end <= columns - 3 for end in ends)] + "..."


def _line(left: str, text: str) -> str:
    """A line that ends in a text of any length."""
    return (left + _cut(plain(text), WIDTH - _columns(left))).rstrip()


def _listed(name: str, items: Iterable[str]) -> Iterator[str]:
    """A name, and items beside it on as many lines as they need."""
    line = start = f"  {name:{NAME - 2}}"
    for item in items:
        item = _cut(plain(item), WIDTH - NAME)
        if line != start and _columns(line) + _columns(item) > WIDTH:
            yield line.rstrip()
            line = start = " " * NAME
        line += item + "  "
    yield line.rstrip()


def _prose(text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        plain(text), WIDTH, initial_indent="  ", subsequent_indent="  "
    )


def _more(count: int, what: str) -> Iterator[str]:
    if count > ROWS:
        yield f"  ... and {count - ROWS} more {what}"


# 1. Text to tokens


def _reading(trace: Trace) -> Iterator[str]:
    for reading in trace.readings:
        yield from _steps(reading)
        yield ""
    yield "  place      id  characters  token"
    read = [token for token in trace.tokens if token.attend]
    for place, token in enumerate(read[:ROWS]):
        span = "" if token.start is None else f"{token.start}-{token.end}"
        yield _line(f"  {place:5}  {token.id:6}  {span:>10}  ", token.text)
    yield from _more(len(read), "tokens")
    if hidden := len(trace.tokens) - len(read):
        yield f"  and {hidden} of padding, which the mask hides"
    if all(token.word is None for token in read):
        yield from ("", *_prose(_emptiness(trace)))
    for reading in trace.readings:
        if reading.left_out:
            yield _line(
                f"  no room for {reading.left_out} more tokens of: ", reading.raw
            )


def _emptiness(trace: Trace) -> str:
    """What a text is of which the model reads no word."""
    blank = all(not reading.raw.strip() for reading in trace.readings)
    what = "The text is empty" if blank else "There is no word in the text"
    of = "what is read is" if trace.head is None else "the answer is that of"
    special = " ".join(token.text for token in trace.tokens if token.attend)
    return f"{what}: {of} {special} alone."


def _steps(reading: Reading) -> Iterator[str]:
    yield _line(f"  {'text':{NAME - 2}}", reading.raw)
    if reading.note:
        yield from _prose(f"The steps are not shown: {reading.note}.")
    else:
        yield _line(f"  {'clean':{NAME - 2}}", reading.cleaned)
    words = reading.words[:ROWS]
    yield from _listed("words", [word.text for word in words] or ["none"])
    yield from _more(len(reading.words), "words")
    if words and not reading.note:
        looked_up = [
            [one.found for one in word.attempts]
            for word in reading.words
            if not _is_literal(word)
        ]
        if looked_up:
            whole = f"{looked_up.count([True])} of {len(looked_up)}"
            yield f"  {'in the vocabulary':{NAME - 2}}{whole}"
        for word in words:
            yield from _attempts(word)


def _is_literal(word: Word) -> bool:
    """Whether it is no word but a token that is written out, such as [MASK]."""
    return not word.attempts and len(word.text) <= LONGEST_WORD


def _attempts(word: Word) -> Iterator[str]:
    """What was found of a word, and what was not found before; nothing if all was."""
    if not word.attempts:
        why = "a literal" if _is_literal(word) else "too long a word"
        yield _line(f"  {why:{NAME - 2}}", word.text)
        return
    if word.attempts[0].found:
        return
    name, unknown = word.text, list[str]()
    for attempt in word.attempts:
        if not attempt.found:
            unknown.append(attempt.text)
            continue
        yield from _found(name, attempt.text, unknown)
        name, unknown = "", []
    if unknown:
        yield from _found(name, "nothing", unknown)


def _found(word: str, piece: str, unknown: list[str]) -> Iterator[str]:
    few = [*unknown[:3], "..."] if len(unknown) > 3 else unknown
    tried = f", not {' '.join(few)}" if unknown else ""
    start = f"  {_padded(plain(word), NAME - 4)}  "
    yield start + _cut(plain(f"has {piece}{tried}"), WIDTH - NAME)


def _padded(text: str, columns: int) -> str:
    text = _cut(text, columns)
    return text + " " * (columns - _columns(text))


# 2. Tokens to vectors


def _layers(trace: Trace) -> Iterator[str]:
    place = _place(trace)
    at = trace.embeddings
    size = at.summed.shape[1]
    who = f"{trace.tokens[place].text} at {place}"
    yield _line(f"  Each token is a vector of {size} numbers, this is ", who)
    yield ""
    for name, vectors in vars(at).items():
        yield _vector(name, vectors[place])
    yield ""
    yield "  For each layer: how long its vector is then, and what it attends to, by"
    yield "  the mean of the heads and by the head that looks most at another token."
    yield ""
    for number, block in enumerate(trace.layer):
        weights = block.weights[:, place]  # (H, T)
        length = float(trace.norms[number + 1, place])
        yield from _listed(f"layer {number}", [f"length {length:.4f}"])
        yield from _listed("  mean of the heads", _top(trace, weights.mean(dim=0)))
        to_others = weights.clone()
        to_others[:, place] = -1
        head, key = divmod(int(to_others.argmax()), weights.shape[1])
        product = float(block.products[head, place, key])
        score = float(block.scores[head, place, key])
        k = block.q.shape[-1]
        yield _line(
            f"  {f'  head {head}':{NAME - 2}}q.k {product:.4f} / sqrt({k}) = "
            f"{score:.4f}, softmax {float(weights[head, key]):.4f}  ",
            trace.tokens[key].text,
        )


def _place(trace: Trace) -> int:
    """The token that the head reads; the first where no head is explained."""
    return trace.head.masks[0] if isinstance(trace.head, MaskedLMTrace) else 0


def _vector(name: str, vector: Tensor) -> str:
    numbers = "".join(f"{x:9.4f}" for x in vector[:FIRST].tolist())
    length = float(torch.linalg.vector_norm(vector))
    return _cut(f"  {name:{NAME - 2}}{numbers} ...  length {length:.4f}", WIDTH)


def _top(trace: Trace, weights: Tensor) -> list[str]:
    values, places = weights.topk(min(3, len(weights)))
    pairs = zip(values.tolist(), places.tolist(), strict=True)
    return [f"{weight:.4f} {trace.tokens[place].text}" for weight, place in pairs]


# 3. Vectors to answer


def _head(trace: Trace) -> Iterator[str]:
    if isinstance(trace.head, ClassifierTrace):
        return _classifier(trace, trace.head)
    if isinstance(trace.head, MaskedLMTrace):
        return _words(trace, trace.head)
    return _prose(why_no_answer(trace))


def _classifier(trace: Trace, head: ClassifierTrace) -> Iterator[str]:
    for name in ("cls", "pre_classifier", "relu"):
        yield _vector(name, getattr(head, name))
    kept = int((head.relu > 0).sum())
    yield from _listed("", [f"{kept} of {len(head.relu)} numbers are above 0"])
    yield ""
    yield f"  {ARITHMETIC[head.function]}"
    scores = head.logits.tolist()
    best = head.logits.argsort(descending=True, stable=True).tolist()
    for number in best[:ROWS]:
        numbers = _arithmetic(head, scores, number)
        yield _line(f"  {numbers}  ", trace.subject.name_of(number))
    yield from _more(len(best), "labels")
    yield from ("", _cut(f"  the answer: {answer(trace)}", WIDTH))


ARITHMETIC = {
    "softmax": "     logit  exp(logit - largest)  / sum = probability  label",
    "sigmoid": "     logit  exp(-logit)  1 / (1 + that) = probability  label",
    "none": "     logit, which is the answer itself",
}


def _arithmetic(head: ClassifierTrace, logits: list[float], number: int) -> str:
    """How one label's logit becomes its probability."""
    logit, probability = logits[number], float(head.probabilities[number])
    if head.function == "softmax":
        largest = max(logits)
        sizes = [math.exp(each - largest) for each in logits]
        return (
            f"{logit:10.4f}{sizes[number]:22.4f}  / {sum(sizes):.4f} = "
            f"{probability:.4f}     "
        )
    if head.function == "sigmoid":
        size = float(torch.exp(-head.logits[number]))
        return f"{logit:10.4f}{size:13.4f}  1 / (1 + that) = {probability:.4f}     "
    return f"{logit:10.4f}"


def _words(trace: Trace, head: MaskedLMTrace) -> Iterator[str]:
    for row, place in enumerate(head.masks):
        for name in ("vocab_transform", "activation", "vocab_layer_norm"):
            if row == 0:
                yield _vector(name, getattr(head, name)[row])
        yield from ("", f"  the mask at {place}: logit, probability, word")
        for word in head.logits[row].topk(min(MOST, head.logits.shape[1])).indices:
            numbers = f"{float(head.logits[row, word]):10.4f}"
            numbers += f"{float(head.probabilities[row, word]):10.4f}"
            yield _line(f"  {numbers}  ", trace.subject.name_of(int(word)))


# Why


def _why(trace: Trace, texts: int, patient: bool, progress: bool) -> Iterator[str]:
    name = trace.label or ""
    if isinstance(trace.head, MaskedLMTrace):
        name += f" at {trace.head.masks[0]}"
    yield _line("  What each word adds to the logit of ", name)
    if steps := MOST_STEPS if patient else attribution_steps(trace, texts):
        yield from _shares(trace, trace.attribute(max_steps=steps, progress=progress))
    else:
        yield _too_long(trace, texts, alone=attribution_steps(trace) > 0)
    yield from ("", _line("  The head on the vector behind each layer, for ", name))
    yield from _lens(trace, trace.lens())
    yield from ("", _line("  Without it, this is added to the logit of ", name))
    if patient or can_ablate(trace, texts):
        yield from _ablations(trace, progress)
    else:
        yield _too_long(trace, texts, alone=can_ablate(trace))


def _too_long(trace: Trace, texts: int, *, alone: bool) -> str:
    return f"  For {what_is_long(trace, texts, alone=alone)} that takes long: --patient"


def _shares(trace: Trace, found: Attribution) -> Iterator[str]:
    rows = [
        (share, word.text)
        for reading, shares in zip(trace.readings, found.words, strict=True)
        for word, share in zip(reading.words, shares, strict=True)
    ]
    largest = max((abs(share) for share, _ in rows), default=0.0)
    for share, word in rows[:ROWS]:
        yield _line(f"  {_bar(share, largest)}{share:10.4f}  ", word)
    yield from _more(len(rows), "words")
    total = sum(share for share, _ in rows) + found.specials
    space = " " * (2 + 2 * BAR + 1)
    yield f"{space}{found.specials:10.4f}  special tokens (kept, so 0)"
    yield f"{space}{total:10.4f}  sum"
    change = f"{found.logit - found.baseline:10.4f}"
    yield f"{space}{change}  = {found.logit:.4f} - ({found.baseline:.4f} of [PAD]s)"
    reached = "" if found.reached else "; more steps would be better"
    off = f"{100 * found.error:.2f} % off{reached}"
    yield f"  by integrated gradients in {found.steps} steps, {off}"


def _bar(share: float, largest: float) -> str:
    """A bar to the left of the middle for what is below 0, to the right above."""
    size = round(BAR * abs(share) / largest) if largest else 0
    left, right = ("-" * size, "") if share < 0 else ("", "+" * size)
    return f"{left:>{BAR}}|{right:{BAR}}"


def _lens(trace: Trace, found: Lens) -> Iterator[str]:
    for layer, row in enumerate(found.probabilities):
        where = f"behind layer {layer - 1}" if layer else "embeddings"
        best = int(row.argmax())
        own = float(row[trace.target])
        yield _line(
            f"  {where:{NAME - 2}}{own:.4f}; most probable: {float(row[best]):.4f}  ",
            trace.subject.name_of(best),
        )


def _ablations(trace: Trace, progress: bool) -> Iterator[str]:
    found = trace.ablations(progress=progress)
    layers = [(change, f"layer {i}") for i, change in enumerate(found.layers.tolist())]
    heads = [
        (change, f"layer {i}, head {j}")
        for i, changes in enumerate(found.heads.tolist())
        for j, change in enumerate(changes)
    ]
    tokens = [
        (change, f"{token.text} at {place}")
        for place, (change, token) in enumerate(
            zip(found.tokens.tolist(), trace.tokens, strict=True)
        )
        if token.attend
    ]
    for changes in (layers, heads, tokens):
        for change, name in sorted(changes, key=lambda each: -abs(each[0]))[:MOST]:
            yield _line(f"  {change:10.4f}  ", name)
