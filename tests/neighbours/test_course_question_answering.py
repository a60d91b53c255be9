"""Chapter 7 of the Hugging Face course: questions about long contexts.

Windows with labels, Trainer, answers chosen by hand from the best starts and ends,
and the loop with accelerate; the same with transformers' own class.
"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from checkpoints import draw_lively
from datasets import Dataset
from snippets import NO_DROPOUT, assert_same_results, load, losses_of, on_a_cpu
from texts import words
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import Trainer, default_data_collator, get_scheduler

pytestmark = pytest.mark.full

MAX_LENGTH, STRIDE = 32, 8
N_BEST, MAX_ANSWER_LENGTH = 20, 30


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of("DistilBertForQuestionAnswering", draw=draw_lively, **NO_DROPOUT)


def raw_dataset(rows: int = 5) -> Dataset:
    """Contexts that need several windows, and where the answer is in each."""
    contexts = [words(30 + 9 * row, row) for row in range(rows)]
    starts = [context.index("good", 20 * row) for row, context in enumerate(contexts)]
    return Dataset.from_dict(
        {
            "id": [f"q{row}" for row in range(rows)],
            "question": ["  What was the film?"] * rows,
            "context": contexts,
            "answers": [{"text": ["good but"], "answer_start": [at]} for at in starts],
        }
    )


def windows(tokenizer: Any, examples: Any) -> Any:
    return tokenizer(
        [question.strip() for question in examples["question"]],
        examples["context"],
        max_length=MAX_LENGTH,
        truncation="only_second",
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length",
    )


def for_training(tokenizer: Any) -> Dataset:
    def preprocess(examples):
        inputs = windows(tokenizer, examples)
        offset_mapping = inputs.pop("offset_mapping")
        sample_map = inputs.pop("overflow_to_sample_mapping")
        start_positions, end_positions = [], []
        for i, offset in enumerate(offset_mapping):
            answer = examples["answers"][sample_map[i]]
            start_char = answer["answer_start"][0]
            end_char = start_char + len(answer["text"][0])
            sequence_ids = inputs.sequence_ids(i)
            idx = sequence_ids.index(1)
            context_start = idx
            while sequence_ids[idx] == 1:
                idx += 1
            context_end = idx - 1
            if (
                offset[context_start][0] > start_char
                or offset[context_end][1] < end_char
            ):
                start_positions.append(0)
                end_positions.append(0)
                continue
            idx = context_start
            while idx <= context_end and offset[idx][0] <= start_char:
                idx += 1
            start_positions.append(idx - 1)
            idx = context_end
            while idx >= context_start and offset[idx][1] >= end_char:
                idx -= 1
            end_positions.append(idx + 1)
        inputs["start_positions"] = start_positions
        inputs["end_positions"] = end_positions
        return inputs

    raw = raw_dataset()
    return raw.map(preprocess, batched=True, remove_columns=raw.column_names)


def for_validation(tokenizer: Any) -> Dataset:
    def preprocess(examples):
        inputs = windows(tokenizer, examples)
        sample_map = inputs.pop("overflow_to_sample_mapping")
        inputs["example_id"] = [examples["id"][i] for i in sample_map]
        for i, offset in enumerate(inputs["offset_mapping"]):
            sequence_ids = inputs.sequence_ids(i)
            inputs["offset_mapping"][i] = [
                o if sequence_ids[k] == 1 else None for k, o in enumerate(offset)
            ]
        return inputs

    raw = raw_dataset()
    return raw.map(preprocess, batched=True, remove_columns=raw.column_names)


def best_answers(
    start_logits: np.ndarray, end_logits: np.ndarray, features: Dataset
) -> list[dict[str, Any]]:
    """The best span of each question, over all its windows."""
    example_to_features = collections.defaultdict(list)
    for idx, feature in enumerate(features):
        example_to_features[feature["example_id"]].append(idx)
    found = []
    for example in raw_dataset():
        answers = []
        for feature_index in example_to_features[example["id"]]:
            start_logit = start_logits[feature_index]
            end_logit = end_logits[feature_index]
            offsets = features[feature_index]["offset_mapping"]
            start_indexes = np.argsort(start_logit)[-1 : -N_BEST - 1 : -1].tolist()
            end_indexes = np.argsort(end_logit)[-1 : -N_BEST - 1 : -1].tolist()
            for start in start_indexes:
                for end in end_indexes:
                    if offsets[start] is None or offsets[end] is None:
                        continue
                    if end < start or end - start + 1 > MAX_ANSWER_LENGTH:
                        continue
                    span = slice(offsets[start][0], offsets[end][1])
                    answers.append(
                        {
                            "text": example["context"][span],
                            "logit_score": float(start_logit[start] + end_logit[end]),
                        }
                    )
        found.append(max(answers, key=lambda answer: answer["logit_score"]))
    return found


def test_the_windows_and_their_labels(folder):
    def snippet(library):
        tokenizer = library.DistilBertTokenizer.from_pretrained(folder)
        train, validation = for_training(tokenizer), for_validation(tokenizer)
        return [train.to_dict(), validation.to_dict()]

    train, _ = assert_same_results(snippet)
    assert any(train["start_positions"])
    assert not all(train["start_positions"])


def test_answers_by_hand(folder):
    def snippet(library):
        model, tokenizer = load(library, "QuestionAnswering", folder)
        validation = for_validation(tokenizer)
        eval_set = validation.select_columns(["input_ids", "attention_mask"])
        eval_set.set_format("torch")
        batch = {k: eval_set[k][:] for k in eval_set.column_names}
        with torch.no_grad():
            outputs = model(**batch)
        start_logits = outputs.start_logits.cpu().numpy()
        end_logits = outputs.end_logits.cpu().numpy()
        return best_answers(start_logits, end_logits, validation)

    assert_same_results(snippet)


def test_the_trainer(folder, tmp_path):
    def snippet(library):
        model, tokenizer = load(library, "QuestionAnswering", folder)
        validation = for_validation(tokenizer)
        trainer = Trainer(
            model=model,
            args=on_a_cpu(tmp_path, num_train_epochs=1, weight_decay=0.01),
            train_dataset=for_training(tokenizer),
            eval_dataset=validation,
            processing_class=tokenizer,
        )
        trainer.train()
        predictions, _, _ = trainer.predict(validation)
        start_logits, end_logits = predictions
        return [losses_of(trainer), best_answers(start_logits, end_logits, validation)]

    assert_same_results(snippet)


def test_the_loop_with_accelerate(folder, tmp_path):
    def snippet(library):
        model, tokenizer = load(library, "QuestionAnswering", folder)
        validation = for_validation(tokenizer)
        train_dataset = for_training(tokenizer).select_columns(
            ["input_ids", "attention_mask", "start_positions", "end_positions"]
        )
        train_dataset.set_format("torch")
        validation_set = validation.select_columns(["input_ids", "attention_mask"])
        validation_set.set_format("torch")
        train_dataloader = DataLoader(
            train_dataset, shuffle=True, collate_fn=default_data_collator, batch_size=4
        )
        eval_dataloader = DataLoader(
            validation_set, collate_fn=default_data_collator, batch_size=4
        )
        optimizer = AdamW(model.parameters(), lr=1e-3)
        accelerator = Accelerator(cpu=True)
        model, optimizer, train_dataloader, eval_dataloader = accelerator.prepare(
            model, optimizer, train_dataloader, eval_dataloader
        )
        lr_scheduler = get_scheduler(
            "linear",
            optimizer=optimizer,
            num_warmup_steps=0,
            num_training_steps=len(train_dataloader),
        )
        losses, start_logits, end_logits = [], [], []
        model.train()
        for batch in train_dataloader:
            outputs = model(**batch)
            loss = outputs.loss
            accelerator.backward(loss)
            optimizer.step()
            lr_scheduler.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        model.eval()
        for batch in eval_dataloader:
            with torch.no_grad():
                outputs = model(**batch)
            start_logits.append(accelerator.gather(outputs.start_logits).numpy())
            end_logits.append(accelerator.gather(outputs.end_logits).numpy())
        starts = np.concatenate(start_logits)[: len(validation)]
        ends = np.concatenate(end_logits)[: len(validation)]
        output = tmp_path / library.__name__
        unwrapped_model = accelerator.unwrap_model(model)
        unwrapped_model.save_pretrained(output, save_function=accelerator.save)
        tokenizer.save_pretrained(output)
        return [losses, best_answers(starts, ends, validation)]

    assert_same_results(snippet)
