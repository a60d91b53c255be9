"""Chapter 3 of the Hugging Face course: a classifier of pairs, trained in three ways.

The losses of every step, the predictions and the metrics are those of transformers'
own class on the same checkpoint.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from checkpoints import draw_lively
from datasets import Dataset, DatasetDict
from snippets import NO_DROPOUT, assert_same_results, load, losses_of, on_a_cpu
from texts import words
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, Trainer, get_scheduler

pytestmark = pytest.mark.full

ROWS = 12


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of(draw=draw_lively, num_labels=2, **NO_DROPOUT)


def pairs(rows: int = ROWS) -> DatasetDict:
    """Pairs of sentences of several lengths, and whether they say the same."""
    part = Dataset.from_dict(
        {
            "sentence1": [words(3 + i % 5, i) for i in range(rows)],
            "sentence2": [words(2 + i % 7, 3 * i) for i in range(rows)],
            "label": [i % 2 for i in range(rows)],
            "idx": list(range(rows)),
        }
    )
    return DatasetDict(train=part, validation=part.select(range(rows // 2)))


def tokenized(raw_datasets: DatasetDict, tokenizer) -> DatasetDict:
    def tokenize_function(example):
        return tokenizer(example["sentence1"], example["sentence2"], truncation=True)

    return raw_datasets.map(tokenize_function, batched=True)


def accuracy(eval_preds):
    logits, labels = eval_preds
    return {"accuracy": float((np.argmax(logits, axis=-1) == labels).mean())}


def for_a_loop(tokenized_datasets: DatasetDict) -> DatasetDict:
    found = tokenized_datasets.remove_columns(["sentence1", "sentence2", "idx"])
    found = found.rename_column("label", "labels")
    found.set_format("torch")
    return found


def test_one_step_by_hand(folder):
    def snippet(library):
        model, tokenizer = load(library, "SequenceClassification", folder)
        sequences = [words(12), "This course is amazing!"]
        batch = tokenizer(sequences, padding=True, truncation=True, return_tensors="pt")
        batch["labels"] = torch.tensor([1, 1])
        optimizer = AdamW(model.parameters(), lr=1e-3)
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        return [loss.item(), model(**batch).loss.item()]

    assert_same_results(snippet)


def test_data_is_processed(folder):
    def snippet(library):
        tokenizer = library.DistilBertTokenizer.from_pretrained(folder)
        tokenized_datasets = tokenized(pairs(), tokenizer)
        data_collator = DataCollatorWithPadding(tokenizer=tokenizer)
        samples = tokenized_datasets["train"][:8]
        samples = {
            name: value
            for name, value in samples.items()
            if name not in ("idx", "sentence1", "sentence2")
        }
        lengths = [len(ids) for ids in samples["input_ids"]]
        return [lengths, dict(data_collator(samples))]

    assert_same_results(snippet)


def test_the_trainer_trains_evaluates_and_predicts(folder, tmp_path):
    def snippet(library):
        model, tokenizer = load(library, "SequenceClassification", folder)
        tokenized_datasets = tokenized(pairs(), tokenizer)
        trainer = Trainer(
            model,
            on_a_cpu(tmp_path, eval_strategy="epoch", num_train_epochs=2),
            train_dataset=tokenized_datasets["train"],
            eval_dataset=tokenized_datasets["validation"],
            data_collator=DataCollatorWithPadding(tokenizer=tokenizer),
            processing_class=tokenizer,
            compute_metrics=accuracy,
        )
        trainer.train()
        predictions = trainer.predict(tokenized_datasets["validation"])
        metrics = trainer.evaluate()
        return {
            "losses": losses_of(trainer),
            "evaluated": [metrics["eval_loss"], metrics["eval_accuracy"]],
            "logits": predictions.predictions.tolist(),
            "labels": predictions.label_ids.tolist(),
        }

    found = assert_same_results(snippet)
    assert len(found["losses"]) == 6


def test_a_full_loop(folder):
    def snippet(library):
        model, tokenizer = load(library, "SequenceClassification", folder)
        datasets = for_a_loop(tokenized(pairs(), tokenizer))
        data_collator = DataCollatorWithPadding(tokenizer=tokenizer)
        train_dataloader = DataLoader(
            datasets["train"], shuffle=True, batch_size=4, collate_fn=data_collator
        )
        eval_dataloader = DataLoader(
            datasets["validation"], batch_size=4, collate_fn=data_collator
        )
        optimizer = AdamW(model.parameters(), lr=1e-3)
        steps = len(train_dataloader)
        lr_scheduler = get_scheduler(
            "linear",
            optimizer=optimizer,
            num_warmup_steps=0,
            num_training_steps=steps,
        )
        device = torch.device("cpu")
        model.to(device)
        losses, predictions = [], []
        model.train()
        for batch in train_dataloader:
            batch = {k: v.to(device) for k, v in batch.items()}
            outputs = model(**batch)
            loss = outputs.loss
            loss.backward()
            optimizer.step()
            lr_scheduler.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        model.eval()
        for batch in eval_dataloader:
            batch = {k: v.to(device) for k, v in batch.items()}
            with torch.no_grad():
                outputs = model(**batch)
            predictions.append(outputs.logits)
        return [losses, predictions]

    assert_same_results(snippet)


def test_the_loop_with_accelerate(folder):
    def snippet(library):
        accelerator = Accelerator(cpu=True)
        model, tokenizer = load(library, "SequenceClassification", folder)
        datasets = for_a_loop(tokenized(pairs(), tokenizer))
        data_collator = DataCollatorWithPadding(tokenizer=tokenizer)
        train_dataloader = DataLoader(
            datasets["train"], shuffle=True, batch_size=4, collate_fn=data_collator
        )
        optimizer = AdamW(model.parameters(), lr=1e-3)
        train_dataloader, model, optimizer = accelerator.prepare(
            train_dataloader, model, optimizer
        )
        losses = []
        model.train()
        for batch in train_dataloader:
            outputs = model(**batch)
            loss = outputs.loss
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses

    assert_same_results(snippet)
