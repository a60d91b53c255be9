"""Chapter 7 of the Hugging Face course: names in sentences, with Trainer and without.

The losses of every step, the predictions and the metrics are those of transformers'
own class on the same checkpoint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from checkpoints import draw_lively
from datasets import Dataset
from snippets import NO_DROPOUT, assert_same_results, losses_of, on_a_cpu
from texts import WORDS
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import (
    DataCollatorForTokenClassification,
    Trainer,
    get_scheduler,
)

pytestmark = pytest.mark.full

LABEL_NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
LABELS = {
    "id2label": dict(enumerate(LABEL_NAMES)),
    "label2id": {name: i for i, name in enumerate(LABEL_NAMES)},
}


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of("DistilBertForMaskedLM", draw=draw_lively, **NO_DROPOUT)


def raw_dataset(rows: int = 8) -> Dataset:
    """Sentences in words, some of which are several tokens, with a label for each."""
    odd = ["Brooklyn", "unbelievably", "HuggingFace", "Sylvain"]
    return Dataset.from_dict(
        {
            "tokens": [
                [(WORDS + odd)[(row + 3 * i) % 15] for i in range(4 + row % 5)]
                for row in range(rows)
            ],
            "ner_tags": [
                [(row + i) % len(LABEL_NAMES) for i in range(4 + row % 5)]
                for row in range(rows)
            ],
        }
    )


def align_labels_with_tokens(labels, word_ids):
    new_labels, current_word = [], None
    for word_id in word_ids:
        if word_id is None:
            new_labels.append(-100)
        elif word_id != current_word:
            new_labels.append(labels[word_id])
        else:  # the same word goes on: B-XXX becomes I-XXX
            label = labels[word_id]
            new_labels.append(label + 1 if label % 2 == 1 else label)
        current_word = word_id
    return new_labels


def tokenized(tokenizer: Any) -> Dataset:
    def tokenize_and_align_labels(examples):
        found = tokenizer(examples["tokens"], truncation=True, is_split_into_words=True)
        found["labels"] = [
            align_labels_with_tokens(labels, found.word_ids(i))
            for i, labels in enumerate(examples["ner_tags"])
        ]
        return found

    raw = raw_dataset()
    return raw.map(
        tokenize_and_align_labels, batched=True, remove_columns=raw.column_names
    )


def new_model(library: Any, folder: Any) -> Any:
    """The encoder of the checkpoint, and a head that both libraries draw alike."""
    model = library.AutoModelForTokenClassification.from_pretrained(folder, **LABELS)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.classifier.weight.normal_(std=0.3, generator=generator)
        model.classifier.bias.zero_()
    return model


def test_labels_are_aligned_and_padded(folder):
    def snippet(library):
        tokenizer = library.DistilBertTokenizer.from_pretrained(folder)
        rows = tokenized(tokenizer)
        data_collator = DataCollatorForTokenClassification(tokenizer=tokenizer)
        batch = data_collator([rows[i] for i in range(3)])
        return [rows["labels"][:], dict(batch)]

    assert_same_results(snippet)


def entities(predictions: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Of all true names, how many were found; and the predictions themselves."""
    chosen = predictions.argmax(axis=-1)
    kept = labels != -100
    right = (chosen == labels) & kept
    return {
        "accuracy": float(right.sum() / kept.sum()),
        "recall": float((right & (labels > 0)).sum() / (kept & (labels > 0)).sum()),
    }


def test_the_trainer(folder, tmp_path):
    def snippet(library):
        tokenizer = library.AutoTokenizer.from_pretrained(folder)
        rows = tokenized(tokenizer)
        model = new_model(library, folder)
        trainer = Trainer(
            model=model,
            args=on_a_cpu(
                tmp_path, eval_strategy="epoch", weight_decay=0.01, num_train_epochs=2
            ),
            train_dataset=rows,
            eval_dataset=rows,
            data_collator=DataCollatorForTokenClassification(tokenizer=tokenizer),
            compute_metrics=lambda found: entities(*found),
            processing_class=tokenizer,
        )
        trainer.train()
        metrics = trainer.evaluate()
        wanted = ("eval_loss", "eval_accuracy", "eval_recall")
        return [losses_of(trainer), {name: metrics[name] for name in wanted}]

    assert_same_results(snippet)


def test_the_loop_with_accelerate(folder, tmp_path):
    def snippet(library):
        tokenizer = library.AutoTokenizer.from_pretrained(folder)
        rows = tokenized(tokenizer)
        data_collator = DataCollatorForTokenClassification(tokenizer=tokenizer)
        train_dataloader = DataLoader(
            rows, shuffle=True, collate_fn=data_collator, batch_size=4
        )
        eval_dataloader = DataLoader(rows, collate_fn=data_collator, batch_size=4)
        model = new_model(library, folder)
        optimizer = AdamW(model.parameters(), lr=1e-3)
        accelerator = Accelerator(cpu=True)
        model, optimizer, train_dataloader, eval_dataloader = accelerator.prepare(
            model, optimizer, train_dataloader, eval_dataloader
        )
        lr_scheduler = get_scheduler(
            "linear", optimizer=optimizer, num_warmup_steps=0, num_training_steps=2
        )
        losses = []
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
        gathered = []
        for batch in eval_dataloader:
            with torch.no_grad():
                outputs = model(**batch)
            predictions = outputs.logits.argmax(dim=-1)
            labels = batch["labels"]
            predictions = accelerator.pad_across_processes(
                predictions, dim=1, pad_index=-100
            )
            labels = accelerator.pad_across_processes(labels, dim=1, pad_index=-100)
            gathered.append(accelerator.gather(predictions))
            gathered.append(accelerator.gather(labels))
        output = tmp_path / library.__name__
        accelerator.wait_for_everyone()
        unwrapped_model = accelerator.unwrap_model(model)
        unwrapped_model.save_pretrained(output, save_function=accelerator.save)
        if accelerator.is_main_process:
            tokenizer.save_pretrained(output)
        classifier = library.pipeline(
            "token-classification", model=str(output), aggregation_strategy="simple"
        )
        return [losses, gathered, classifier("the film was unbelievably good")]

    assert_same_results(snippet)
