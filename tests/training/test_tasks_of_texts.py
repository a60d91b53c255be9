"""Text classification and token classification: from rows to what a model reads."""

from __future__ import annotations

import json

import pytest
import torch
from lessons import HEADS, NAMES, read
from texts import ODDITIES, odd_text, words
from transformers import AutoTokenizer

import minidistil
from minidistil.config import DistilBertConfig
from minidistil.training.keys import generator
from minidistil.training.labels import Labels
from minidistil.training.masking import IGNORED
from minidistil.training.rows import TrainingDataError

CLASSIFIER, _ = HEADS["text-classification"]
TAGGER, TAGS = HEADS["token-classification"]
EMPTY = ["", " ", "\u200b", "\x00\n"]
ODD = [*EMPTY, *(odd_text(seed, 1 + seed % 40) for seed in range(150)), "two\x1cwords"]


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of(CLASSIFIER, num_labels=2)


@pytest.fixture(scope="module")
def tagger(folder_of):
    return folder_of(TAGGER, **TAGS)


def ids_of(task):
    return [
        ids.tolist() for ids in torch.split(task.features.ids, task.lengths.tolist())
    ]


def rows_of(texts, **others):
    return [
        {"text": text, "label": i % 2, **{k: v[i] for k, v in others.items()}}
        for i, text in enumerate(texts)
    ]


# Texts


@pytest.mark.parametrize("max_length", [None, 9, 4])
def test_ids_are_the_tokenizers_own(folder, max_length):
    task = read(folder, "text-classification", rows_of(ODD), {"max_length": max_length})
    limit = max_length or 48  # positions of the model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = tokenizer(ODD, truncation=True, max_length=limit)["input_ids"]
    wanted = [ids for ids in found if len(ids) > 2]  # [CLS] and [SEP] alone are no text
    assert ids_of(task) == wanted
    assert task.skipped == {"empty text": len(ODD) - len(wanted)}
    long = sum(len(ids) > limit for ids in tokenizer(ODD)["input_ids"])
    assert task.shortened == ({f"longer than {limit} tokens": long} if long else {})


# (With much less the library takes long: it makes rows of all that is left over.)
@pytest.mark.parametrize("max_length", [None, 25, 12])
def test_ids_of_pairs_are_the_tokenizers_own(folder, max_length):
    seconds = ODD[::-1]
    rows = rows_of(ODD, text_pair=seconds)
    task = read(folder, "text-classification", rows, {"max_length": max_length})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kept = [
        pair
        for pair in zip(ODD, seconds, strict=True)
        if all(tokenizer(text, add_special_tokens=False)["input_ids"] for text in pair)
    ]
    wanted = tokenizer(kept, truncation=True, max_length=max_length or 48)["input_ids"]
    assert ids_of(task) == wanted
    assert len(kept) < len(rows)


def test_a_tokenizer_that_truncates_on_the_left_does_so_here(folder):
    tokenizer = minidistil.DistilBertTokenizer.from_pretrained(folder)
    tokenizer.truncation_side = "left"
    task = read(
        folder,
        "text-classification",
        rows_of([words(9), words(9, 2)]),
        {"max_length": 6},
        tokenizer=tokenizer,
    )
    wanted = tokenizer([words(9), words(9, 2)], truncation=True, max_length=6)
    assert ids_of(task) == wanted["input_ids"]


def test_labels_stay_with_their_texts_where_others_are_skipped(folder):
    texts = ["", words(1), " ", words(2), None, words(3), "\u200b"]
    labels = [0, 1, 1, 0, 0, 1, 0]
    rows = [{"text": t, "label": n} for t, n in zip(texts, labels, strict=True)]
    task = read(folder, "text-classification", rows)
    assert task.features.targets["labels"].tolist() == [1, 0, 1]
    assert task.skipped == {"empty text": 4}


def test_texts_that_are_all_empty_are_an_error(folder):
    with pytest.raises(
        TrainingDataError, match=r"all rows were left out: empty text \(2\)"
    ):
        read(folder, "text-classification", rows_of(["", " "]))


def test_inputs_are_padded_to_the_longest_of_a_pass(folder):
    task = read(folder, "text-classification", rows_of([words(n) for n in (5, 2, 2)]))
    both = task.inputs(torch.tensor([1, 0]))
    assert both["input_ids"].shape == (2, 7)
    assert both["attention_mask"].tolist() == [[1] * 4 + [0] * 3, [1] * 7]
    assert both["input_ids"].dtype == torch.int64
    assert [*task.inputs(torch.tensor([1, 2]))] == ["input_ids"]


def test_every_row_of_a_step_is_in_one_of_its_passes(folder):
    task = read(
        folder, "text-classification", rows_of([words(2 + n) for n in range(7)])
    )
    rows = torch.tensor([6, 0, 3, 2, 5])
    step = task.lesson(rows, torch.split(rows, 2), generator(0, "x"))
    found = [make() for make in step.passes]
    assert [len(each["labels"]) for each in found] == [2, 2, 1]
    labels = torch.cat([each["labels"] for each in found])
    assert labels.tolist() == [row % 2 for row in rows.tolist()]
    assert step.counts == {"hard": 5, "soft": 5}


def test_a_teachers_answers_go_to_their_rows(folder):
    task = read(
        folder, "text-classification", rows_of([words(2 + n) for n in range(4)])
    )
    kept = torch.randn(4, 2)
    rows = torch.tensor([3, 0, 2])
    step = task.lesson(rows, torch.split(rows, 2), generator(0, "x"), kept.__getitem__)
    found = torch.cat([make()["teacher"] for make in step.passes])
    assert torch.equal(found, kept[rows])


def test_a_row_is_written_for_a_person(folder):
    rows = rows_of(["The FILM was good", words(2)], text_pair=["too long", "far"])
    task = read(folder, "text-classification", rows)
    assert task.text(0) == "the film was good | too long"


@pytest.mark.parametrize("labels", [[0.5, 2], ["3.800", "5.000"], [1, 2.5]])
def test_fractions_are_numbers_to_be_predicted(folder, labels):
    rows = [{"text": words(2), "label": label} for label in labels]
    task = read(folder, "text-classification", rows)
    assert task.labels.problem_type == "regression"
    wanted = [[float(label)] for label in labels]
    torch.testing.assert_close(task.features.targets["labels"], torch.tensor(wanted))
    assert task.metrics[0] == "pearson"


def test_whole_numbers_are_to_be_predicted_if_the_model_says_so(folder):
    config = minidistil.DistilBertConfig.from_pretrained(folder, num_labels=1)
    rows = [{"text": words(2), "label": label} for label in (1, 3)]
    task = read(folder, "text-classification", rows, config=config)
    assert task.features.targets["labels"].tolist() == [[1.0], [3.0]]


def test_evaluated_data_is_what_the_training_data_was(folder):
    """A few whole numbers are no classes where others have fractions."""
    rows = [{"text": words(2), "label": label} for label in (1.5, 2, 3)]
    train = read(folder, "text-classification", rows)
    dev = read(folder, "text-classification", rows[1:], labels=train.labels)
    assert dev.labels == train.labels
    assert dev.features.targets["labels"].tolist() == [[2.0], [3.0]]


def test_fractions_are_no_labels_where_the_training_data_has_classes(folder):
    rows = [{"text": words(2), "label": label} for label in (1, 2.5)]
    with pytest.raises(TrainingDataError, match=r"row 2: got the label '2\.5'"):
        read(folder, "text-classification", rows, labels=Labels(("1", "2")))


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), "nan", "-inf", "1e39"])
def test_a_target_that_is_no_number_names_file_and_row(folder, tmp_path, odd):
    path = tmp_path / "train.tsv"
    path.write_text(f"text\tlabel\na film\t0.5\ngood\t{odd}\n")
    with pytest.raises(
        TrainingDataError, match=r"train.tsv, row 2: .* a finite number"
    ):
        read(folder, "text-classification", path)


def test_several_labels_are_read_from_lists_json_and_columns(folder):
    texts = [words(2), words(3)]
    lists = [["x", "y"], ["y"]]
    as_lists = [{"text": t, "label": x} for t, x in zip(texts, lists, strict=True)]
    as_json = [
        {"text": t, "label": json.dumps(x)} for t, x in zip(texts, lists, strict=True)
    ]
    as_columns = [
        {"text": t, "x": int("x" in x), "y": int("y" in x)}
        for t, x in zip(texts, lists, strict=True)
    ]
    for rows, columns in (
        (as_lists, {}),
        (as_json, {}),
        (as_columns, {"label": "x,y"}),
    ):
        task = read(folder, "text-classification", rows, columns=columns)
        assert task.labels == Labels(("x", "y"), "multi_label_classification")
        assert task.features.targets["labels"].tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("odd", ["x", ["x", 3], None])
def test_an_odd_row_among_several_labels_is_named(folder, odd):
    rows = [{"text": words(2), "label": ["x", "y"]}, {"text": words(2), "label": odd}]
    with pytest.raises(TrainingDataError, match="row 2: got"):
        read(folder, "text-classification", rows)


def test_a_list_among_single_labels_is_named(folder):
    rows = [{"text": words(2), "label": "x"}, {"text": words(2), "label": ["y"]}]
    with pytest.raises(TrainingDataError, match="row 2: got"):
        read(folder, "text-classification", rows)


def test_evaluated_data_has_as_many_labels_a_row_as_the_training_data(folder):
    """A model that takes one label would be measured as one that takes several."""
    one = [{"text": words(2), "label": label} for label in "xy"]
    lists = [{"text": words(2), "label": [label]} for label in "xy"]
    flags = [{"text": words(2), "x": 0, "y": 1}]
    columns = {"label": "x,y"}
    single = read(folder, "text-classification", one).labels
    several = read(folder, "text-classification", lists).labels
    for rows, chosen in ((lists, {}), (flags, columns)):
        with pytest.raises(
            TrainingDataError, match=r"row 1: .* one label, and no list"
        ):
            read(folder, "text-classification", rows, labels=single, columns=chosen)
    with pytest.raises(TrainingDataError, match=r"row 1: .* expected a list of labels"):
        read(folder, "text-classification", one, labels=several)
    task = read(folder, "text-classification", flags, labels=several, columns=columns)
    assert task.features.targets["labels"].tolist() == [[0, 1]]


@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
def test_a_tokenizer_of_another_model_is_refused(folder, task):
    config = minidistil.DistilBertConfig.from_pretrained(folder, vocab_size=100)
    with pytest.raises(TrainingDataError, match="ids up to 3999"):
        read(folder, task, rows_of([words(2)]), config=config)


# Words with tags


def tokenize_and_align_labels(tokenizer, examples, limit):
    """As transformers' documentation and the course have it."""
    tokenized = tokenizer(
        [row["tokens"] for row in examples],
        truncation=True,
        max_length=limit,
        is_split_into_words=True,
    )
    labels = []
    for i, row in enumerate(examples):
        previous, found = None, []
        for word in tokenized.word_ids(batch_index=i):
            if word is None or word == previous:
                found.append(-100)
            else:
                found.append(NAMES.index(row["ner_tags"][word]))
            previous = word
        labels.append(found)
    return tokenized["input_ids"], labels


def tagged(seed):
    text = odd_text(seed, 3 + seed % 20)
    some = [*text.split(), ODDITIES[seed % len(ODDITIES)], "two words"]
    return {
        "tokens": some,
        "ner_tags": [NAMES[(seed + i) % 5] for i in range(len(some))],
    }


@pytest.mark.parametrize("limit", [48, 10])
def test_tags_are_aligned_as_the_course_does_it(tagger, limit):
    rows = [tagged(seed) for seed in range(100)]
    task = read(tagger, "token-classification", rows, {"max_length": limit})
    tokenizer = AutoTokenizer.from_pretrained(tagger)
    ids, labels = tokenize_and_align_labels(tokenizer, rows, limit)
    assert ids_of(task) == ids
    flat = task.features.targets["labels"]
    found = [each.tolist() for each in torch.split(flat, task.lengths.tolist())]
    assert found == labels


def test_words_that_are_not_read_are_counted(tagger):
    rows = [
        {"tokens": ["the", "film", "\u200b", "was", "good"], "ner_tags": list(NAMES)},
        {"tokens": ["\x00"], "ner_tags": ["O"]},
    ]
    task = read(tagger, "token-classification", rows, {"max_length": 4})
    assert task.skipped == {"empty text": 1}
    assert task.shortened == {"words without a token": 1, "words beyond 4 tokens": 2}


def test_words_are_lists_lists_of_json_or_split_at_white_space(tagger):
    some, tags = ["the", "film"], ["O", "B-PER"]
    for wrap in (list, json.dumps, " ".join, "\t".join):
        rows = [{"words": wrap(some), "tags": wrap(tags)}]
        task = read(tagger, "token-classification", rows)
        assert task.features.targets["labels"].tolist() == [IGNORED, 0, 1, IGNORED]


@pytest.mark.parametrize("tags", [[0, -100, 3], "0 -100 3", '["0", "-100", "3"]'])
def test_numbers_are_tags_and_minus_100_is_none(tagger, tags):
    rows = [{"tokens": ["the", "film", "was"], "ner_tags": tags}]
    task = read(tagger, "token-classification", rows)
    assert task.labels.names == tuple(NAMES)
    assert task.features.targets["labels"].tolist() == [IGNORED, 0, IGNORED, 3, IGNORED]
    assert task.counts(torch.tensor([0]))["hard"] == 2


@pytest.mark.parametrize("labels", [None, Labels(("O", "B-PER"))])
def test_without_any_tag_there_is_nothing_to_learn_or_to_measure(tagger, labels):
    rows = [{"tokens": ["the", "film"], "ner_tags": [-100, -100]}] * 3
    with pytest.raises(TrainingDataError, match="got no word with a tag"):
        read(tagger, "token-classification", rows, labels=labels)


@pytest.mark.parametrize("tags", [["O"], ["O"] * 3, "O", None, 3])
def test_tags_that_are_not_one_for_each_word_name_file_and_row(tagger, tmp_path, tags):
    path = tmp_path / "train.jsonl"
    rows = [
        {"tokens": ["a", "film"], "ner_tags": ["O", "B-PER"]},
        {"tokens": ["the", "film"], "ner_tags": tags},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(TrainingDataError, match=r"train.jsonl, row 2: got .*tags"):
        read(tagger, "token-classification", path)


def test_a_tag_that_only_the_evaluated_data_has_names_the_row(tagger):
    rows = [{"tokens": ["the", "film"], "ner_tags": ["O", "B-ORG"]}]
    with pytest.raises(TrainingDataError, match="row 1: got the tag 'B-ORG'"):
        read(tagger, "token-classification", rows, labels=Labels(("O", "B-PER")))


def test_a_teachers_answers_go_to_the_words(tagger):
    rows = [tagged(seed) for seed in range(5)]
    task = read(tagger, "token-classification", rows)
    every = torch.arange(5)

    def teacher(rows):
        """Of each token, its place in the features."""
        places, lengths = task.features.places(rows)
        found = torch.zeros(len(rows), int(lengths.max()), 5)
        for i, some in enumerate(torch.split(places, lengths.tolist())):
            found[i, : len(some)] = some[:, None].float()
        return found

    step = task.lesson(every, torch.split(every, 2), generator(0, "x"), teacher)
    inputs = [make() for make in step.passes]
    found = torch.cat([each["teacher"][:, 0] for each in inputs]).long()
    labels = torch.cat([each["labels"] for each in inputs])
    assert torch.equal(task.features.targets["labels"][found].long(), labels)
    assert len(found) == step.counts["hard"]


def test_who_asks_for_more_tokens_than_the_model_reads_is_warned(folder, recwarn):
    most = DistilBertConfig.from_pretrained(folder).max_position_embeddings
    rows = rows_of([words(2), words(3)])
    read(folder, "text-classification", rows, {"max_length": most})
    assert not recwarn
    with pytest.warns(UserWarning, match=f"is {most + 1}, but the model reads at most"):
        read(folder, "text-classification", rows, {"max_length": most + 1})
