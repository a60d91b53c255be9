"""A trace as text: its numbers, on lines that a terminal can show."""

from __future__ import annotations

import math
import re
import unicodedata

import pytest
from checkpoints import write_checkpoint
from reference import CHOICE, ENCODER, MASKED_LM, QUESTION, SEQUENCE, TOKEN
from test_readings import TEXTS

from minidistil import compare, explain
from minidistil.explainer.as_text import answer_line, text_lines

NUMBER = r"-?\d+\.\d{4}"


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    written = {}

    def folder_of(name=SEQUENCE, **config):
        key = name, str(config)
        if key not in written:
            folder = tmp_path_factory.mktemp(name)
            written[key] = write_checkpoint(folder, name, **config)
        return written[key]

    return folder_of


@pytest.fixture(scope="module")
def tiny():
    return explain("I hate this so much!", "tiny")


@pytest.fixture(scope="module")
def lines(tiny):
    return [*text_lines([tiny])]


def after(lines, start):
    """The lines behind the first one that begins so, up to an empty one."""
    first = next(i for i, line in enumerate(lines) if line.strip().startswith(start))
    behind = lines[first + 1 :]
    return behind[: behind.index("")]


def numbers(line):
    return [float(number) for number in re.findall(NUMBER, line)]


def near(value):
    return pytest.approx(float(value), abs=6e-5)  # four decimals are shown


# Its numbers are the trace's


def test_the_steps_come_in_their_order(lines):
    titles = [line for line in lines if line and not line.startswith((" ", "="))]
    assert titles == [
        "I hate this so much!",
        "1. Text to tokens (wordpiece.py)",
        "2. Tokens to vectors (model.py)",
        "3. Vectors to answer (heads.py)",
        "Why this answer",
    ]


def test_every_token_is_shown_with_its_number_and_position(tiny, lines):
    rows = [line.split() for line in after(lines, "position")]
    assert rows == [
        [
            str(place),
            str(token.id),
            *([] if token.start is None else [f"{token.start}-{token.end}"]),
            token.text,
        ]
        for place, token in enumerate(tiny.tokens)
    ]


def test_what_was_looked_up_is_shown():
    lines = [*text_lines([explain("Huggingface tokenizers", "tiny")])]
    start = lines.index("  in the vocabulary   0 of 2")
    shown = [line.split() for line in lines[start + 1 : start + 6]]
    assert shown[0][:5] == ["huggingface", "has", "hugging,", "not", "huggingface"]
    assert shown[1] == ["has", "##face"]
    assert shown[2][:4] == ["tokenizers", "has", "token,", "not"]
    assert shown[2][-1] == "..."
    assert shown[3] == ["has", "##izer,", "not", "##izers"]
    assert shown[4] == ["has", "##s"]


def test_a_vector_is_shown_by_its_first_numbers_and_its_length(tiny, lines):
    vectors = {name: step[0] for name, step in vars(tiny.embeddings).items()}
    for name in ("cls", "pre_classifier", "relu"):
        vectors[name] = getattr(tiny.head, name)
    for name, vector in vectors.items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        *first, length = numbers(line)
        assert first == [near(x) for x in vector[:4]]
        assert length == near(math.sqrt(vector.square().sum()))


def test_a_layer_is_what_the_read_token_attends_to(tiny, lines):
    for number, block in enumerate(tiny.layer):
        start = lines.index(
            next(x for x in lines if x.startswith(f"  layer {number} "))
        )
        length, mean, head = lines[start : start + 3]
        assert numbers(length) == [near(tiny.norms[number + 1, 0])]
        weights = block.weights[:, 0]
        assert numbers(mean) == [
            near(x) for x in weights.mean(0).sort().values[-3:].flip(0)
        ]
        strongest = max(
            (float(weights[h, t]), h, t)
            for h in range(8)
            for t in range(1, len(tiny.tokens))
        )
        weight, h, t = strongest
        assert head.split()[:2] == ["head", str(h)]
        product, score, softmax = numbers(head)
        assert "/ sqrt(32) =" in head
        assert product == near(block.products[h, 0, t])
        assert (
            score
            == near(block.scores[h, 0, t])
            == pytest.approx(product / math.sqrt(32), abs=1e-4)
        )
        assert softmax == near(weight)
        assert head.endswith(f"  {tiny.tokens[t].text}")


def test_the_softmax_adds_up_as_it_is_written(tiny, lines):
    rows = after(lines, "logit  exp")
    assert [line.split()[-1] for line in rows] == ["NEGATIVE", "POSITIVE"]
    logits = tiny.head.logits.tolist()
    for line, logit in zip(rows, logits, strict=True):
        shown, size, total, probability = numbers(line)
        assert shown == near(logit)
        assert size == near(math.exp(logit - max(logits)))
        assert total == near(sum(math.exp(x - max(logits)) for x in logits))
        assert probability == near(size / total)
    assert "  the answer: NEGATIVE  0.9984" in lines


def test_a_sigmoid_adds_up_as_it_is_written(folder_of):
    folder = folder_of(num_labels=3, problem_type="multi_label_classification")
    trace = explain("a film", folder)
    rows = after([*text_lines([trace])], "logit  exp(-logit)")
    order = sorted(range(3), key=lambda i: -trace.head.logits[i])
    for line, label in zip(rows, order, strict=True):
        logit, size, probability = numbers(line)
        assert line.endswith(f"  LABEL_{label}")
        assert logit == near(trace.head.logits[label])
        assert size == near(math.exp(-trace.head.logits[label]))
        assert probability == near(1 / (1 + size))


def test_a_regression_is_its_logit(folder_of):
    trace = explain("a film", folder_of(num_labels=1, problem_type="regression"))
    lines = [*text_lines([trace])]
    (row,) = after(lines, "logit, which is the answer itself")
    assert numbers(row) == [near(trace.head.logits[0])]
    assert lines[lines.index(row) + 2].startswith("  the answer: LABEL_0  ")


def test_the_shares_of_the_words_add_up(tiny, lines):
    found = tiny.attribute()
    *rows, specials, total, change, how = after(lines, "What each word adds")
    assert [line.split()[-1] for line in rows] == [
        "i",
        "hate",
        "this",
        "so",
        "much",
        "!",
    ]
    shares = [numbers(line)[0] for line in rows]
    assert shares == [near(share) for share in found.words[0]]
    assert sum(shares) + numbers(specials)[0] == pytest.approx(
        numbers(total)[0], abs=1e-3
    )
    assert numbers(change) == [
        near(found.logit - found.baseline),
        near(found.logit),
        near(found.baseline),
    ]
    assert f"in {found.steps} steps, {100 * found.error:.2f} % off" in how


def test_a_bar_is_as_long_as_the_share_and_on_its_side(tiny, lines):
    rows = after(lines, "What each word adds")[:6]
    largest = max(map(abs, tiny.attribute().words[0]))
    for line, share in zip(rows, tiny.attribute().words[0], strict=True):
        left, right = line[2:35].split("|")
        assert len(left) == len(right) == 16
        bar = "-" if share < 0 else "+"
        assert (left + right).strip() == bar * round(16 * abs(share) / largest)
        assert (left if share < 0 else right).count(bar) == (left + right).count(bar)


def test_the_lens_shows_every_layer(tiny, lines):
    found = tiny.lens().probabilities
    rows = after(lines, "The head on the vector")
    assert len(rows) == 7
    for line, row in zip(rows, found, strict=True):
        assert numbers(line) == [near(row[tiny.target]), near(row.max())]
        assert line.split()[-1] == ("NEGATIVE", "POSITIVE")[int(row.argmax())]


def test_the_strongest_ablations_are_shown(tiny, lines):
    found = tiny.ablations()
    rows = after(lines, "Without it")
    assert len(rows) == 15
    for part, changes in (
        (rows[:5], found.layers),
        (rows[5:10], found.heads.flatten()),
        (rows[10:], found.tokens),
    ):
        strongest = sorted(changes.tolist(), key=abs, reverse=True)[:5]
        assert [numbers(line)[0] for line in part] == [near(x) for x in strongest]
    layer, head = divmod(int(found.heads.abs().argmax()), 8)
    assert rows[5].endswith(f"layer {layer}, head {head}")
    assert rows[10].endswith("  hate at 2")


# Other heads, other texts


def test_the_best_words_are_shown_for_every_mask(folder_of):
    trace = explain("the [MASK] is a [MASK]", folder_of(MASKED_LM))
    lines = [*text_lines([trace])]
    assert "  Each token is a vector of 20 numbers, this is [MASK] at 2" in lines
    for row, place in enumerate((2, 5)):
        words = after(lines, f"the mask at {place}")
        best = trace.head.logits[row].sort(descending=True, stable=True)
        assert len(words) == 5
        for line, logit, word in zip(words, best.values, best.indices, strict=False):
            name = trace.subject.name_of(int(word))
            probability = trace.head.probabilities[row, word]
            assert line.split()[-1] == name
            assert numbers(line) == [near(logit), near(probability)]
    assert f"  What each word adds to the logit of {trace.label} at 2" in lines


@pytest.mark.parametrize("name", [ENCODER, QUESTION, TOKEN, CHOICE])
def test_what_is_not_shown_is_said(folder_of, name):
    trace = explain("a film", folder_of(name))
    lines = [*text_lines([trace])]
    said = " ".join(" ".join(lines).split())
    assert f"No answer is shown: {trace.not_shown}." in said
    assert answer_line(trace) == "no answer"
    assert "Why this answer" not in lines


def test_several_texts_come_one_after_the_other(folder_of):
    texts, pairs = ["a film", "", "[MASK] films"], ["one", "two", ""]
    traces = compare(texts, folder_of(), text_pairs=pairs, padding=True)
    together = [*text_lines(traces)]
    assert together == [line for trace in traces for line in text_lines([trace])]
    assert together[0] == "a film / one"
    assert any(
        re.fullmatch(r"  and \d padding tokens, which the mask hides", x)
        for x in together
    )
    assert together.count("1. Text to tokens (wordpiece.py)") == 3


def test_a_sum_that_is_off_is_told(monkeypatch, tiny):
    found = tiny.attribute(max_steps=1)
    assert not found.reached
    room = "minidistil.explainer.as_text"
    monkeypatch.setattr(f"{room}.attribute", lambda *_, **__: found)
    off = f"{100 * found.error:.2f} % off"
    told = f"  by integrated gradients in 1 steps, {off}; more steps would be better"
    assert told in [*text_lines([tiny])]


def test_what_is_left_out_is_said(folder_of):
    trace = explain("unaffordable films " * 40, folder_of())
    lines = [*text_lines([trace])]
    left_out = trace.readings[0].left_out
    assert any(
        x.startswith(f"  {left_out} more tokens do not fit, of: un") for x in lines
    )
    assert "  ... and 24 more tokens" in lines  # of 48


def test_why_the_steps_are_missing_is_said(folder_of):
    lines = [*text_lines([explain("a\u166d", folder_of())])]
    assert any(line.startswith("  The steps are not shown: the tok") for line in lines)
    assert not any("in the vocabulary" in line for line in lines)


def test_what_would_take_long_is_left_to_the_caller(monkeypatch, tiny):
    monkeypatch.setattr("minidistil.explainer.budget.MOST_TOKENS", 7)
    lines = [*text_lines([tiny])]
    assert lines.count("  For 8 tokens this takes long: --patient") == 2
    patient = [*text_lines([tiny], patient=True)]
    assert not any("this takes long" in line for line in patient)
    assert any("by integrated gradients in" in line for line in patient)


def test_many_texts_share_the_time_that_is_waited_for(monkeypatch, tiny):
    monkeypatch.setattr("minidistil.explainer.budget.ABLATION_WORK", 3e9)
    monkeypatch.setattr("minidistil.explainer.budget.ATTRIBUTION_WORK", 3e9)
    assert not any("this takes long" in line for line in text_lines([tiny]))
    lines = [*text_lines([tiny] * 2)]
    assert lines.count("  For 2 texts this takes long: --patient") == 4


def test_a_word_of_one_letter_that_is_missing_is_not_in_the_vocabulary():
    assert "  in the vocabulary   1 of 2" in [
        *text_lines([explain("film \ua66e", "tiny")])
    ]


@pytest.mark.parametrize(
    ("text", "counted"),
    [("good [MASK]", "1 of 1"), ("good [MASK] \ua66e", "1 of 2"), ("[MASK]", None)],
)
def test_a_token_that_is_written_out_is_not_looked_up(text, counted):
    lines = [*text_lines([explain(text, "tiny")])]
    found = [line for line in lines if line.startswith("  in the vocabulary")]
    assert found == ([f"  in the vocabulary   {counted}"] if counted else [])
    assert "  a special token     [MASK]" in lines


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "The text is empty"), ("\0", "There is no word in the text")],
)
def test_a_text_without_words_is_said_to_be_one(folder_of, text, said):
    lines = [*text_lines([explain(text, "tiny")])]
    assert lines[0] == "(empty text)"
    assert f"  {said}: the answer is for [CLS] [SEP] only." in lines
    lines = [*text_lines([explain(text, folder_of(MASKED_LM))])]
    assert f"  {said}: the model reads [CLS] [SEP] only." in lines


def test_of_many_words_all_are_counted():
    text = "film " * 30 + "tokenizers"
    lines = [*text_lines([explain(text, "tiny")])]
    assert "  ... and 7 more words" in lines
    assert "  in the vocabulary   30 of 31" in lines


def test_no_progress_is_shown_unless_it_is_asked_for(tiny, capfd):
    [*text_lines([tiny])]
    assert capfd.readouterr().err == ""
    [*text_lines([tiny], progress=True)]
    assert "attribution" in capfd.readouterr().err


# Lines that a terminal can show

HOSTILE = {
    "escapes": "\x1b[31mred\x1b]0;title\x07 \x9b2J film\x00\x08\x7f",
    "overrides": "a \u202eevil\u202c \u2066b\u2069 \u200e\u200f\u2067x film",
    "lines": "a\nb\r\nc\u2028d\u2029e\x85f\x0bg\x0ch film",
    "wide": "映画が好き" * 30,
    "emoji": "👩‍👩‍👧‍👦" * 30,
    "accents": "e\u0301" * 200,
    **TEXTS,
}


@pytest.mark.parametrize("name", [SEQUENCE, MASKED_LM, QUESTION])
def test_no_line_is_wider_than_80_columns_or_steers_the_terminal(folder_of, name):
    texts = [f"{text} [MASK]" for text in HOSTILE.values()]
    for trace in compare(texts, folder_of(name), text_pairs=texts[::-1]):
        for line in text_lines([trace]):
            check_line(line)


def check_line(line):
    assert len(line.splitlines()) <= 1
    kinds = {unicodedata.category(char) for char in line}
    assert not kinds & {"Cc", "Zl", "Zp"}
    turns = {unicodedata.bidirectional(char) for char in line}
    assert not turns & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    narrow = sum(unicodedata.east_asian_width(char) not in "WF" for char in line)
    marks = sum(unicodedata.category(char) in ("Mn", "Me", "Cf") for char in line)
    assert 2 * len(line) - narrow - marks <= 80
    assert line == line.rstrip()


def test_labels_of_any_kind_are_text(folder_of):
    names = ["\x1b[31m\nlabel\u202e", "é" * 90]
    folder = folder_of(id2label=dict(enumerate(names)))
    for text in ("a", "film"):
        trace = explain(text, folder)
        for line in (*text_lines([trace]), answer_line(trace)):
            check_line(line[:80])
