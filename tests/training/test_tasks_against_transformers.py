"""One step of every head is transformers' own: the loss, and every gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from checkpoints import draw_lively
from lessons import HEADS, NAMES, NO_DROPOUT, gradients, models, read, sentence, take
from transformers import AutoTokenizer

from minidistil.training.keys import generator
from minidistil.training.masking import IGNORED

ROWS = 7  # no multiple of a pass: the last one is small


def some_texts(**columns: Any) -> list[dict[str, Any]]:
    return [
        {"text": " ".join(sentence(i, 2 + 3 * i)), "label": label(i)}
        for label in [columns["label"]]
        for i in range(ROWS)
    ]


def texts_of(rows):
    return [row["text"] for row in rows]


def padded_text(tokenizer, *texts):
    return tokenizer(*texts, padding=True, truncation=True, return_tensors="pt")


def single(folder, tokenizer):
    rows = some_texts(label=lambda i: i % 3)
    labels = torch.tensor([row["label"] for row in rows])
    return rows, {}, {**padded_text(tokenizer, texts_of(rows)), "labels": labels}


def pairs(folder, tokenizer):
    rows = [
        {
            "sentence1": " ".join(sentence(i, 9 - i)),
            "sentence2": " ".join(sentence(2 * i, 1 + i)),
            "label": i % 3,
        }
        for i in range(ROWS)
    ]
    texts = ([row[name] for row in rows] for name in ("sentence1", "sentence2"))
    labels = torch.tensor([row["label"] for row in rows])
    return rows, {}, {**padded_text(tokenizer, *texts), "labels": labels}


def numbers(folder, tokenizer):
    rows = some_texts(label=lambda i: i / 2 - 1)
    labels = torch.tensor([row["label"] for row in rows])
    changes = {"num_labels": 1, "problem_type": "regression"}
    return rows, changes, {**padded_text(tokenizer, texts_of(rows)), "labels": labels}


def several(folder, tokenizer):
    names = ["a", "b", "c", "d"]
    rows = some_texts(
        label=lambda i: [name for j, name in enumerate(names) if i >> j & 1]
    )
    labels = torch.tensor([[float(i >> j & 1) for j in range(3)] for i in range(ROWS)])
    changes = {"num_labels": 3, "problem_type": "multi_label_classification"}
    return rows, changes, {**padded_text(tokenizer, texts_of(rows)), "labels": labels}


def tokens(folder, tokenizer):
    rows = [
        {
            "tokens": [*sentence(i, 3 + i), "unbelievably", "Brooklyn"],
            "ner_tags": [NAMES[(i + j) % 5] for j in range(5 + i)],
        }
        for i in range(ROWS)
    ]
    batch = tokenizer(
        [row["tokens"] for row in rows],
        is_split_into_words=True,
        padding=True,
        return_tensors="pt",
    )
    labels = torch.full_like(batch["input_ids"], IGNORED)
    for i, row in enumerate(rows):
        previous = None
        for place, word in enumerate(batch.word_ids(i)):
            if word is not None and word != previous:
                labels[i, place] = NAMES.index(row["ner_tags"][word])
            previous = word
    return rows, {}, {**batch, "labels": labels}


def questions(folder, tokenizer):
    rows = []
    for i in range(ROWS):
        words = sentence(i, 5 + i)
        context, answer = " ".join(words), words[i % 4]
        found = {"text": [answer], "answer_start": [context.index(answer)]}
        rows.append(
            {"question": f"the film {answer}", "context": context, "answers": found}
        )
    rows[2]["answers"] = {"text": [], "answer_start": []}
    batch = padded_text(
        tokenizer, *([row[x] for row in rows] for x in ("question", "context"))
    )
    places: dict[str, list[int]] = {"start_positions": [], "end_positions": []}
    for i, row in enumerate(rows):
        # Each word is one token here.
        place = 0
        if row["answers"]["text"]:
            start = row["answers"]["answer_start"][0]
            place = batch.char_to_token(i, start, sequence_index=1)
        for each in places.values():
            each.append(place)
    return rows, {}, {**batch, **{k: torch.tensor(v) for k, v in places.items()}}


def choices(folder, tokenizer):
    rows = [
        {
            "prompt": " ".join(sentence(i, 2 + i)),
            "choices": [" ".join(sentence(j, 1 + j)) for j in range(3)],
            "label": i % 3,
        }
        for i in range(ROWS)
    ]
    firsts = [row["prompt"] for row in rows for _ in range(3)]
    seconds = [choice for row in rows for choice in row["choices"]]
    batch = padded_text(tokenizer, firsts, seconds)
    labels = torch.tensor([row["label"] for row in rows])
    batch = {name: value.view(ROWS, 3, -1) for name, value in batch.items()}
    return rows, {}, {**batch, "labels": labels}


CASES = {
    "single": ("text-classification", single),
    "pairs": ("text-classification", pairs),
    "numbers": ("text-classification", numbers),
    "several": ("text-classification", several),
    "tokens": ("token-classification", tokens),
    "questions": ("question-answering", questions),
    "choices": ("multiple-choice", choices),
}


@pytest.mark.parametrize("pass_rows", [ROWS, 2])
@pytest.mark.parametrize("case", CASES)
def test_a_step_is_that_of_transformers(folder_of, case, pass_rows):
    name, make = CASES[case]
    architecture, config = HEADS[name]
    folder = folder_of(architecture, draw=draw_lively, **NO_DROPOUT, **config)
    rows, changes, batch = make(folder, AutoTokenizer.from_pretrained(folder))
    if changes:
        changes["ignore_mismatched_sizes"] = True
    ours, theirs = models(folder, architecture, **changes)
    with torch.no_grad():
        for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.copy_(yours)
    task = read(folder, name, rows, config=ours.config)
    wanted = theirs(**batch).loss
    wanted.backward()
    loss = take(task, ours, torch.arange(ROWS), pass_rows)
    assert loss == pytest.approx(wanted.item(), rel=1e-6)
    found, right = gradients(ours), gradients(theirs)
    assert found.keys() == right.keys()
    largest = max(float(each.abs().max()) for each in right.values())
    for weight in right:
        torch.testing.assert_close(
            found[weight], right[weight], rtol=1e-5, atol=1e-6 * max(1.0, largest)
        )


@pytest.mark.parametrize("pass_rows", [ROWS, 2])
def test_a_step_of_masked_words_is_that_of_transformers(folder_of, pass_rows):
    folder = folder_of("DistilBertForMaskedLM", draw=draw_lively, **NO_DROPOUT)
    rows = [{"text": " ".join(sentence(i, 4 + i))} for i in range(ROWS)]
    task = read(folder, "fill-mask", rows, {"masked": 0.4})
    ours, theirs = models(folder, "DistilBertForMaskedLM")
    every = torch.arange(ROWS)
    # What is hidden is drawn; what the loss of it is, is not. The whole batch at once:
    step = task.lesson(every, [every], generator(0, "masks", 0))
    inputs = step.passes[0]()
    labels = torch.full_like(inputs["input_ids"], IGNORED)
    labels.view(-1)[inputs["places"]] = inputs["labels"]
    wanted = theirs(inputs["input_ids"], inputs["attention_mask"], labels=labels).loss
    wanted.backward()
    loss = take(task, ours, every, pass_rows)
    assert loss == pytest.approx(wanted.item(), rel=1e-6)
    for weight, right in gradients(theirs).items():
        found = gradients(ours)[weight]
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-6)


def test_groups_with_other_numbers_of_choices_are_one_step(folder_of):
    folder = folder_of("DistilBertForMultipleChoice", draw=draw_lively, **NO_DROPOUT)
    ours, theirs = models(folder, "DistilBertForMultipleChoice")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [
        {
            "prompt": " ".join(sentence(i, 3)),
            "choices": [" ".join(sentence(j, 1 + j)) for j in range(2 + i % 3)],
            "label": i % 2,
        }
        for i in range(ROWS)
    ]
    losses = []
    for row in rows:
        many = row["choices"]
        batch = padded_text(tokenizer, [row["prompt"]] * len(many), many)
        batch = {name: value[None] for name, value in batch.items()}
        losses.append(theirs(**batch, labels=torch.tensor([row["label"]])).loss)
    torch.stack(losses).mean().backward()
    task = read(folder, "multiple-choice", rows)
    loss = take(task, ours, torch.arange(ROWS), 3)
    assert loss == pytest.approx(float(torch.stack(losses).mean()), rel=1e-6)
    for weight, right in gradients(theirs).items():
        found = gradients(ours)[weight]
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-6)
