"""The fill-mask pipeline, beside transformers' own."""

from __future__ import annotations

import json
import threading
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from answers import assert_answers, reference_pipeline
from checkpoints import write_checkpoint
from click.testing import CliRunner
from real_weights import write_trained
from texts import WORDS, generated, words

from minidistil import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    Engine,
    pipeline,
)
from minidistil.cli import main
from minidistil.pipelines import fill_mask as module, reading
from minidistil.tokenizer.vocabulary import AddedToken

LIMIT = 48  # the small checkpoint's positions
ROOM = LIMIT - 2


load_reference = partial(reference_pipeline, "FillMask", "ForMaskedLM")


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of("DistilBertForMaskedLM")


@pytest.fixture(scope="module")
def fill(folder):
    return pipeline("fill-mask", folder)


@pytest.fixture(scope="module")
def reference(folder):
    return load_reference(folder)


# Scores are around 1 / 4000 here: 1e-5 would be no bound, so it is one in proportion.
assert_same = partial(assert_answers, tolerance=1e-9, relative=1e-5)


# What goes in and what comes out

ONE = {
    "one mask": "the film was [MASK].",
    "two masks": "the [MASK] was [MASK].",
    "neighbours": "[MASK][MASK] film",
    "nothing but a mask": "[MASK]",
    "spaces": " \t[MASK]\n ",
    "another script": "Это [MASK] ☕ 你好",
    "special tokens": "a [PAD] b [SEP] [MASK] [CLS] [UNK] c",
    "padding that is the text's own": "a [PAD] [MASK] [PAD] [MASK]",
    "a mask within a word": "x[MASK]y's",
    "masks and no mask": "[mask] [MASK] MASK",
}
MANY = {
    "a list of one": ["the film was [MASK]."],
    "a list of one with two masks": ["the [MASK] was [MASK]."],
    "a list": ["the film was [MASK].", "the [MASK] was [MASK].", "[MASK]"],
}


@pytest.mark.parametrize("inputs", [*ONE.values(), *MANY.values()], ids=[*ONE, *MANY])
@pytest.mark.parametrize("options", [{}, {"top_k": 1}, {"top_k": 9}], ids=str)
def test_an_answer_is_transformers_own(fill, reference, inputs, options):
    assert_same(fill(inputs, **options), reference(inputs, **options))


def test_generated_texts_have_transformers_answers(fill, reference):
    texts = generated(60, masks=3)
    assert_same(fill(texts, top_k=3), reference(texts, top_k=3))


def test_trained_weights_give_transformers_answers(tmp_path):
    folder = write_trained(tmp_path, "DistilBertForMaskedLM")
    fill, reference = pipeline("fill-mask", folder), load_reference(folder)
    texts = ["Paris is the capital of [MASK].", "[MASK] bakes [MASK] every day."]
    texts += ["I have waited for this [MASK] my whole life. " * 12 + "[MASK]"]
    targets = ["bread", "france", "film"]
    for options in ({}, {"targets": targets}):
        assert_same(fill(texts, **options), reference(texts, **options))


def test_all_words_of_the_vocabulary_can_be_had(fill, reference):
    theirs = {each["token"]: each for each in reference("a [MASK]", top_k=4000)}
    ours = fill("a [MASK]", top_k=5000)
    assert len(ours) == 4000
    for guess in ours:
        assert_same(guess, theirs[guess["token"]])
    scores = [guess["score"] for guess in ours]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-4)


def test_rows_of_the_model_that_are_no_words_are_written_as_nothing(tmp_path):
    sizes = {"vocabulary": 3000, "vocab_size": 3010}
    folder = write_checkpoint(tmp_path, "DistilBertForMaskedLM", **sizes)
    theirs = load_reference(folder)("a [MASK] film", top_k=3010)
    expected = {each["token"]: each for each in theirs}
    ours = pipeline("fill-mask", folder)("a [MASK] film", top_k=3010)
    assert len(ours) == 3010
    for guess in ours:
        assert_same(guess, expected[guess["token"]])


def test_an_empty_list_has_no_answers(fill):
    assert fill([]) == []
    assert list(fill(iter([]))) == []


@pytest.mark.parametrize(
    "texts",
    [
        tuple(MANY["a list"]),
        np.array(MANY["a list"]),
        dict.fromkeys(MANY["a list"]).keys(),
    ],
    ids=lambda texts: type(texts).__name__,
)
def test_any_collection_of_texts_is_answered_with_a_list(fill, texts):
    assert fill(texts) == fill(MANY["a list"])


def test_an_iterator_is_read_as_its_answers_are_taken(fill, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 2)
    taken = []

    def texts():
        for i in range(6):
            taken.append(i)
            yield f"{words(i)} [MASK]"

    answers = fill(texts())
    assert taken == []
    first = next(answers)
    assert taken == [0]
    expected = [fill(f"{words(i)} [MASK]") for i in range(6)]
    assert_same([first, *answers], expected)


def test_an_iterator_over_one_text_has_one_answer(fill):
    (answer,) = fill(iter(["a [MASK]"]))
    assert_same(answer, fill("a [MASK]"))


@pytest.fixture
def projected(monkeypatch):
    """Note how many rows of logits each call of an engine makes of each sequence."""
    seen = []
    whole = Engine.start

    def spied(self, sequences, wanted=None):
        rows = whole(self, sequences, wanted)()
        assert len(rows) == sum(wanted.counts)
        seen.append(wanted.counts.tolist())
        return lambda: rows

    monkeypatch.setattr(Engine, "start", spied)
    return seen


@pytest.mark.parametrize("masks", [1, 3, 10])
def test_few_masks_go_together_and_that_changes_nothing(
    fill, monkeypatch, projected, masks
):
    texts = generated(12, masks=3)
    together = fill(texts)
    assert len(projected) == 1
    monkeypatch.setattr(module, "MASKS", masks)
    assert_same(fill(texts), together)
    assert max(map(sum, projected[1:])) < masks + 3  # the last text may have 3
    assert sum(map(sum, projected[1:])) == sum(projected[0])


def test_only_masks_are_projected_onto_the_vocabulary(fill, projected):
    fill([words(20) + " [MASK]", "[MASK] " + words(9) + " [MASK]"])
    assert projected == [[1, 2]]


# Targets


@pytest.mark.parametrize(
    "targets",
    [
        ["good", "bad", "film"],
        ["good", "good"],
        "good",
        ("bad", "good"),
        ["##s", "[MASK]", "[UNK]", "."],
    ],
    ids=str,
)
@pytest.mark.parametrize("options", [{}, {"top_k": 1}], ids=str)
@pytest.mark.parametrize("text", [ONE["one mask"], ONE["two masks"]])
def test_targets_have_transformers_scores(fill, reference, targets, options, text):
    given = [*targets] if isinstance(targets, tuple) else targets
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = fill(text, targets=targets, **options)
    assert_same(ours, reference(text, targets=given, **options))


@pytest.mark.parametrize(
    ("target", "piece"),
    [("Good", "good"), ("unbelievableness", "u"), (" good", "good"), ("☕", "[UNK]")],
)
def test_a_target_that_is_no_token_is_scored_by_its_first_piece_and_told(
    fill, reference, target, piece
):
    told = f"{target!r} is not in the vocabulary: its first piece, '{piece}'"
    with pytest.warns(UserWarning, match=r"the target ") as record:
        ours = fill("a [MASK]", targets=[target, "film"])
    assert [told in str(each.message) for each in record] == [True]
    assert_same(ours, reference("a [MASK]", targets=[target, "film"]))


def test_a_target_with_nothing_in_it_is_left_out_and_told(fill, reference):
    with pytest.warns(UserWarning, match="the target '' is left out"):
        ours = fill("a [MASK]", targets=["", "good"])
    assert_same(ours, reference("a [MASK]", targets=["", "good"]))


def test_targets_of_which_none_can_be_scored_are_refused(fill):
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match="none of the targets"),
    ):
        fill("a [MASK]", targets=["", "\t"])


@pytest.mark.parametrize("targets", [[], (), ""])
def test_no_targets_are_refused(fill, targets):
    with pytest.raises(ValueError, match="targets is empty"):
        fill("a [MASK]", targets=targets)


@pytest.mark.parametrize("targets", [3, [3], ["a", None], iter(["a"])])
def test_targets_that_are_no_strings_are_refused(fill, targets):
    with pytest.raises(TypeError, match=r"targets is .*expected a string or a list"):
        fill("a [MASK]", targets=targets)


def test_an_option_of_the_pipeline_holds_unless_a_call_has_its_own(folder, fill):
    narrow = pipeline("fill-mask", folder, targets=["good"], top_k=3)
    assert_same(narrow("a [MASK]"), fill("a [MASK]", targets=["good"]))
    assert_same(narrow("a [MASK]", targets=None), fill("a [MASK]", top_k=3))


# What is refused


@pytest.mark.parametrize("text", ["", "the film", "[mask]", "MASK", "<mask>"])
def test_a_text_without_a_mask_is_refused(fill, text):
    with pytest.raises(ValueError, match=r"the text has no mask: .*\[MASK\], exactly"):
        fill(text)
    with pytest.raises(ValueError, match="text 1 has no mask"):
        fill(["a [MASK]", text])


def test_a_list_is_checked_before_anything_is_computed(fill, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 1)
    monkeypatch.setattr(Engine, "__call__", None)
    with pytest.raises(ValueError, match="text 1 has no mask"):
        fill(["a [MASK]", "b"])


def test_what_comes_before_a_text_without_a_mask_is_answered_first(fill):
    answers = fill(iter(["a [MASK]", "b"]))
    assert_same(next(answers), fill("a [MASK]"))
    with pytest.raises(ValueError, match="text 1 has no mask"):
        next(answers)


def test_a_mask_within_another_literal_is_none(folder):
    added = [AddedToken("[MASK]s", 4000, special=True)]
    tokenizer = AutoTokenizer.from_pretrained(folder, added_tokens=added)
    model = AutoModelForMaskedLM.from_pretrained(folder)
    model.resize_token_embeddings(4001)
    fill = pipeline("fill-mask", model, tokenizer=tokenizer)
    with pytest.raises(ValueError, match="the text has no mask"):
        fill("a [MASK]s b")


@pytest.mark.parametrize("value", [None, 3, b"[MASK]", {"text": "[MASK]"}, ["[MASK]"]])
def test_what_is_no_text_is_refused(fill, value):
    with pytest.raises(TypeError, match=r"text 1 is .*expected a string"):
        fill(["a [MASK]", value])


@pytest.mark.parametrize(
    ("option", "value"),
    [("top_k", 0), ("top_k", True), ("top_k", None), ("truncation", "tail")],
)
def test_an_option_out_of_range_is_refused(fill, option, value):
    with pytest.raises(ValueError, match=f"{option} is {value!r}"):
        fill("a [MASK]", **{option: value})


def test_an_unknown_option_is_refused_with_the_nearest(fill):
    with pytest.raises(TypeError, match="'target'; did you mean 'targets'"):
        fill("a [MASK]", target="x")


# Texts that are too long

LONG = words(100).split()


def with_masks(*places):
    text = list(LONG)
    for place in places:
        text[place] = "[MASK]"
    return text


@pytest.mark.parametrize("place", [0, ROOM - 1])
def test_the_beginning_is_read_if_the_mask_is_in_it(fill, reference, place):
    text = with_masks(place)
    ours = fill(" ".join(text), truncation="head")
    assert_same(ours, reference(" ".join(text[:ROOM])))


def test_that_a_text_is_cut_is_told(fill):
    with pytest.warns(UserWarning, match="only its beginning is read"):
        fill(" ".join(with_masks(3)))


@pytest.mark.parametrize("truncation", [None, True, "head"])
@pytest.mark.filterwarnings("ignore:a text is longer")
def test_a_mask_is_never_cut_off(fill, truncation):
    text = " ".join(with_masks(3, ROOM, 99))
    with pytest.raises(
        ValueError, match=r"the text has 100 tokens .* 2 of its 3 masks"
    ):
        fill(text, truncation=truncation)
    with pytest.raises(ValueError, match="truncation='window', which reads the text"):
        fill(text, truncation=truncation)
    answers = fill(iter(["a [MASK]", text]), truncation=truncation)
    assert_same(next(answers), fill("a [MASK]"))
    with pytest.raises(ValueError, match="text 1: the text has 100 tokens"):
        next(answers)


def test_head_and_tail_refuse_a_mask_between_them(fill, reference):
    first = -(-ROOM // 4)
    text = with_masks(first - 1, 100 - (ROOM - first))
    kept = text[:first] + text[100 - (ROOM - first) :]
    ours = fill(" ".join(text), truncation="head+tail")
    assert_same(ours, reference(" ".join(kept)))
    for place in (first, 100 - (ROOM - first) - 1):
        with pytest.raises(ValueError, match="1 of its 2 masks would be trunc"):
            fill(" ".join(with_masks(0, place)), truncation="head+tail")


def shown(reference, text, place, guess, skip_special_tokens=True):
    """Write out all of a text with a guess in its place, as transformers does."""
    ids = reference.tokenizer.convert_tokens_to_ids(["[CLS]", *text, "[SEP]"])
    ids[place + 1] = guess["token"]
    return reference.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)


@pytest.mark.parametrize("place", [0, 5, 22, 23, 24, 50, 76, 77, 78, 99])
def test_a_window_has_the_mask_in_the_middle(fill, reference, place):
    text = with_masks(place)
    start = min(max(0, place - ROOM // 2), 100 - ROOM)
    theirs = reference(" ".join(text[start : start + ROOM]))
    ours = fill(" ".join(text), truncation="window")
    for guess, expected in zip(ours, theirs, strict=True):
        assert guess["token"] == expected["token"]
        assert guess["score"] == pytest.approx(expected["score"], rel=1e-5)
        assert guess["sequence"] == shown(reference, text, place, guess)


@pytest.mark.parametrize("places", [(1, 2, 50, 99), (30, 70)], ids=str)
def test_each_mask_has_its_own_window(fill, reference, places):
    text = with_masks(*places)
    ours = fill(" ".join(text), truncation="window", top_k=1)
    assert len(ours) == len(places)
    for place, (guess,) in zip(places, ours, strict=True):
        start = min(max(0, place - ROOM // 2), 100 - ROOM)
        window = text[start : start + ROOM]
        theirs = reference(" ".join(window), top_k=1)
        if window.count("[MASK]") > 1:
            nth = [i for i, w in enumerate(window) if w == "[MASK]"].index(
                place - start
            )
            theirs = theirs[nth]
        assert guess["token"] == theirs[0]["token"]
        assert guess["score"] == pytest.approx(theirs[0]["score"], rel=1e-5)
        whole = shown(reference, text, place, guess, skip_special_tokens=False)
        assert guess["sequence"] == whole


def test_a_long_text_can_be_refused(fill):
    with pytest.raises(ValueError, match="100 tokens"):
        fill(" ".join(with_masks(3)), truncation="error")


def test_a_text_that_just_fits_is_not_cut(fill, reference):
    text = " ".join([*LONG[: ROOM - 1], "[MASK]"])
    assert_same(fill(text, truncation="error"), reference(text))


def test_max_length_is_a_limit_too(fill, reference):
    kwargs = {"truncation": True, "max_length": 9}
    theirs = reference("a [MASK] " + words(30), tokenizer_kwargs=kwargs)
    assert_same(fill("a [MASK] " + words(30), **kwargs), theirs)


# Where the model comes from


def test_a_loaded_model_answers_as_its_folder_does(fill, folder):
    model = AutoModelForMaskedLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, backend="python")
    loaded = pipeline("fill-mask", model, tokenizer=tokenizer)
    texts = generated(20, masks=3)
    assert_same(loaded(texts, batch_size=3), fill(texts))


def test_a_model_reads_as_many_texts_as_its_logits_have_room(fill, folder, monkeypatch):
    model = AutoModelForMaskedLM.from_pretrained(folder)
    loaded = pipeline("fill-mask", model, tokenizer=folder)
    texts = generated(40, masks=3)
    room = 4 * 20 * model.config.vocab_size  # the logits of four texts of 20 tokens
    monkeypatch.setattr(module, "NUMBERS", room)
    read = []
    model.register_forward_hook(lambda _, inputs, output: read.append(output.logits))
    assert_same(loaded(texts), fill(texts))
    assert sum(len(logits) for logits in read) == len(texts)
    assert all(logits.numel() <= room or len(logits) == 1 for logits in read)
    assert max(len(logits) for logits in read) > 1


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_another_precision_can_be_asked_for(fill, folder, precision):
    fast = pipeline("fill-mask", folder, precision=precision)
    near = {each["token"]: each["score"] for each in fill("a [MASK]", top_k=4000)}
    for guess in fast("a [MASK]", top_k=20):
        assert guess["score"] == pytest.approx(near[guess["token"]], rel=0.2)


def test_a_model_of_another_kind_is_refused(folder):
    model = AutoModel.from_pretrained(folder)
    with pytest.raises(TypeError, match="expected a DistilBertForMaskedLM"):
        pipeline("fill-mask", model, tokenizer=folder)


def test_threads_share_a_pipeline(fill):
    jobs = [
        ("a [MASK]", {"targets": ["good"]}),
        (["[MASK] b", "[MASK] [MASK]"], {"top_k": 2}),
        (" ".join(with_masks(50)), {"truncation": "window"}),
    ]
    expected = [fill(texts, **options) for texts, options in jobs]
    wrong = []

    def work(number):
        for i in range(12):
            texts, options = jobs[(i + number) % 3]
            if fill(texts, **options) != expected[(i + number) % 3]:
                wrong.append(texts)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# The command


def run(folder, *arguments, stdin=None):
    command = ["fill-mask", "--model", str(folder), *arguments]
    return CliRunner().invoke(main, command, input=stdin)


def test_the_command_prints_a_line_for_each_guess(folder, fill):
    result = run(folder, "-k", "2", "the [MASK]\nwas [MASK].")
    guesses = [
        each for mask in fill("the [MASK] was [MASK].", top_k=2) for each in mask
    ]
    assert result.stdout.splitlines() == [
        f"{each['score']:.4f}  {each['token_str']}  {each['sequence']}"
        for each in guesses
    ]


def test_the_commands_json_has_a_list_for_each_mask(folder, fill):
    texts = ["a [MASK]", "[MASK] b [MASK]"]
    result = run(folder, "--json", "-t", "good", "-t", "bad", stdin="\n".join(texts))
    records = [json.loads(line) for line in result.stdout.splitlines()]
    first, second = fill(texts, targets=["good", "bad"])
    assert [record["text"] for record in records] == texts
    assert_same([record["masks"] for record in records], [[first], second])


def test_the_command_refuses_a_text_without_a_mask(folder):
    result = run(folder, "a film")
    assert result.exit_code == 1
    assert "Error: TEXT 1 has no mask" in result.stderr


def test_the_command_needs_a_model():
    result = CliRunner().invoke(main, ["fill-mask", "a [MASK]"])
    assert result.exit_code == 2
    assert "--model" in result.stderr


def test_words_of_the_tests_are_tokens_of_the_vocabulary(fill):
    assert fill.tokenizer.tokenize(" ".join(WORDS)) == WORDS
    assert torch.tensor(fill.tokenizer("[MASK]")["input_ids"]).tolist() == [
        101,
        103,
        102,
    ]


def test_half_a_character_in_a_target_is_refused(fill):
    with pytest.raises(TypeError, match="a target has half of a surrogate pair"):
        fill("a [MASK]", targets=["b", "\ud800"])
