"""Question answering and multiple choice: from rows to what a model reads."""

from __future__ import annotations

import json
import random

import pytest
import torch
from lessons import HEADS, read, sentence
from texts import odd_text, words
from transformers import AutoTokenizer

from minidistil.training.keys import generator
from minidistil.training.rows import TrainingDataError

ANSWERER, _ = HEADS["question-answering"]
CHOOSER, _ = HEADS["multiple-choice"]


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of(ANSWERER)


@pytest.fixture(scope="module")
def chooser(folder_of):
    return folder_of(CHOOSER)


# Questions


def prepare_train_features(tokenizer, examples, max_length, stride):
    """As the course and transformers' documentation have it."""
    inputs = tokenizer(
        [row["question"] for row in examples],
        [row["context"] for row in examples],
        max_length=max_length,
        truncation="only_second",
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    starts, ends = [], []
    for i, offset in enumerate(inputs["offset_mapping"]):
        answer = examples[inputs["overflow_to_sample_mapping"][i]]["answers"]
        if not answer["text"]:  # SQuAD 2 has such questions
            starts.append(0)
            ends.append(0)
            continue
        start_char = answer["answer_start"][0]
        end_char = start_char + len(answer["text"][0])
        sequence_ids = inputs.sequence_ids(i)
        idx = 0
        while sequence_ids[idx] != 1:
            idx += 1
        context_start = idx
        while sequence_ids[idx] == 1:
            idx += 1
        context_end = idx - 1
        if offset[context_start][0] > start_char or offset[context_end][1] < end_char:
            starts.append(0)
            ends.append(0)
        else:
            idx = context_start
            while idx <= context_end and offset[idx][0] <= start_char:
                idx += 1
            starts.append(idx - 1)
            idx = context_end
            while idx >= context_start and offset[idx][1] >= end_char:
                idx -= 1
            ends.append(idx + 1)
    return inputs["input_ids"], starts, ends


def asked(seed):
    """An odd question and context; the answer is any part of it but white space."""
    chance = random.Random(seed)
    context = "good" + odd_text(seed, chance.randint(1, 60)) + "end"
    answers = {"text": [], "answer_start": []}
    for _ in range(chance.choice([0, 1, 1, 3])):
        start = chance.randrange(len(context))
        text = context[start : start + chance.randint(1, 30)]
        if text.strip():
            answers["text"].append(text)
            answers["answer_start"].append(start)
    question = "the " + odd_text(seed + 1000, chance.randint(1, 4))
    return {"question": question, "context": context, "answers": answers}


@pytest.mark.parametrize(("max_length", "stride"), [(48, 5), (48, 0), (40, 9)])
def test_windows_and_places_are_those_of_the_course(folder, max_length, stride):
    rows = [asked(seed) for seed in range(120)]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # Questions of odd fragments can be long; here each leaves room for a window.
    rows = [row for row in rows if len(tokenizer(row["question"])["input_ids"]) < 28]
    recipe = {"max_length": max_length, "stride": stride}
    task = read(folder, "question-answering", rows, recipe)
    ids, starts, ends = prepare_train_features(tokenizer, rows, max_length, stride)
    found = torch.split(task.features.ids, task.lengths.tolist())
    assert [each.tolist() for each in found] == ids
    assert task.features.targets["starts"].tolist() == starts
    assert task.features.targets["ends"].tolist() == ends
    # Something is learnt of: several windows, answers, and none.
    assert len(ids) > len(rows) > 80
    assert 0 in starts
    assert sum(start > 0 for start in starts) > 30


def test_a_measure_finds_the_answer_at_the_place_that_is_learnt(folder):
    text = "the film was good but its end was far too long " * 4
    answers = {"text": ["good but its"], "answer_start": [60]}
    assert text[60:72] == "good but its"
    rows = [{"question": "the film", "context": text, "answers": answers}]
    task = read(folder, "question-answering", rows, {"max_length": 20, "stride": 4})
    every = torch.arange(len(task.lengths))
    logits = torch.zeros(len(every), int(task.lengths.max()), 2)
    for end, name in enumerate(("starts", "ends")):
        place = task.features.targets[name].long()
        logits[every, place, end] = 9.0 + (place > 0)
    measure = task.measure()
    measure.add(every, logits)
    assert measure.answer(0) == "good but its"
    assert measure.results()["exact_match"] == 1.0


def one(**others):
    return {"question": "the film", "context": "the end was good", **others}


SQUAD = {"text": ["end"], "answer_start": [4]}


@pytest.mark.parametrize(
    "columns",
    [
        {"answers": SQUAD},
        {"answers": json.dumps(SQUAD)},
        {"answers": [{"text": "end", "answer_start": 4}]},
        {"answer": "end", "answer_start": 4},
        {"answer": "end", "answer_start": "4"},
        {"answer": ["end", "was"], "answer_start": [4, 8]},
    ],
)
def test_answers_come_in_several_forms(folder, columns):
    task = read(folder, "question-answering", [one(**columns)])
    # [CLS] the film [SEP] the end
    assert task.features.targets["starts"].tolist() == [5]
    assert task.features.targets["ends"].tolist() == [5]


@pytest.mark.parametrize(
    "columns",
    [
        {"answers": {"text": [], "answer_start": []}},
        {"answers": []},
        {"answers": None},
        {"answers": ""},
        {"answer": None, "answer_start": None},
        {"answer": "", "answer_start": ""},
    ],
)
def test_a_question_without_an_answer_points_at_cls(folder, columns):
    task = read(folder, "question-answering", [one(**columns)])
    assert task.features.targets["starts"].tolist() == [0]
    assert task.features.targets["ends"].tolist() == [0]
    assert task.questions[0].answers == []


def test_an_answer_that_is_not_at_its_place_names_file_row_and_both(folder, tmp_path):
    path = tmp_path / "train.jsonl"
    wrong = one(answers={"text": ["good"], "answer_start": [11]})
    path.write_text("\n".join(map(json.dumps, [one(answers=SQUAD), wrong])))
    with pytest.raises(TrainingDataError) as caught:
        read(folder, "question-answering", path)
    assert str(caught.value) == (
        f"{path}, row 2: got ' goo' at character 11 of the context, expected the "
        f"answer 'good'; it stands at 12"
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"answers": {"text": ["end"], "answer_start": []}},
        {"answers": {"text": ["end"], "answer_start": [-1]}},
        {"answers": {"text": ["end"], "answer_start": [4.5]}},
        {"answers": {"text": [" "], "answer_start": [3]}},
        {"answers": {"text": [3], "answer_start": [3]}},
        {"answers": {"texts": ["end"]}},
        {"answers": ["end"]},
        {"answers": "end"},
        {"answer": "end", "answer_start": None},
        {"answer": "end", "answer_start": "four"},
    ],
)
def test_answers_of_another_form_name_the_row(folder, columns):
    with pytest.raises(TrainingDataError, match="row 1: "):
        read(folder, "question-answering", [one(**columns)])


def test_data_without_answers_lists_the_columns(folder):
    with pytest.raises(TrainingDataError, match=r"'question', 'context', .*answers"):
        read(folder, "question-answering", [one()])


@pytest.mark.parametrize("form", ["file", "content"])
def test_squads_own_file_is_no_table_and_the_error_says_what_to_do(
    folder, tmp_path, form
):
    content = {"version": "1.1", "data": [{"title": "x", "paragraphs": []}]}
    path = tmp_path / "train-v1.1.json"
    path.write_text(json.dumps(content))
    with pytest.raises(TrainingDataError, match=r"a line of JSON to a \.jsonl file"):
        read(folder, "question-answering", path if form == "file" else content)


def test_a_question_that_leaves_no_room_names_the_row(folder):
    rows = [one(answers=SQUAD), one(answers=SQUAD) | {"question": words(60)}]
    with pytest.raises(TrainingDataError, match="row 2: got a question of 60 tokens"):
        read(folder, "question-answering", rows)


def test_a_long_question_takes_from_what_windows_share_and_that_is_counted(folder):
    rows = [one(answers=SQUAD) | {"context": "the end " * 30, "question": words(30)}]
    task = read(folder, "question-answering", rows, {"stride": 20})
    (said,) = task.shortened
    assert "share less than 20 tokens" in said
    assert task.features.targets["first"].tolist()[:3] == [0, 8, 16]


def test_questions_and_contexts_without_text_are_counted(folder):
    empty = {"text": [], "answer_start": []}
    rows = [
        one(answers=SQUAD),
        one(answers=empty) | {"question": " "},
        one(answers=empty) | {"context": ""},
        one(answers=SQUAD),
    ]
    task = read(folder, "question-answering", rows)
    assert task.skipped == {"empty text": 2}
    assert task.features.targets["questions"].tolist() == [0, 1]


def test_a_teachers_answers_are_as_wide_as_what_the_student_reads(folder):
    rows = [one(answers=SQUAD) | {"question": words(n)} for n in (9, 2, 2)]
    task = read(folder, "question-answering", rows)
    every = torch.arange(3)

    def teacher(rows):
        wide = int(task.lengths[rows].max())
        return rows[:, None, None].float().expand(-1, wide, 2)

    step = task.lesson(every, torch.split(every, 1), generator(0, "x"), teacher)
    for row, make in enumerate(step.passes):
        inputs = make()
        length = int(task.lengths[row])
        assert inputs["teacher"].shape[:2] == inputs["input_ids"].shape
        assert (inputs["teacher"][0, :length] == row).all()
        assert (inputs["teacher"][0, length:] == -torch.inf).all()


# Choices


def choice(prompt=3, many=3, label=1, **others):
    endings = [" ".join(sentence(i, 1 + i)) for i in range(many)]
    return {"prompt": words(prompt), "choices": endings, "label": label, **others}


@pytest.mark.parametrize("question", [None, "its end"])
def test_pairs_of_prompt_and_choice_are_the_tokenizers_own(chooser, question):
    rows = [choice(2 + i, question=question) for i in range(5)]
    task = read(chooser, "multiple-choice", rows)
    tokenizer = AutoTokenizer.from_pretrained(chooser)
    prompts = [row["prompt"] for row in rows for _ in range(3)]
    seconds = [
        f"{question} {text}" if question else text
        for row in rows
        for text in row["choices"]
    ]
    wanted = tokenizer(prompts, seconds, padding=True, return_tensors="pt")
    found = task.inputs(torch.arange(5))
    for name in ("input_ids", "attention_mask"):
        assert torch.equal(found[name], wanted[name].view(5, 3, -1))
    sizes = wanted["attention_mask"].view(5, -1).sum(1)
    assert torch.equal(task.lengths, sizes)


def test_it_is_the_prompt_that_is_truncated(chooser):
    row = choice(60)
    task = read(chooser, "multiple-choice", [row, choice()], {"max_length": 12})
    tokenizer = AutoTokenizer.from_pretrained(chooser)
    wanted = tokenizer(
        [row["prompt"]] * 3, row["choices"], truncation="only_first", max_length=12
    )["input_ids"]
    assert task.inputs(torch.tensor([0]))["input_ids"][0].tolist() == wanted
    assert task.shortened == {"longer than 12 tokens": 1}


def test_a_choice_that_leaves_no_room_names_the_row(chooser):
    rows = [choice(), choice() | {"choices": ["good", words(60)]}]
    with pytest.raises(TrainingDataError, match=r"row 2: .* leaves no room"):
        read(chooser, "multiple-choice", rows)


@pytest.mark.parametrize("label", [2, "2", "good far was"])
def test_a_label_is_a_number_or_the_text(chooser, label):
    row = choice() | {"choices": ["the", "film", "good far was"], "label": label}
    task = read(chooser, "multiple-choice", [row])
    assert task.features.targets["labels"].tolist() == [2]


@pytest.mark.parametrize(
    "odd",
    [
        {"label": 3},
        {"label": -1},
        {"label": "none of them"},
        {"label": None},
        {"label": True},
        {"label": 1.5},
        # The text of one, and the number of another.
        {"choices": ["1", "2", "3"], "label": "1"},
        {"choices": ["a", "a", "b"], "label": "a"},
        {"choices": ["a"]},
        {"choices": "a b"},
        {"choices": ["a", 3]},
    ],
)
def test_an_odd_row_of_choices_names_file_and_row(chooser, tmp_path, odd):
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, [choice(), choice() | odd])))
    with pytest.raises(TrainingDataError, match=r"train.jsonl, row 2: "):
        read(chooser, "multiple-choice", path)


def test_choices_may_have_a_column_each(chooser):
    rows = [{"sent1": "the film", "ending0": "was", "ending1": "good", "label": 1}]
    columns = {"choices": "ending0,ending1"}
    task = read(chooser, "multiple-choice", rows, columns=columns)
    assert task.text(0) == "the film | was\nthe film | good"


def test_rows_without_a_text_are_counted(chooser):
    rows = [choice(), choice() | {"prompt": " "}, choice() | {"choices": ["a", ""]}]
    task = read(chooser, "multiple-choice", rows)
    assert task.skipped == {"empty text": 2}
    assert len(task.lengths) == 1


def test_a_choice_that_is_not_there_is_read_as_an_empty_text(chooser):
    task = read(chooser, "multiple-choice", [choice(many=2), choice(many=4)])
    found = task.inputs(torch.tensor([0, 1]))
    assert found["input_ids"].shape[:2] == (2, 4)
    assert found["attention_mask"][0].sum(1).tolist()[2:] == [2, 2]
    alone = task.inputs(torch.tensor([0]))["input_ids"]
    assert torch.equal(found["input_ids"][0, :2, : alone.shape[2]], alone[0])


def test_a_teachers_answers_go_to_the_choices_that_are_there(chooser):
    rows = [choice(many=2 + i % 3) for i in range(6)]
    task = read(chooser, "multiple-choice", rows)
    every = torch.arange(6)
    kept = torch.randn(6, 4)
    step = task.lesson(
        every, torch.split(every, 4), generator(0, "x"), kept.__getitem__
    )
    found = []
    for make in step.passes:
        inputs = make()
        assert inputs["teacher"].shape == inputs["input_ids"].shape[:2]
        found += inputs["teacher"].tolist()
    wanted = [kept[i, : 2 + i % 3].tolist() for i in range(6)]
    assert sorted(found) == sorted(wanted)
    assert step.counts == {"hard": 6, "soft": 6}
