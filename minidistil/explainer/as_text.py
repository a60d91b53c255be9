"""A trace in plain text, for a terminal of 80 columns.

Everything is ASCII but the text and the words of the vocabulary. These come last on
their line, where letters that run from right to left cannot reorder the numbers.
"""

from __future__ import annotations

import itertools
import math
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from minidistil.explainer.ablation import ablations
from minidistil.explainer.attribution import Attribution, attribute
from minidistil.explainer.budget import plan
from minidistil.explainer.lens import Lens, lens
from minidistil.explainer.reading import Reading, Word
from minidistil.explainer.trace import ClassifierTrace, MaskedLMTrace, Record
from minidistil.wordpiece import LONGEST_WORD

WIDTH = 80
NAME = 22  # columns for the name of a step
BAR = 16  # columns for the bar to each side
ROWS = 24  # of a longer table the beginning is shown
MOST = 5  # of a ranking
FIRST = 4  # numbers of a vector

# The bidirectional classes of characters that change the direction of what follows.
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def text_lines(
    traces: Sequence[Record], *, patient: bool = False, progress: bool = False
) -> Iterator[str]:
    """Print every step of one text, or of several in turn, line by line.

    Args:
        traces: One or more.
        patient: Compute attributions and ablations however long that takes.
        progress: Show a progress bar of these on standard error.
    """
    for trace in traces:
        yield from (title(trace), "=" * WIDTH)
        yield from ("1. Text to tokens (wordpiece.py)", "", *_text(trace), "")
        yield from ("2. Tokens to vectors (model.py)", "", *_layers(trace), "")
        yield from ("3. Vectors to answer (heads.py)", "", *_head(trace), "")
        if trace.head is not None:
            yield from ("Why this answer", "")
            yield from _reasons(trace, len(traces), patient, progress)
            yield ""


def answer_line(trace: Record) -> str:
    """The label and its probability."""
    if trace.answer is None:
        return "no answer"
    return f"{one_line(trace.label or '')}  {float(trace.answer.max()):.4f}"


def title(trace: Record) -> str:
    """The text, or the two of a pair, truncated to one line."""
    texts = " / ".join(reading.raw for reading in trace.readings)
    return _truncated(one_line(texts), WIDTH) or "(empty text)"


def why_no_answer(trace: Record) -> str:
    """The reason why the head is not shown, if there is a head at all."""
    return f"No answer is shown: {trace.not_shown}."


# Text


def one_line(text: str) -> str:
    """The text on one line, without characters that control a terminal.

    Those that change the direction of the line are left out too.
    """
    return "".join(
        char
        for char in " ".join(text.split())
        if unicodedata.category(char) not in ("Cc", "Zl", "Zp")
        and unicodedata.bidirectional(char) not in DIRECTIONS
    )


def _columns(text: str) -> int:
    """How many columns a text takes on a terminal."""
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _truncated(text: str, columns: int) -> str:
    """The text; of one that is too wide the beginning, and three dots."""
    if _columns(text) <= columns:
        return text
    ends = itertools.accumulate(map(_width, text))
    return text[: sum(end <= columns - 3 for end in ends)] + "..."


def _line(left: str, text: str) -> str:
    """A line that ends in a text, truncated to the width of the terminal."""
    return (left + _truncated(one_line(text), WIDTH - _columns(left))).rstrip()


def _listed(name: str, items: Iterable[str]) -> Iterator[str]:
    """A name, and items beside it on as many lines as they need."""
    line = start = f"  {name:{NAME - 2}}"
    for item in items:
        item = _truncated(one_line(item), WIDTH - NAME)
        if line != start and _columns(line) + _columns(item) > WIDTH:
            yield line.rstrip()
            line = start = " " * NAME
        line += item + "  "
    yield line.rstrip()


def _prose(text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        one_line(text), WIDTH, initial_indent="  ", subsequent_indent="  "
    )


def _more(count: int, what: str) -> Iterator[str]:
    if count > ROWS:
        yield f"  ... and {count - ROWS} more {what}"


# 1. Text to tokens


def _text(trace: Record) -> Iterator[str]:
    for reading in trace.readings:
        yield from _steps(reading)
        yield ""
    yield "  position      id  characters  token"
    read = [token for token in trace.tokens if token.attend]
    for position, token in enumerate(read[:ROWS]):
        span = "" if token.start is None else f"{token.start}-{token.end}"
        yield _line(f"  {position:8}  {token.id:6}  {span:>10}  ", token.text)
    yield from _more(len(read), "tokens")
    if hidden := len(trace.tokens) - len(read):
        yield f"  and {hidden} padding tokens, which the mask hides"
    if all(token.word is None for token in read):
        yield from ("", *_prose(_emptiness(trace)))
    for reading in trace.readings:
        if reading.left_out:
            yield _line(
                f"  {reading.left_out} more tokens do not fit, of: ", reading.raw
            )


def _emptiness(trace: Record) -> str:
    """What to say of a text of which the model reads no word."""
    blank = all(not reading.raw.strip() for reading in trace.readings)
    what = "The text is empty" if blank else "There is no word in the text"
    of = "the model reads" if trace.head is None else "the answer is for"
    special = " ".join(token.text for token in trace.tokens if token.attend)
    return f"{what}: {of} {special} only."


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
            if not _is_special(word)
        ]
        if looked_up:
            whole = f"{looked_up.count([True])} of {len(looked_up)}"
            yield f"  {'in the vocabulary':{NAME - 2}}{whole}"
        for word in words:
            yield from _attempts(word)


def _is_special(word: Word) -> bool:
    """Whether it is a special token that the text contains, such as [MASK]."""
    return not word.attempts and len(word.text) <= LONGEST_WORD


def _attempts(word: Word) -> Iterator[str]:
    """The pieces of a word, and what was tried in vain; nothing for a whole word."""
    if not word.attempts:
        why = "a special token" if _is_special(word) else "too long a word"
        yield _line(f"  {why:{NAME - 2}}", word.text)
        return
    if word.attempts[0].found:
        return
    name, missing = word.text, list[str]()
    for attempt in word.attempts:
        if not attempt.found:
            missing.append(attempt.text)
            continue
        yield from _found(name, attempt.text, missing)
        name, missing = "", []
    if missing:
        yield from _found(name, "nothing", missing)


def _found(word: str, piece: str, missing: list[str]) -> Iterator[str]:
    few = [*missing[:3], "..."] if len(missing) > 3 else missing
    tried = f", not {' '.join(few)}" if missing else ""
    start = f"  {_padded(one_line(word), NAME - 4)}  "
    yield start + _truncated(one_line(f"has {piece}{tried}"), WIDTH - NAME)


def _padded(text: str, columns: int) -> str:
    text = _truncated(text, columns)
    return text + " " * (columns - _columns(text))


# 2. Tokens to vectors


def _layers(trace: Record) -> Iterator[str]:
    # The token that the head reads; the first where no head is shown.
    at = trace.head.masks[0] if isinstance(trace.head, MaskedLMTrace) else 0
    size = trace.embeddings.summed.shape[1]
    token = f"{trace.tokens[at].text} at {at}"
    yield _line(f"  Each token is a vector of {size} numbers, this is ", token)
    yield ""
    for name, vectors in vars(trace.embeddings).items():
        yield _vector(name, vectors[at])
    yield ""
    yield "  For each layer: the length of its vector after it, and what it attends to:"
    yield "  the mean of the heads, and the head that attends most to another token."
    yield ""
    for number, block in enumerate(trace.layer):
        weights = block.weights[:, at]  # (H, T)
        length = float(trace.norms[number + 1, at])
        yield from _listed(f"layer {number}", [f"length {length:.4f}"])
        yield from _listed("  mean of the heads", _top(trace, weights.mean(dim=0)))
        to_others = weights.clone()
        to_others[:, at] = -1
        head, key = divmod(int(to_others.argmax()), weights.shape[1])
        product = float(block.products[head, at, key])
        score = float(block.scores[head, at, key])
        k = block.q.shape[-1]
        yield _line(
            f"  {f'  head {head}':{NAME - 2}}q.k {product:.4f} / sqrt({k}) = "
            f"{score:.4f}, softmax {float(weights[head, key]):.4f}  ",
            trace.tokens[key].text,
        )


def _vector(name: str, vector: Tensor) -> str:
    numbers = "".join(f"{x:9.4f}" for x in vector[:FIRST].tolist())
    length = float(torch.linalg.vector_norm(vector))
    return _truncated(f"  {name:{NAME - 2}}{numbers} ...  length {length:.4f}", WIDTH)


def _top(trace: Record, weights: Tensor) -> list[str]:
    values, keys = weights.topk(min(3, len(weights)))
    pairs = zip(values.tolist(), keys.tolist(), strict=True)
    return [f"{weight:.4f} {trace.tokens[key].text}" for weight, key in pairs]


# 3. Vectors to answer


def _head(trace: Record) -> Iterator[str]:
    if isinstance(trace.head, ClassifierTrace):
        return _classifier(trace, trace.head)
    if isinstance(trace.head, MaskedLMTrace):
        return _masked_lm(trace, trace.head)
    return _prose(why_no_answer(trace))


def _classifier(trace: Record, head: ClassifierTrace) -> Iterator[str]:
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
    yield from ("", _truncated(f"  the answer: {answer_line(trace)}", WIDTH))


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


def _masked_lm(trace: Record, head: MaskedLMTrace) -> Iterator[str]:
    for row, position in enumerate(head.masks):
        for name in ("vocab_transform", "activation", "vocab_layer_norm"):
            if row == 0:
                yield _vector(name, getattr(head, name)[row])
        yield from ("", f"  the mask at {position}: logit, probability, word")
        for word in head.logits[row].topk(min(MOST, head.logits.shape[1])).indices:
            numbers = f"{float(head.logits[row, word]):10.4f}"
            numbers += f"{float(head.probabilities[row, word]):10.4f}"
            yield _line(f"  {numbers}  ", trace.subject.name_of(int(word)))


# Why


def _reasons(trace: Record, texts: int, patient: bool, progress: bool) -> Iterator[str]:
    steps, ablated, omitted = plan(trace, texts, patient)
    name = trace.label or ""
    if isinstance(trace.head, MaskedLMTrace):
        name += f" at {trace.head.masks[0]}"
    yield _line("  What each word adds to the logit of ", name)
    if steps:
        yield from _shares(trace, attribute(trace, max_steps=steps, progress=progress))
    else:
        yield f"  For {omitted['Attributions']} this takes long: --patient"
    yield from ("", _line("  The head on the vector after each layer, for ", name))
    yield from _lens(trace, lens(trace))
    yield from ("", _line("  Without it, this is added to the logit of ", name))
    if ablated:
        yield from _ablations(trace, progress)
    else:
        yield f"  For {omitted['Ablations']} this takes long: --patient"


def _shares(trace: Record, found: Attribution) -> Iterator[str]:
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
    """A bar from the middle: to the left below 0, to the right above."""
    size = round(BAR * abs(share) / largest) if largest else 0
    left, right = ("-" * size, "") if share < 0 else ("", "+" * size)
    return f"{left:>{BAR}}|{right:{BAR}}"


def _lens(trace: Record, found: Lens) -> Iterator[str]:
    for layer, row in enumerate(found.probabilities):
        where = f"after layer {layer - 1}" if layer else "embeddings"
        best = int(row.argmax())
        own = float(row[trace.target])
        yield _line(
            f"  {where:{NAME - 2}}{own:.4f}; most probable: {float(row[best]):.4f}  ",
            trace.subject.name_of(best),
        )


def _ablations(trace: Record, progress: bool) -> Iterator[str]:
    found = ablations(trace, progress=progress)
    layers = [(change, f"layer {i}") for i, change in enumerate(found.layers.tolist())]
    heads = [
        (change, f"layer {i}, head {j}")
        for i, changes in enumerate(found.heads.tolist())
        for j, change in enumerate(changes)
    ]
    tokens = [
        (change, f"{token.text} at {position}")
        for position, (change, token) in enumerate(
            zip(found.tokens.tolist(), trace.tokens, strict=True)
        )
        if token.attend
    ]
    for changes in (layers, heads, tokens):
        for change, name in sorted(changes, key=lambda each: -abs(each[0]))[:MOST]:
            yield _line(f"  {change:10.4f}  ", name)
