"""Fill-mask: lines as rows, which are left out, and which words are hidden."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from lessons import read, sentence
from texts import ODDITIES, odd_text, words
from transformers import AutoTokenizer

from minidistil.training.keys import generator
from minidistil.training.masking import IGNORED
from minidistil.training.rows import TrainingDataError

HEAD = "DistilBertForMaskedLM"


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of(HEAD)


def lines(*texts):
    return [{"text": text} for text in texts]


def rows_of(task):
    return [
        ids.tolist() for ids in torch.split(task.features.ids, task.lengths.tolist())
    ]


def test_ids_are_the_tokenizers_own(folder):
    texts = [words(2) + " " + odd_text(seed, 6) for seed in range(80)]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    wanted = [ids for ids in tokenizer(texts)["input_ids"] if len(ids) <= 48]
    task = read(folder, "fill-mask", lines(*texts))
    whole = [row for row in rows_of(task) if row in wanted]
    assert whole == wanted
    assert len(wanted) > 40


def test_a_long_line_is_several_rows_and_loses_nothing(folder):
    text = words(23)
    task = read(folder, "fill-mask", lines(text, words(3)), {"max_length": 10})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = rows_of(task)
    assert [len(row) for row in rows] == [10, 10, 9, 5]
    assert [id for row in rows[:3] for id in row[1:-1]] == tokenizer(
        text, add_special_tokens=False
    )["input_ids"]
    assert all(row[0] == tokenizer.cls_token_id for row in rows)
    assert all(row[-1] == tokenizer.sep_token_id for row in rows)
    assert task.shortened == {"split into rows of at most 10 tokens": 1}


def test_short_and_unknown_rows_are_left_out_where_the_recipe_asks_for_it(folder):
    unknown = "☕ 👩‍🚀 𝒳"
    texts = [
        words(9),  # 11 tokens
        words(10),
        f"{unknown} {unknown} {words(6)}",  # 6 of 14 are unknown
        f"{unknown} {unknown} {unknown} {words(6)}",  # 9 of 17
        "",
    ]
    every = read(folder, "fill-mask", lines(*texts))
    assert len(every.lengths) == 4
    assert every.skipped == {"empty text": 1}
    recipe = {"fewest_tokens": 12, "most_unknown": 0.5}
    some = read(folder, "fill-mask", lines(*texts), recipe)
    assert rows_of(some) == rows_of(every)[1:3]
    assert some.skipped == {
        "empty text": 1,
        "fewer than 12 tokens": 1,
        "too many unknown words": 1,
    }


def test_rows_that_are_all_left_out_are_an_error_with_the_reasons(folder):
    reasons = r"empty text \(1\), fewer than 12 tokens \(2\)"
    texts = lines("", words(1), words(2))
    with pytest.raises(TrainingDataError, match=reasons):
        read(folder, "fill-mask", texts, {"fewest_tokens": 12})


def test_a_row_in_which_nothing_can_be_hidden_is_left_out(folder):
    task = read(folder, "fill-mask", lines("[SEP] [PAD]", "☕", words(3)))
    assert len(task.lengths) == 1
    assert task.skipped == {"no word that could be hidden": 2}


def test_words_of_the_corpus_are_counted(folder):
    texts = [words(7), words(5, 3), " ".join(ODDITIES[:6])]
    task = read(folder, "fill-mask", lines(*texts))
    counts = Counter(id for row in rows_of(task) for id in row)
    found = task.features.targets["counts"]
    assert {i: int(n) for i, n in enumerate(found) if n} == counts


def hidden(task, rows, pass_rows, place=0):
    """What a model reads, and what it has to guess, of each row."""
    step = task.lesson(rows, torch.split(rows, pass_rows), generator(0, "masks", place))
    found = []
    for make in step.passes:
        inputs = make()
        labels = torch.full_like(inputs["input_ids"], IGNORED)
        labels.view(-1)[inputs["places"]] = inputs["labels"]
        mask = inputs.get("attention_mask", torch.ones_like(labels))
        for each in zip(inputs["input_ids"], labels, mask.bool(), strict=True):
            ids, right, is_token = each
            found.append((ids[is_token].tolist(), right[is_token].tolist()))
    return step, found


def test_what_is_hidden_does_not_depend_on_the_passes(folder):
    task = read(folder, "fill-mask", lines(*(words(2 + n) for n in range(9))))
    rows = torch.tensor([8, 7, 5, 4, 3, 1, 0])
    step, together = hidden(task, rows, 7)
    assert hidden(task, rows, 2)[1] == together
    assert hidden(task, rows, 2)[0].counts == step.counts
    assert hidden(task, rows, 2, place=1)[1] != together


def test_the_words_to_guess_are_those_that_stand_there(folder):
    task = read(folder, "fill-mask", lines(*(words(2 + n, n) for n in range(9))))
    rows = torch.arange(9)
    step, found = hidden(task, rows, 4)
    guessed = 0
    for (ids, labels), row in zip(found, rows_of(task), strict=True):
        restored = [
            id if label == IGNORED else label
            for id, label in zip(ids, labels, strict=True)
        ]
        assert restored == row
        assert labels[0] == labels[-1] == IGNORED
        guessed += sum(label != IGNORED for label in labels)
    possible = int(task.lengths.sum()) - 2 * 9
    assert guessed == step.counts["hard"] == math.ceil(0.15 * possible)


def test_with_a_teacher_all_tokens_are_compared(folder):
    recipe = {"soft": 5.0, "hard": 2.0, "cosine": 1.0}
    task = read(folder, "fill-mask", lines(*(words(2 + n) for n in range(5))), recipe)
    rows = torch.arange(5)
    step, found = hidden(task, rows, 2)
    tokens = int(task.lengths.sum())
    assert step.counts["soft"] == step.counts["cosine"] == tokens
    assert sum(len(make()["places"]) for make in step.passes) == tokens
    guessed = sum(label != IGNORED for _, labels in found for label in labels)
    assert guessed == step.counts["hard"] < tokens


def chi_squared(seen, expected):
    """The statistic, and what it exceeds once in 1,000 times (Wilson and Hilferty)."""
    free = len(seen) - 1
    found = sum((s - e) ** 2 / e for s, e in zip(seen, expected, strict=True))
    limit = free * (1 - 2 / (9 * free) + 3.09 * math.sqrt(2 / (9 * free))) ** 3
    return found, limit


def drawn(task, steps):
    """Over many steps: how often each word was chosen, and what became of those."""
    chosen, fates = Counter(), Counter()
    rows = torch.arange(len(task.lengths))
    mask_id = task.tokenizer.mask_token_id
    for place in range(steps):
        _, found = hidden(task, rows, 16, place)
        for ids, labels in found:
            for id, label in zip(ids, labels, strict=True):
                if label == IGNORED:
                    continue
                chosen[label] += 1
                fate = (
                    "hidden" if id == mask_id else "kept" if id == label else "random"
                )
                fates[fate] += 1
    return chosen, fates


def test_of_ten_chosen_words_eight_are_hidden_and_one_is_random(folder):
    task = read(folder, "fill-mask", lines(*(words(40, n) for n in range(32))))
    _, fates = drawn(task, 20)
    total = fates.total()
    seen = [fates[fate] for fate in ("hidden", "random", "kept")]
    # A random word is now and then [MASK], or the word itself: of 4,000, too seldom.
    found, limit = chi_squared(seen, [0.8 * total, 0.1 * total, 0.1 * total])
    assert found < limit
    wrong, limit = chi_squared(seen, [0.9 * total, 0.05 * total, 0.05 * total])
    assert wrong > limit


def test_special_tokens_are_never_chosen(folder):
    texts = [f"{words(4)} [SEP] ☕ [MASK] [PAD] [CLS] {words(4)}" for _ in range(20)]
    task = read(folder, "fill-mask", lines(*texts), {"masked": 1.0})
    chosen, _ = drawn(task, 2)
    assert chosen
    assert not chosen.keys() & {*task.tokenizer.all_special_ids}


@pytest.mark.parametrize("smoothing", [0.0, 0.7])
def test_words_are_chosen_by_how_often_they_are_in_the_corpus(folder, smoothing):
    """Of a few words of many the chance is n ** -smoothing, in proportion."""
    often, seldom = "the", "film"
    text = " ".join([often] * 9 + [seldom])
    recipe = {"masked": 0.02, "smoothing": smoothing}
    task = read(folder, "fill-mask", lines(*[text] * 160), recipe)
    chosen, _ = drawn(task, 60)
    ids = task.tokenizer.convert_tokens_to_ids([often, seldom])
    counts = [160 * 9, 160]
    weights = [n * n**-smoothing for n in counts]
    total = chosen.total()
    expected = [total * weight / sum(weights) for weight in weights]
    # So few of so many are chosen that it makes no difference that none is put back.
    found, limit = chi_squared([chosen[id] for id in ids], expected)
    assert found < limit
    other = [n * n ** -(0.7 - smoothing) for n in counts]
    expected = [total * weight / sum(other) for weight in other]
    wrong, limit = chi_squared([chosen[id] for id in ids], expected)
    assert wrong > limit


def test_a_cache_is_made_once_and_gives_the_same(folder, tmp_path):
    corpus, cache = tmp_path / "corpus.txt", tmp_path / "features.safetensors"
    texts = [words(5, n) for n in range(30)] + ["", words(60)]
    corpus.write_text("\n".join(texts))
    plain = read(folder, "fill-mask", corpus)
    made = read(folder, "fill-mask", corpus, cache=cache)
    written = cache.stat().st_mtime_ns
    again = read(folder, "fill-mask", corpus, cache=cache)
    assert cache.stat().st_mtime_ns == written
    for each in (made, again):
        assert each.features.digest() == plain.features.digest()
        assert each.skipped == plain.skipped == {"empty text": 1}
        assert each.shortened == plain.shortened
        assert each.used == plain.used
        assert each.text(3) == plain.text(3)


@pytest.mark.parametrize("change", ["data", "max_length", "fewest_tokens", "damage"])
def test_a_cache_of_something_else_is_made_anew(folder, tmp_path, change):
    corpus, cache = tmp_path / "corpus.txt", tmp_path / "features.safetensors"
    corpus.write_text("\n".join(" ".join(sentence(n, 3 + n)) for n in range(9)))
    read(folder, "fill-mask", corpus, cache=cache)
    recipe = {}
    if change == "data":
        corpus.write_text(words(9))
    elif change == "damage":
        cache.write_bytes(cache.read_bytes()[:100])
    else:
        recipe = {change: 9}
    wanted = read(folder, "fill-mask", corpus, recipe)
    found = read(folder, "fill-mask", corpus, recipe, cache=cache)
    assert found.features.digest() == wanted.features.digest()
