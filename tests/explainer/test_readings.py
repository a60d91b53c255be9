"""How a text became tokens: words, their places, and what was looked up."""

from __future__ import annotations

import json

import pytest
from checkpoints import write_checkpoint
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece as RustWordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from traces import check_reading, check_tokens

from minidistil import DistilBertModel, DistilBertTokenizer, compare, explain
from minidistil.explainer.reading import read
from minidistil.hub import BUNDLED
from minidistil.tokenizer.vocabulary import AddedToken

TEXTS = {
    "empty": "",
    "white space": " \t\n ",
    "a sentence": "I hate this so much!",
    "pieces": "HuggingFace tokenizers unaffordably",
    "unknown": "the ꙮ sign",
    "accents": "Crème BRÛLÉE, naïve e\u0301a",
    "sigma": "ΟΔΟΣ Ελλάδα",
    "Chinese": "我喜歡這部電影 film",
    "Japanese and Korean": "映画が好き 영화",
    "emoji": "good 😀👍🏽 👨‍👩‍👧 film",
    "right to left": "שלום עולם مرحبا ‏film‎",
    "NUL": "a\x00b\x00 c",
    "control characters": "a\x1b[31mred\x85\u200b\ufeff\u00adb",
    "spaces of all kinds": "a\u00a0b\u2003c\u3000d\u2028e",
    "markup": "<script>alert('x')</script> & \"quotes\"",
    "a word too long": "x" * 200 + " film",
    "a word as long as can be": "y" * 100 + " film " + "z" * 101,
    "punctuation": "well...no!?—“yes” $5 a_b #tag",
    "ligatures": "ﬁlm Straße ŉ İstanbul",
    "two texts of one letter": "a b",
    "more than the model reads": "unaffordably tokenized films " * 40,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder):
    return DistilBertModel.from_pretrained(folder)


def with_added(folder, **flags):
    """The checkpoint's tokenizer, with a further literal."""
    words = (folder / "vocab.txt").read_text("utf-8").splitlines()
    vocabulary = {word: id for id, word in enumerate(words)}
    return DistilBertTokenizer(
        vocabulary, added_tokens=[AddedToken("film", vocabulary["film"], **flags)]
    )


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("backend", ["rust", "python"])
def test_a_text_is_read_as_the_tokenizer_cut_it(folder, model, name, backend):
    tokenizer = DistilBertTokenizer.from_pretrained(folder, backend=backend)
    text = TEXTS[name]
    trace = explain(text, model, tokenizer=tokenizer)
    check_tokens([trace], folder, [text], None)
    check_reading(trace, 0, text, folder)
    assert trace.text == text


@settings(max_examples=60, deadline=None)
@given(
    st.text(
        st.sampled_from("aeFilm ˢ.,!-ÄéßжΣ我映שم😀\u0301\u200d\x00\t\n1_<"), max_size=90
    )
)
def test_any_text_is_read_as_the_tokenizer_cut_it(folder, model, text):
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    trace = explain(text, model, tokenizer=tokenizer)
    check_tokens([trace], folder, [text], None)
    check_reading(trace, 0, text, folder)


def test_the_trained_checkpoint_reads_so_too():
    texts = [*TEXTS.values()]
    for text, trace in zip(texts, compare(texts, "tiny"), strict=True):
        check_reading(trace, 0, text, BUNDLED["tiny"])


@pytest.mark.parametrize("padding", [False, True])
def test_how_much_of_which_text_is_cut_is_told(folder, padding):
    texts, pairs = ["short", "film " * 60], ["a", "b " * 10]
    with pytest.warns(UserWarning, match="are left out") as told:
        traces = compare(texts, folder, text_pairs=pairs, padding=padding)
    left_out = [reading.left_out for trace in traces for reading in trace.readings]
    assert left_out[:2] == [0, 0]
    (warning,) = told
    (place,) = (i for i in (2, 3) if left_out[i])
    text = (None, None, texts[1], pairs[1])[place]
    assert str(warning.message) == (
        f"1 of 4 texts is truncated, as 48 tokens fit into the model: "
        f"{left_out[place]} tokens of the text {text[:60]!r} are left out"
    )


def test_the_same_long_text_thrice_is_counted(folder):
    long = "film " * 60
    with pytest.warns(UserWarning, match="^3 of 4 texts are truncated") as warned:
        compare([long, "short", long, long], folder)
    assert len(warned) == 1


@pytest.mark.parametrize("padding", [False, True])
def test_both_texts_of_a_pair_are_read(folder, padding):
    texts = [text for text in TEXTS.values() if text]
    pairs = texts[::-1]
    traces = compare(texts, folder, text_pairs=pairs, padding=padding)
    for trace, *both in zip(traces, texts, pairs, strict=True):
        assert len(trace.readings) == 2
        for number, text in enumerate(both):
            check_reading(trace, number, text, folder)
    if padding:
        check_tokens(traces, folder, texts, pairs)


def test_an_empty_second_text_is_none(folder):
    assert len(explain("a", folder, text_pair="").readings) == 1


def test_a_literal_is_one_word_that_nothing_is_looked_up_for(folder):
    (reading,) = explain("a [MASK], x[SEP]y [mask]", folder).readings
    literals = [word for word in reading.words if not word.attempts]
    assert [(word.text, word.start, word.end) for word in literals] == [
        ("[MASK]", 2, 8),
        ("[SEP]", 11, 16),
    ]
    assert [word.text for word in reading.words] == [
        *("a", "[MASK]", ",", "x", "[SEP]", "y", "[", "mask", "]"),
    ]
    assert reading.note == ""


def test_a_word_that_is_written_like_a_literal_in_capitals_is_looked_up(folder, model):
    tokenizer = with_added(folder)
    (reading,) = explain("FILM film", model, tokenizer=tokenizer).readings
    capitals, literal = reading.words
    assert capitals.text == literal.text == "film"
    assert [attempt.text for attempt in capitals.attempts] == ["film"]
    assert literal.attempts == ()


def test_a_word_that_is_cut_in_two_is_shown_whole(folder, model):
    tokenizer = DistilBertTokenizer.from_pretrained(folder, model_max_length=4)
    trace = explain("a tokenizer is", model, tokenizer=tokenizer)
    assert [token.text for token in trace.tokens] == ["[CLS]", "a", "to", "[SEP]"]
    assert (trace.tokens[2].start, trace.tokens[2].end) == (2, 4)
    (reading,) = trace.readings
    whole = reading.words[1]
    assert (whole.text, whole.start, whole.end) == ("tokenizer", 2, 11)
    assert "".join(a.text.strip("#") for a in whole.attempts if a.found) == "tokenizer"
    assert len(reading.words) == 2
    found = sum(attempt.found for attempt in whole.attempts)
    assert reading.left_out == found - 1 + 1  # the rest of the word, and "is"


def test_nothing_at_all_may_be_read(folder, model):
    tokenizer = DistilBertTokenizer.from_pretrained(folder, model_max_length=2)
    trace = explain("two words", model, tokenizer=tokenizer)
    assert [token.text for token in trace.tokens] == ["[CLS]", "[SEP]"]
    assert trace.readings[0].words == ()
    assert trace.readings[0].left_out == 2


@pytest.mark.parametrize("padding", [False, True])
def test_what_is_left_out_of_each_text_is_counted(folder, padding):
    texts, pairs = ["film " * 90, "film " * 5], ["a b c " * 10, "is " * 77]
    traces = compare(texts, folder, text_pairs=pairs, padding=padding)
    counts = [[reading.left_out for reading in trace.readings] for trace in traces]
    # 48 tokens, three of them [CLS] and [SEP]: the longer text is shortened first.
    assert counts == [[67, 8], [0, 37]]


# Where the steps cannot be shown


def disagreement() -> str:
    """A character that Rust's tables of Unicode and Python's call two things.

    U+166D is punctuation to Rust, as it was once, and to no Python that we run on; see
    `test_wordpiece_sweep`.
    """
    return "\u166d"


def test_where_python_would_cut_in_another_way_the_words_are_the_tokenizers(folder):
    text = f"film{disagreement()}film Crème"
    trace = explain(text, folder)
    (reading,) = trace.readings
    assert "in another way" in reading.note
    check_tokens([trace], folder, [text], None)
    words = [(word.text, word.start, word.end) for word in reading.words]
    assert words == [
        *(("film", 0, 4), ("\u166d", 4, 5), ("film", 5, 9), ("Crème", 10, 15)),
    ]
    assert all(word.attempts == () for word in reading.words)
    assert reading.cleaned == reading.raw == text
    assert reading.left_out == 0


def test_of_a_long_text_in_dispute_the_rest_is_counted_too(folder):
    text = f"{disagreement()} " + "tokenizers " * 60
    trace = explain(text, folder)
    (reading,) = trace.readings
    rust = Tokenizer(RustWordPiece(vocabulary(folder), unk_token="[UNK]"))
    rust.normalizer, rust.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    assert reading.left_out == len(rust.encode(text).ids) - (len(trace.tokens) - 2)
    last = reading.words[-1]
    assert text[last.start : last.end] == "tokenizers"


def vocabulary(folder):
    lines = (folder / "vocab.txt").read_text("utf-8").splitlines()
    return {word: id for id, word in enumerate(lines)}


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word", "normalized"])
def test_a_literal_that_is_none_is_noted(folder, model, flag):
    tokenizer = with_added(folder, **{flag: True})
    text = "A film is a Film"
    trace = explain(text, model, tokenizer=tokenizer)
    (reading,) = trace.readings
    assert "wordpiece.py takes added tokens literally" in reading.note
    assert [word.text.strip() for word in reading.words] == text.split()
    expected = tokenizer(text, return_offsets_mapping=True)
    assert [token.id for token in trace.tokens] == expected["input_ids"]
    spans = [(token.start, token.end) for token in trace.tokens[1:-1]]
    assert spans == expected["offset_mapping"][1:-1]


def test_a_cased_checkpoint_keeps_capitals(tmp_path):
    folder = write_checkpoint(tmp_path)
    settings = {"model_max_length": 512, "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (reading,) = explain("A Film", folder).readings
    assert reading.note == ""
    assert reading.cleaned == "A Film"
    assert [attempt.text for attempt in reading.words[0].attempts] == ["A"]
    assert not reading.words[0].attempts[0].found


def test_of_a_book_only_the_beginning_is_gone_through(folder):
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    reading = read(tokenizer, "unaffordable films " * 5000, 500)
    pieces = len(tokenizer.tokenize("unaffordable films"))
    assert reading.left_out == pieces * 5000 - 500
    assert len(reading.words) <= 500
